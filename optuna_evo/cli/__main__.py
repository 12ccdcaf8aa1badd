"""`python -m optuna_evo.cli`."""

from optuna_evo.cli import main


main()

"""Studies that serve a moment, such as a look at a space: no line of Optuna's in the terminal."""

from typing import Any

import optuna


__all__ = ["unlogged_study"]


def unlogged_study(**options: Any) -> optuna.Study:
    """Return `optuna.create_study(**options)` without its line "A new study created"."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        return optuna.create_study(**options)
    finally:
        optuna.logging.set_verbosity(verbosity)

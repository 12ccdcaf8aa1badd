"""Users' own parts by name: found, allowed, imported.

A study in a shared database is data from others: a name in it, "module:attribute", is imported
only where the user allows that module (`Allowance`).
"""

from optuna_evo.plugins._allow import Allowance
from optuna_evo.plugins._allow import check_stored
from optuna_evo.plugins._allow import StoredName
from optuna_evo.plugins._config import allowance_from_files
from optuna_evo.plugins._load import last_line_in
from optuna_evo.plugins._load import load_attribute
from optuna_evo.plugins._load import load_module
from optuna_evo.plugins._load import split_path
from optuna_evo.plugins._remember import forget
from optuna_evo.plugins._remember import remember
from optuna_evo.plugins._remember import remembered


__all__ = [
    "Allowance",
    "allowance_from_files",
    "check_stored",
    "forget",
    "last_line_in",
    "load_attribute",
    "load_module",
    "remember",
    "remembered",
    "split_path",
    "StoredName",
]

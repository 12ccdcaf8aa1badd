"""A study as data: read from TOML, checked, written back."""

from optuna_evo.spec._arguments import check_arguments
from optuna_evo.spec._arguments import shown
from optuna_evo.spec._load import changed_spec
from optuna_evo.spec._load import load_spec
from optuna_evo.spec._spec import JudgeSpec
from optuna_evo.spec._spec import ObjectiveSpec
from optuna_evo.spec._spec import Part
from optuna_evo.spec._spec import StudySpec
from optuna_evo.spec._spec import TrainerSpec
from optuna_evo.spec._tables import check_storable
from optuna_evo.spec._tables import read_table
from optuna_evo.spec._tables import set_entry
from optuna_evo.spec._tables import to_table
from optuna_evo.spec._toml import as_toml


__all__ = [
    "as_toml",
    "changed_spec",
    "check_arguments",
    "check_storable",
    "JudgeSpec",
    "load_spec",
    "ObjectiveSpec",
    "Part",
    "read_table",
    "set_entry",
    "shown",
    "StudySpec",
    "to_table",
    "TrainerSpec",
]

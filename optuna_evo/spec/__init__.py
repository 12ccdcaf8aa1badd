"""A study as data: read from TOML, checked, written back."""

from optuna_evo.spec._spec import changed_spec
from optuna_evo.spec._spec import load_spec
from optuna_evo.spec._spec import Part
from optuna_evo.spec._spec import StudySpec


__all__ = [
    "changed_spec",
    "load_spec",
    "Part",
    "StudySpec",
]

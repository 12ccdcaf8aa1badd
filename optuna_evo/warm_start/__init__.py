"""Which old studies a new one learns from."""

from optuna_evo.warm_start._references import Reference
from optuna_evo.warm_start._references import with_password_of
from optuna_evo.warm_start._sources import keep_references
from optuna_evo.warm_start._sources import keep_weights
from optuna_evo.warm_start._sources import kept_references
from optuna_evo.warm_start._sources import kept_weights
from optuna_evo.warm_start._sources import load_sources
from optuna_evo.warm_start._sources import probe_space
from optuna_evo.warm_start._sources import resolve_references
from optuna_evo.warm_start._sources import SourceReader
from optuna_evo.warm_start._sources import SOURCES_KEY


__all__ = [
    "keep_references",
    "keep_weights",
    "kept_references",
    "kept_weights",
    "load_sources",
    "probe_space",
    "Reference",
    "resolve_references",
    "SourceReader",
    "SOURCES_KEY",
    "with_password_of",
]

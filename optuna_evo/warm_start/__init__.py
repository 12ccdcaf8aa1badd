"""Which old studies a new one learns from."""

from optuna_evo.warm_start._references import public_url
from optuna_evo.warm_start._references import Reference
from optuna_evo.warm_start._references import with_password_of
from optuna_evo.warm_start._sources import load_sources
from optuna_evo.warm_start._sources import probe_space
from optuna_evo.warm_start._sources import read_references
from optuna_evo.warm_start._sources import read_weights
from optuna_evo.warm_start._sources import resolve_references
from optuna_evo.warm_start._sources import SourceReader
from optuna_evo.warm_start._sources import write_references
from optuna_evo.warm_start._sources import write_weights


__all__ = [
    "write_references",
    "write_weights",
    "read_references",
    "read_weights",
    "load_sources",
    "probe_space",
    "public_url",
    "Reference",
    "resolve_references",
    "SourceReader",
    "with_password_of",
]

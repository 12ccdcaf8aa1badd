"""Update rules as data: genomes, their canonical form, named ones, learned schedules."""

from optuna_evo.rules._catalog import catalog
from optuna_evo.rules._genome import Genome
from optuna_evo.rules._genome import Term
from optuna_evo.rules._genome import TermType
from optuna_evo.rules._rule import Direction
from optuna_evo.rules._rule import Rule
from optuna_evo.rules._schedule import Piece
from optuna_evo.rules._schedule import Schedule


__all__ = [
    "catalog",
    "Direction",
    "Genome",
    "Piece",
    "Rule",
    "Schedule",
    "Term",
    "TermType",
]

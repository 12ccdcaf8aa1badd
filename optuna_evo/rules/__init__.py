"""Update rules as data: terms, genomes, their canonical form, named ones, learned schedules."""

from optuna_evo.rules._catalog import catalog
from optuna_evo.rules._genome import Genome
from optuna_evo.rules._genome import Term
from optuna_evo.rules._numbers import FROZEN
from optuna_evo.rules._numbers import NUMBERS
from optuna_evo.rules._numbers import step_numbers
from optuna_evo.rules._program import program
from optuna_evo.rules._program_text import ProgramText
from optuna_evo.rules._program_text import read_program
from optuna_evo.rules._protocols import Coefficients
from optuna_evo.rules._protocols import DirectedCoefficients
from optuna_evo.rules._protocols import Layout
from optuna_evo.rules._protocols import Observation
from optuna_evo.rules._protocols import UpdateRule
from optuna_evo.rules._rule import Rule
from optuna_evo.rules._schedule import Piece
from optuna_evo.rules._schedule import Schedule
from optuna_evo.rules._terms import Average
from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import FoldSettings
from optuna_evo.rules._terms import Needs
from optuna_evo.rules._terms import Operands
from optuna_evo.rules._terms import read_by
from optuna_evo.rules._terms import Reading
from optuna_evo.rules._terms import Row
from optuna_evo.rules._terms import TermType


__all__ = [
    "Average",
    "AVERAGES",
    "catalog",
    "Coefficients",
    "DirectedCoefficients",
    "DIRECTIONS",
    "FoldSettings",
    "FROZEN",
    "Genome",
    "Layout",
    "Needs",
    "NUMBERS",
    "Observation",
    "Operands",
    "Piece",
    "program",
    "ProgramText",
    "read_by",
    "read_program",
    "Reading",
    "Row",
    "Rule",
    "Schedule",
    "step_numbers",
    "Term",
    "TermType",
    "UpdateRule",
]

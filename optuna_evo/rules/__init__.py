"""Update rules as data: terms, genomes, their canonical form, named ones, learned schedules."""

from optuna_evo.rules._catalog import catalog
from optuna_evo.rules._dense import cautious
from optuna_evo.rules._dense import LONGEST
from optuna_evo.rules._dense import norm_bounded
from optuna_evo.rules._dense import orthogonalised
from optuna_evo.rules._dense import per_member
from optuna_evo.rules._dense import rms_normalised
from optuna_evo.rules._dense import rotated_update
from optuna_evo.rules._fold import read_by
from optuna_evo.rules._fold import Reading
from optuna_evo.rules._genome import Genome
from optuna_evo.rules._numbers import FROZEN
from optuna_evo.rules._numbers import is_outside
from optuna_evo.rules._numbers import matrix_numbers
from optuna_evo.rules._numbers import NUMBERS
from optuna_evo.rules._numbers import own_step
from optuna_evo.rules._numbers import step_numbers
from optuna_evo.rules._numbers import unit_numbers
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
from optuna_evo.rules._summands import Term
from optuna_evo.rules._terms import Average
from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import FoldSettings
from optuna_evo.rules._terms import MATRIX_TERMS
from optuna_evo.rules._terms import Needs
from optuna_evo.rules._terms import Operands
from optuna_evo.rules._terms import Row
from optuna_evo.rules._terms import TermType


__all__ = [
    "Average",
    "AVERAGES",
    "catalog",
    "cautious",
    "Coefficients",
    "DirectedCoefficients",
    "DIRECTIONS",
    "FoldSettings",
    "FROZEN",
    "Genome",
    "is_outside",
    "Layout",
    "LONGEST",
    "matrix_numbers",
    "MATRIX_TERMS",
    "Needs",
    "norm_bounded",
    "NUMBERS",
    "Observation",
    "Operands",
    "orthogonalised",
    "own_step",
    "per_member",
    "Piece",
    "program",
    "read_program",
    "ProgramText",
    "read_by",
    "Reading",
    "rms_normalised",
    "rotated_update",
    "Row",
    "Rule",
    "Schedule",
    "step_numbers",
    "Term",
    "TermType",
    "unit_numbers",
    "UpdateRule",
]

"""The tables that all update rules are made of: a term is one row, an average is one row.

The readable update, the equation, the averages that an optimizer keeps, the folding to canonical
form, what a search space asks for and the layout of a step's numbers are made from these rows.
The fast paths (multi-tensor, C++, Triton) have one line a term, and tests hold each line to its
row. To add a term: a row here, a line in each fast path.

Symbols: g gradients, m averages of g, v averages of g * g, s slow averages of g, eps a small
constant.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import enum
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import Protocol


__all__ = [
    "Average",
    "AVERAGES",
    "DIRECTIONS",
    "FoldSettings",
    "m_is_gradient",
    "MATRIX_TERMS",
    "Needs",
    "Operands",
    "Row",
    "TermType",
    "v_is_squared_gradient",
]

Needs = frozenset[str]
"""Which averages an optimizer keeps: their symbols in `AVERAGES`."""


class Operands(Protocol):
    """What the expressions of the rows are computed from, tensors of one shape.

    The corrections of m and v stand in the numbers of a step (`optuna_evo.rules.step_numbers`):
    m is the average as it is kept, and `rms` is sqrt(v) times a number plus eps.
    """

    @property
    def g(self) -> Any:
        """The gradient, clipped."""

    @property
    def rms(self) -> Any:
        """sqrt(v) + eps, v corrected."""

    @property
    def size(self) -> Any:
        """abs(g) + eps."""

    def __getattr__(self, name: str) -> Any:
        """Return an average by its symbol, or a number of the step by its name."""


class Average(NamedTuple):
    """A row: an average over steps, one number for each parameter.

    Args:
        state: Its key in the state of an optimizer.
        beta: The scalar of the genome that is its decay.
        of: What it averages, for the equation.
        update: The average after a step, from the one before and the operands.
        corrected: Whether bias correction divides it by 1 - beta^t.
        after_use: Whether the terms of a step see it as it was before the step.
    """

    state: str
    beta: str
    of: str
    update: Callable[[Any, Operands], Any]
    corrected: bool = True
    after_use: bool = False


AVERAGES: Final[Mapping[str, Average]] = {
    "m": Average("exp_avg", "beta1", "g", lambda m, x: m.lerp(x.g, x.m_share)),
    "v": Average("exp_avg_sq", "beta2", "g²", lambda v, x: x.v_decay * v + x.v_share * x.g * x.g),
    # Lion's own momentum: slower than m, and averaged after the step has used it
    "s": Average(
        "exp_avg_slow",
        "beta2",
        "g",
        lambda s, x: s.lerp(x.g, x.v_share),
        corrected=False,
        after_use=True,
    ),
}


class FoldSettings(NamedTuple):
    """The settings of a genome that decide which terms are the same function."""

    use_m: bool
    use_v: bool
    beta1: float
    beta2: float
    nesterov_share: float


_Test = Callable[[FoldSettings], bool]


def m_is_gradient(s: FoldSettings) -> bool:
    """Tell whether m is g."""
    return not s.use_m or s.beta1 == 0


def v_is_squared_gradient(s: FoldSettings) -> bool:
    """Tell whether v is g * g."""
    return not s.use_v or s.beta2 == 0


def _betas_are_equal(s: FoldSettings) -> bool:
    return s.beta1 == s.beta2


def _nesterov(s: FoldSettings) -> Mapping[str, float]:
    return {"GRAD": 1 - s.nesterov_share, "MOMENTUM": s.nesterov_share}


def _nadam(s: FoldSettings) -> Mapping[str, float]:
    """Return what NADAM is without m or v: there is no NAdam to follow then."""
    if m_is_gradient(s):
        return {"RMS_NORM": 1.0}
    return {"SQRT_GRAD": 1 - s.beta1, "MOMENTUM_OVER_ABS": s.beta1}


@dataclass(frozen=True)
class Row:
    """What one term is.

    Args:
        symbol: The term in an equation; {m} and {v} stand for the averages, corrected or not,
            {eps}, {beta1}, {rest1} and {beta2} for numbers, {nesterov} for beta1 m + rest1 g.
        reads: Averages, and the scalars eps, beta1 and beta2 if the term itself reads them.
        expression: The term from `Operands`; any objects will do that have the methods of tensors
            that it calls. None: the term is made of others (`parts`).
        sign_only: Whether only signs of the operands matter, not their sizes.
        folds: Terms that it is the same function as, with the tests for when; the first counts.
        parts: The shares of other terms that it is made of.
        matrix: Whether it is a dense direction of hidden matrices, computed outside of the kernels
            (`optuna_evo.rules._dense`).
    """

    symbol: str
    reads: Sequence[str]
    expression: Callable[[Operands], Any] | None
    sign_only: bool = False
    folds: Sequence[tuple[_Test, str]] = ()
    parts: Callable[[FoldSettings], Mapping[str, float]] | None = None
    matrix: bool = False


class TermType(enum.IntEnum):
    """The catalog of update terms; the integers up to 6 are those of the published seed format."""

    row: Row

    def __new__(cls, code: int, row: Row | None = None) -> "TermType":
        """Make a member of its integer and its row."""
        assert row is not None
        member = int.__new__(cls, code)
        member._value_ = code
        member.row = row
        return member

    GRAD = 0, Row("g", (), lambda x: x.g)
    MOMENTUM = 1, Row("{m}", ("m",), lambda x: x.m, folds=[(m_is_gradient, "GRAD")])
    RMS_NORM = (
        2,
        Row(
            "g/(√{v} + {eps})",
            ("v", "eps"),
            lambda x: x.g / x.rms,
            folds=[(v_is_squared_gradient, "SQRT_GRAD")],
        ),
    )
    ADAM_TERM = (
        3,
        Row(
            "{m}/(√{v} + {eps})",
            ("m", "v", "eps"),
            lambda x: x.m / x.rms,
            folds=[(v_is_squared_gradient, "MOMENTUM_OVER_ABS"), (m_is_gradient, "RMS_NORM")],
        ),
    )
    SIGN_GRAD = 4, Row("sign(g)", (), lambda x: x.g.sign(), sign_only=True)
    SQRT_GRAD = 5, Row("g/(|g| + {eps})", ("eps",), lambda x: x.g / x.size)
    NESTEROV = 6, Row("", (), None, parts=_nesterov)
    MOMENTUM_OVER_ABS = (
        7,
        Row(
            "{m}/(|g| + {eps})",
            ("m", "eps"),
            lambda x: x.m / x.size,
            folds=[(m_is_gradient, "SQRT_GRAD")],
        ),
    )
    SIGN_MOMENTUM = (
        8,
        Row(
            "sign({m})",
            ("m",),
            lambda x: x.m.sign(),
            sign_only=True,
            folds=[(m_is_gradient, "SIGN_GRAD")],
        ),
    )
    LION = (
        9,
        Row(
            "sign({beta1}·s + {rest1}·g)",
            ("s", "beta1"),
            lambda x: x.s.lerp(x.g, x.m_share).sign(),
            sign_only=True,
            folds=[(m_is_gradient, "SIGN_GRAD"), (_betas_are_equal, "SIGN_MOMENTUM")],
        ),
    )
    # the mask of "Cautious Optimizers" (arXiv:2411.16085), without its rescaling
    AGREEMENT = (
        10,
        Row(
            "{m}·[sign(g) = sign(m)]",
            ("m",),
            lambda x: x.m.where(x.g.sign() == x.m.sign(), 0.0),
            folds=[(m_is_gradient, "GRAD")],
        ),
    )
    # ADAM_TERM and RMS_NORM with the shares of torch's NAdam, which change from step to step
    NADAM = (
        11,
        Row("nadam(m, g)/(√{v} + {eps})", ("m", "v", "eps", "beta1"), None, parts=_nadam),
    )
    ORTHOGONAL = 12, Row("orthogonal({nesterov})", ("m", "beta1"), None, matrix=True)
    SOAP = 13, Row("soap({m}, g, {beta2})", ("m", "beta2", "eps"), None, matrix=True)


DIRECTIONS: Final = tuple(term for term in TermType if term.row.expression is not None)
"""The linearly independent terms, in the order of `Rule.coefficients` and of the kernels."""

MATRIX_TERMS: Final = tuple(term for term in TermType if term.row.matrix)
"""The dense directions of hidden matrices, in the order of `Rule.matrix`."""

"""The tables that all update rules are made of: a term is one row, an average is one row.

The readable update, the equation, the averages that an optimizer keeps, the folding to canonical
form, what a search space asks for and the layout of a step's numbers are made from these rows.
The fast paths (multi-tensor, C++, Triton) have one line a term, and tests hold each line to its
row. To add a term: a row here, a line in each fast path.

Symbols: g gradients, m averages of g, v averages of g * g, s slow averages of g, eps a small
constant.
"""

from collections.abc import Callable
from collections.abc import Iterable
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
    "fold",
    "FoldSettings",
    "Needs",
    "Operands",
    "read_by",
    "Reading",
    "Row",
    "TermType",
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


def _m_is_g(s: FoldSettings) -> bool:
    return not s.use_m or s.beta1 == 0


def _v_is_g_squared(s: FoldSettings) -> bool:
    return not s.use_v or s.beta2 == 0


def _betas_are_equal(s: FoldSettings) -> bool:
    return s.beta1 == s.beta2


def _nesterov(s: FoldSettings) -> Mapping[str, float]:
    return {"GRAD": 1 - s.nesterov_share, "MOMENTUM": s.nesterov_share}


@dataclass(frozen=True)
class Row:
    """What one term is.

    Args:
        symbol: The term in an equation; {m} and {v} stand for the averages, corrected or not,
            {eps}, {beta1} and {rest1} for numbers.
        reads: Averages, and the scalars eps and beta1 if the expression itself reads them.
        expression: The term from `Operands`; any objects will do that have the methods of tensors
            that it calls. None: the term is made of others (`parts`).
        sign_only: Whether only signs of the operands matter, not their sizes.
        folds: Terms that it is the same function as, with the tests for when; the first counts.
        parts: The shares of other terms that it is made of.
    """

    symbol: str
    reads: Sequence[str]
    expression: Callable[[Operands], Any] | None
    sign_only: bool = False
    folds: Sequence[tuple[_Test, str]] = ()
    parts: Callable[[FoldSettings], Mapping[str, float]] | None = None


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
    MOMENTUM = 1, Row("{m}", ("m",), lambda x: x.m, folds=[(_m_is_g, "GRAD")])
    RMS_NORM = (
        2,
        Row(
            "g/(√{v} + {eps})",
            ("v", "eps"),
            lambda x: x.g / x.rms,
            folds=[(_v_is_g_squared, "SQRT_GRAD")],
        ),
    )
    ADAM_TERM = (
        3,
        Row(
            "{m}/(√{v} + {eps})",
            ("m", "v", "eps"),
            lambda x: x.m / x.rms,
            folds=[(_v_is_g_squared, "MOMENTUM_OVER_ABS"), (_m_is_g, "RMS_NORM")],
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
            folds=[(_m_is_g, "SQRT_GRAD")],
        ),
    )
    SIGN_MOMENTUM = (
        8,
        Row(
            "sign({m})",
            ("m",),
            lambda x: x.m.sign(),
            sign_only=True,
            folds=[(_m_is_g, "SIGN_GRAD")],
        ),
    )
    LION = (
        9,
        Row(
            "sign({beta1}·s + {rest1}·g)",
            ("s", "beta1"),
            lambda x: x.s.lerp(x.g, x.m_share).sign(),
            sign_only=True,
            folds=[(_m_is_g, "SIGN_GRAD"), (_betas_are_equal, "SIGN_MOMENTUM")],
        ),
    )
    # the mask of "Cautious Optimizers" (arXiv:2411.16085), without its rescaling
    AGREEMENT = (
        10,
        Row(
            "{m}·[sign(g) = sign(m)]",
            ("m",),
            lambda x: x.m.where(x.g.sign() == x.m.sign(), 0.0),
            folds=[(_m_is_g, "GRAD")],
        ),
    )


DIRECTIONS: Final = tuple(term for term in TermType if term.row.expression is not None)
"""The linearly independent terms, in the order of `Rule.coefficients` and of the kernels."""


def fold(weights: Mapping[TermType, float], settings: FoldSettings) -> tuple[float, ...]:
    """Return the coefficient of each direction, equal functions on one of them.

    Args:
        weights: The sum of the weights of each type.
        settings: What decides which types are the same function.
    """
    written_out = dict.fromkeys(DIRECTIONS, 0.0)
    made_of_others: list[tuple[TermType, float]] = []
    for term, weight in weights.items():
        if term.row.parts is None:
            written_out[term] += weight
        else:
            shares = term.row.parts(settings).items()
            made_of_others += [(TermType[name], share * weight) for name, share in shares]
    for term, weight in made_of_others:
        written_out[term] += weight
    stands_on = {term: _same_function(term, settings) for term in DIRECTIONS}
    # a direction's own weight comes first: the order of a sum decides its last bit
    folded = {term: w if stands_on[term] is term else 0.0 for term, w in written_out.items()}
    for term, weight in written_out.items():
        if stands_on[term] is not term:
            folded[stands_on[term]] += weight
    return tuple(folded.values())


def _same_function(term: TermType, settings: FoldSettings) -> TermType:
    for test, name in term.row.folds:
        if test(settings):
            return _same_function(TermType[name], settings)
    return term


class Reading(NamedTuple):
    """What a set of terms reads, beside the gradient.

    Args:
        needs: Averages.
        beta1: Whether beta1 is read, by an average or a term itself.
        beta2: Likewise.
        eps: Whether there is a denominator.
        correction: Whether it matters that an average is corrected.
        clipping: Whether it matters that gradients are clipped.
    """

    needs: Needs
    beta1: bool
    beta2: bool
    eps: bool
    correction: bool
    clipping: bool


def read_by(terms: Iterable[TermType], settings: FoldSettings) -> Reading:
    """Return what terms read under the settings of a genome."""
    weights = {term: 1.0 for term in terms}
    left = [t for t, c in zip(DIRECTIONS, fold(weights, settings), strict=True) if c]
    items = {item for term in left for item in term.row.reads}
    needs = items & AVERAGES.keys()
    scalars = {AVERAGES[symbol].beta for symbol in needs} | items
    return Reading(
        needs=frozenset(needs),
        beta1="beta1" in scalars,
        beta2="beta2" in scalars,
        eps="eps" in scalars,
        correction=any(_feels_correction(term) for term in left),
        # the sign of a clipped gradient is the sign of the gradient; an average is another one
        clipping=any(not (t.row.sign_only and needs.isdisjoint(t.row.reads)) for t in left),
    )


def _feels_correction(term: TermType) -> bool:
    corrected = {symbol for symbol, average in AVERAGES.items() if average.corrected}
    return not term.row.sign_only and not corrected.isdisjoint(term.row.reads)

"""From weights of terms to coefficients of directions, and what they read."""

from collections.abc import Iterable
from collections.abc import Mapping
import math
from typing import NamedTuple

from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import FoldSettings
from optuna_evo.rules._terms import m_is_gradient
from optuna_evo.rules._terms import Needs
from optuna_evo.rules._terms import TermType
from optuna_evo.rules._terms import v_is_squared_gradient


__all__ = [
    "fold",
    "items_read",
    "read_by",
    "Reading",
    "stands_alone",
    "with_elementwise",
]


def fold(weights: Mapping[TermType, float], settings: FoldSettings) -> tuple[float, ...]:
    """Return the coefficient of each direction, equal functions on one of them.

    Args:
        weights: The sum of the weights of each type.
        settings: What decides which types are the same function.
    """
    written_out = dict.fromkeys(DIRECTIONS, 0.0)
    made_of_others: list[tuple[TermType, float]] = []
    for term, weight in weights.items():
        if stands_alone(term, settings):
            continue
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


def stands_alone(term: TermType, settings: FoldSettings) -> bool:
    """Tell whether a term is no sum of directions: matrix terms, and NADAM with m and v."""
    if term is TermType.NADAM:
        return not (m_is_gradient(settings) or v_is_squared_gradient(settings))
    return term.row.matrix


def with_elementwise(weights: Mapping[TermType, float]) -> dict[TermType, float]:
    """Return weights with an elementwise term among them, if there is any.

    Matrix terms move hidden matrices alone: where a genome does not say what moves all else, it is
    ADAM_TERM, with their weights.
    """
    matrix = [weight for term, weight in weights.items() if term.row.matrix]
    if not any(matrix) or any(w for term, w in weights.items() if not term.row.matrix):
        return dict(weights)
    return {**weights, TermType.ADAM_TERM: math.fsum(matrix)}


def items_read(terms: Iterable[TermType], *, m_is_g: bool) -> set[str]:
    """Return the averages and scalars that terms read; m_is_g: matrix terms take g for m."""
    items = {(term, item) for term in terms for item in term.row.reads}
    return {i for term, i in items if not (m_is_g and term.row.matrix and i in ("m", "beta1"))}


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
    weights = with_elementwise({term: 1.0 for term in terms})
    left = [t for t, c in zip(DIRECTIONS, fold(weights, settings), strict=True) if c]
    left += [term for term in weights if stands_alone(term, settings)]
    items = items_read(left, m_is_g=m_is_gradient(settings))
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
    if term is TermType.ORTHOGONAL:  # of any length
        return False
    corrected = {symbol for symbol, average in AVERAGES.items() if average.corrected}
    return not term.row.sign_only and not corrected.isdisjoint(term.row.reads)

"""The summands of a genome, read from what a user or a database gives."""

from collections.abc import Iterable
from collections.abc import Mapping
import math
from typing import Any
from typing import NamedTuple

from optuna_evo.rules._checks import cut
from optuna_evo.rules._checks import is_list
from optuna_evo.rules._terms import TermType


__all__ = ["as_terms", "joined", "Term"]


class Term(NamedTuple):
    """One summand of the update: `alpha` times the term `type`."""

    type: TermType
    alpha: float


def joined(types: Any, alphas: Any) -> list[tuple[Any, Any]]:
    """Return pairs of two lists of equal lengths, or raise a ValueError."""
    if not is_list(types) or not is_list(alphas) or len(alphas) != len(types):
        raise ValueError(
            "`alphas` must hold one number for each of `term_types`, got "
            f"{cut(alphas)} for {cut(types)}."
        )
    return list(zip(types, alphas, strict=True))


def as_terms(terms: Any) -> tuple[Term, ...]:
    """Return summands of what stands for them, or raise a ValueError."""
    if isinstance(terms, str | bytes | Mapping) or not isinstance(terms, Iterable):
        raise ValueError(f"`terms` must be a list of pairs (type, alpha), got {cut(terms)}.")
    return tuple(_as_term(term) for term in terms)


def _as_term(term: Any) -> Term:
    try:
        kind, alpha = term
        if isinstance(kind, bool) or isinstance(alpha, bool):
            raise TypeError  # Python counts true as 1, no type and no weight
        kind = TermType[kind] if isinstance(kind, str) else TermType(kind)
        alpha = float(alpha)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        names = ", ".join(member.name for member in TermType)
        raise ValueError(
            f"A term must be a pair (type, alpha) of {names}; got {cut(term)}."
        ) from error
    if not math.isfinite(alpha):
        raise ValueError(f"`alpha` of a term must be finite, got {alpha} for {kind.name}.")
    return Term(kind, alpha)

"""Selection, crossover and mutation of flat conditional parameters.

Everything is a function of its arguments and a random generator. Parameters come and go as plain
dictionaries; the lists in them are crossed and changed as lists (see `_lists`).
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from numpy.random import Generator
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import IntDistribution

from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._ga._genes import mutate_number
from optuna_evo.samplers._ga._genes import other_choice
from optuna_evo.samplers._ga._lists import Item
from optuna_evo.samplers._ga._lists import join
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._lists import split


__all__ = [
    "anneal",
    "breed",
    "change_structure",
    "covers",
    "cross_lists",
    "is_mutable",
    "limits",
    "mix",
    "Rates",
    "select",
]

Params = Mapping[str, Any]
Space = Mapping[str, BaseDistribution]

# A child that equals a parent would be paid for without telling anything new: it is drawn again,
# and after so many draws something is made to mutate.
_MAX_DRAWS = 3


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How strongly a child differs from its parents (see `GASampler` for the meaning)."""

    crossover: float
    number: float
    scale: float
    structure: float
    flag: float
    single_point: bool = False


def anneal(rates: Rates, generation: int, n_generations: int) -> Rates:
    """Lower all mutation rates linearly, to one half in the last generation."""
    progress = min(1.0, generation / max(1, n_generations - 1))
    factor = 1.0 - 0.5 * progress
    return replace(
        rates,
        number=factor * rates.number,
        scale=factor * rates.scale,
        structure=factor * rates.structure,
        flag=factor * rates.flag,
    )


def select(ranks: Sequence[float], tournament_size: int, rng: Generator) -> tuple[int, int]:
    """Return the indices of two parents, each the lowest rank of a tournament.

    The parents differ wherever there are two candidates.
    """
    candidates = list(range(len(ranks)))
    first = _tournament(candidates, ranks, tournament_size, rng)
    if len(candidates) > 1:
        candidates.remove(first)
    return first, _tournament(candidates, ranks, tournament_size, rng)


def breed(
    mother: Params,
    father: Params,
    *,
    space: Space,
    specs: Sequence[ListSpec],
    rates: Rates,
    rng: Generator,
) -> dict[str, Any]:
    """Return the parameters of a child.

    Parameters of which only one parent has a value are inherited from it: a conditional parameter
    then keeps its value where a flag turns it on.
    """
    for _ in range(_MAX_DRAWS):
        child = _vary(mother, father, space=space, specs=specs, rates=rates, rng=rng)
        if not (covers(child, mother) or covers(child, father)):
            return child
    names = [name for name in sorted(mother) if is_mutable(name, specs, space)]
    for k in rng.permutation(len(names)):
        child = {**mother, names[k]: _mutant(mother[names[k]], space[names[k]], rates.scale, rng)}
        if not (covers(child, mother) or covers(child, father)):
            return child
    return dict(mother)


def _vary(
    mother: Params,
    father: Params,
    *,
    space: Space,
    specs: Sequence[ListSpec],
    rates: Rates,
    rng: Generator,
) -> dict[str, Any]:
    scalars, lists = split(mother, specs)
    if rng.random() < rates.crossover:
        other_scalars, other_lists = split(father, specs)
        cross = _cut_over if rates.single_point else mix
        scalars = cross(scalars, other_scalars, rng)
        for spec in specs:
            if spec.length in lists and spec.length in other_lists:
                ours, theirs = lists[spec.length], other_lists[spec.length]
                lists[spec.length] = cross_lists(ours, theirs, limits(spec, space), rng)
            elif spec.length in other_lists:
                lists[spec.length] = other_lists[spec.length]
    for spec in specs:
        if spec.length in lists and rng.random() < rates.structure:
            lists[spec.length] = change_structure(lists[spec.length], spec, space, rng)
    return _mutate(join(scalars, lists, specs), specs, space, rates, rng)


def mix(ours: Params, theirs: Params, rng: Generator) -> dict[str, Any]:
    """Take every value from either parent, with equal chances."""
    names = sorted({**ours, **theirs})
    coins = rng.random(len(names))
    return {
        name: ours[name] if name not in theirs or (name in ours and coin < 0.5) else theirs[name]
        for name, coin in zip(names, coins, strict=True)
    }


def _cut_over(ours: Params, theirs: Params, rng: Generator) -> dict[str, Any]:
    """Take the values up to a random point from one parent, and those behind it from the other.

    The point is between names in their order, which is the same in every storage.
    """
    names = sorted({**ours, **theirs})
    point = int(rng.integers(len(names))) if names else 0
    return {
        name: ours[name] if name not in theirs or (name in ours and k <= point) else theirs[name]
        for k, name in enumerate(names)
    }


def cross_lists(
    ours: Sequence[Item], theirs: Sequence[Item], bounds: tuple[int, int], rng: Generator
) -> list[Item]:
    """Cut and splice, or exchange of items; both keep the length within the bounds."""
    low, high = bounds
    if rng.random() < 0.5:
        cuts = [
            (i, j)
            for i in range(len(ours) + 1)
            for j in range(len(theirs) + 1)
            if low <= i + len(theirs) - j <= high
        ]
        if cuts:
            i, j = cuts[int(rng.integers(len(cuts)))]
            return [*ours[:i], *theirs[j:]]
    child = list(ours)
    for k in range(min(len(ours), len(theirs))):
        if rng.random() < 0.5:
            child[k] = theirs[k]
    return child


def change_structure(
    items: Sequence[Item], spec: ListSpec, space: Space, rng: Generator
) -> list[Item]:
    """Add an item, remove one, or put a new one in the place of one."""
    low, high = limits(spec, space)
    moves = ["change"] * bool(items) + ["add"] * (len(items) < high)
    moves += ["remove"] * (len(items) > low)
    if not moves:
        return list(items)
    move = moves[int(rng.integers(len(moves)))]
    child = list(items)
    if move == "add":
        child.insert(int(rng.integers(len(child) + 1)), _new_item(spec, space, rng))
    elif move == "remove":
        del child[int(rng.integers(len(child)))]
    else:
        child[int(rng.integers(len(child)))] = _new_item(spec, space, rng)
    return child


def _new_item(spec: ListSpec, space: Space, rng: Generator) -> Item:
    """Draw every parameter that an item can have; those not asked for are never suggested."""
    item: Item = {}
    n_known = min(limits(spec, space)[1], len(space))  # no list has had more items
    for template in spec.templates:
        known = (spec.name(template, k) for k in range(n_known))
        distribution = next((space[name] for name in known if name in space), None)
        if distribution is not None:
            item[template] = draw(rng.random(), distribution)
    return item


def _mutate(
    params: Params, specs: Sequence[ListSpec], space: Space, rates: Rates, rng: Generator
) -> dict[str, Any]:
    """Shift numbers and switch categories, each with its own probability."""
    child = dict(params)
    coins = rng.random(len(child))
    for name, coin in zip(sorted(child), coins, strict=True):
        if is_mutable(name, specs, space):
            probability = rates.number if is_number(space[name]) else rates.flag
            if coin < probability:
                child[name] = _mutant(child[name], space[name], rates.scale, rng)
    return child


def is_mutable(name: str, specs: Sequence[ListSpec], space: Space) -> bool:
    """Whether there is another value, and the parameter is not the length of a list."""
    is_length = any(spec.length == name for spec in specs)
    return name in space and not space[name].single() and not is_length


def _mutant(value: Any, distribution: BaseDistribution, scale: float, rng: Generator) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return other_choice(value, distribution, rng)
    return mutate_number(value, distribution, scale, rng)


def limits(spec: ListSpec, space: Space) -> tuple[int, int]:
    """Return the least and the greatest length of a list."""
    distribution = space[spec.length]
    assert isinstance(distribution, IntDistribution)
    return distribution.low, distribution.high


def _tournament(
    candidates: Sequence[int], ranks: Sequence[float], size: int, rng: Generator
) -> int:
    k = min(size, len(candidates))
    entrants = rng.choice(len(candidates), size=k, replace=False)
    return min((candidates[int(entrant)] for entrant in entrants), key=lambda i: ranks[i])


def covers(child: Params, parent: Params) -> bool:
    """Whether the child would be evaluated with exactly the parameters of the parent."""
    return all(name in child and child[name] == value for name, value in parent.items())

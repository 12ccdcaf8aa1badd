"""Children whose mutations are as large as those that have lately made children better.

A child takes its scalars from two parents, and matches the items of lists by kind: an Adam term
with an Adam term, wherever both stand. Then a few of its numbers move by one step size. Most of
the step sizes are those that have lately made a child better than its mother, times a log-normal
factor, the others are of any size: so they shrink where the search closes in, and never for good.

Sources: the memory of successes is that of SHADE (Tanabe and Fukunaga 2013), without its means.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import Final

from numpy.random import Generator
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution

from optuna_evo.samplers._ga._genes import is_number
from optuna_evo.samplers._ga._genes import mutate_number
from optuna_evo.samplers._ga._genes import other_choice
from optuna_evo.samplers._ga._genes import UNIFORM_STD
from optuna_evo.samplers._ga._lists import Item
from optuna_evo.samplers._ga._lists import join
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._lists import split
from optuna_evo.samplers._ga._operators import change_structure
from optuna_evo.samplers._ga._operators import covers
from optuna_evo.samplers._ga._operators import cross_lists
from optuna_evo.samplers._ga._operators import is_mutable
from optuna_evo.samplers._ga._operators import limits
from optuna_evo.samplers._ga._operators import mix
from optuna_evo.samplers._ga._operators import Rates


__all__ = ["breed_adaptive", "draw_step"]

Params = Mapping[str, Any]
Space = Mapping[str, BaseDistribution]

SMALLEST_STEP: Final = 0.005  # of a range
LARGEST_STEP: Final = 0.5
_MIN_REMEMBERED: Final = 3
_SHARE_REMEMBERED: Final = 0.8
_SPREAD: Final = 0.5  # of the log-normal factor
_CHANGED: Final = (1.0, 2.0, 4.0)  # expected numbers of numbers that move
_MAX_DRAWS: Final = 3


def draw_step(successes: Sequence[float], rng: Generator) -> float:
    """Return the size of a mutation as a share of a (log) range.

    Args:
        successes: Step sizes that have made children better than their mothers.
        rng: Source of randomness.
    """
    if len(successes) >= _MIN_REMEMBERED and rng.random() < _SHARE_REMEMBERED:
        remembered = successes[int(rng.integers(len(successes)))]
        return min(LARGEST_STEP, remembered * math.exp(_SPREAD * rng.standard_normal()))
    return math.exp(rng.uniform(math.log(SMALLEST_STEP), math.log(LARGEST_STEP)))


def breed_adaptive(
    mother: Params,
    father: Params,
    *,
    space: Space,
    specs: Sequence[ListSpec],
    rates: Rates,
    step: float,
    donors: Mapping[str, Sequence[Any]],
    rng: Generator,
) -> dict[str, Any]:
    """Return the parameters of a child.

    Args:
        mother: Parameters of the parent that it resembles more.
        father: Parameters of the other.
        space: Every parameter that was seen.
        specs: The lists among them.
        rates: Probabilities of crossover, of another structure and of another category.
        step: Size of the mutation of numbers, a share of their ranges.
        donors: Values, in good trials, of scalars that a parent may lack: a category that turns
            to another branch finds it furnished.
        rng: Source of randomness.
    """
    child: dict[str, Any] = {}
    furniture = sorted(split(dict.fromkeys(donors, 0), specs)[0])
    for _ in range(_MAX_DRAWS):
        scalars, lists = split(mother, specs)
        if rng.random() < rates.crossover:
            scalars, lists = _crossed(scalars, lists, father, space, specs, rng)
        for spec in specs:
            if spec.length in lists and rng.random() < rates.structure:
                lists[spec.length] = change_structure(lists[spec.length], spec, space, rng)
        for name in furniture:
            if name not in scalars:
                scalars[name] = donors[name][int(rng.integers(len(donors[name])))]
        child = _moved(join(scalars, lists, specs), specs, space, rates, step, rng)
        if not (covers(child, mother) or covers(child, father)):
            break
    return child


def _crossed(
    scalars: Params,
    lists: Mapping[str, list[Item]],
    father: Params,
    space: Space,
    specs: Sequence[ListSpec],
    rng: Generator,
) -> tuple[dict[str, Any], dict[str, list[Item]]]:
    other_scalars, other_lists = split(father, specs)
    crossed: dict[str, list[Item]] = {**other_lists, **lists}
    for spec in specs:
        if spec.length in lists and spec.length in other_lists:
            ours, theirs = lists[spec.length], other_lists[spec.length]
            kinds = _kinds(spec, space)
            crossed[spec.length] = (
                _matched(ours, theirs, kinds, limits(spec, space), rng)
                if kinds
                else cross_lists(ours, theirs, limits(spec, space), rng)
            )
    return mix(scalars, other_scalars, rng), crossed


def _kinds(spec: ListSpec, space: Space) -> list[str]:
    """Return the templates that say of what kind an item is: its categories."""
    n_known = min(limits(spec, space)[1], len(space))
    return [
        template
        for template in spec.templates
        if any(
            isinstance(space.get(spec.name(template, k)), CategoricalDistribution)
            for k in range(n_known)
        )
    ]


def _matched(
    ours: Sequence[Item],
    theirs: Sequence[Item],
    kinds: Sequence[str],
    bounds: tuple[int, int],
    rng: Generator,
) -> list[Item]:
    """Cross two lists whose items are matched by kind.

    Of two items of one kind either is inherited; an item that has no match is with one half.
    """
    low, high = bounds
    unmatched, child, left_out = list(theirs), list[Item](), list[Item]()
    for item in ours:
        kind = [item.get(template) for template in kinds]
        matches = (k for k, o in enumerate(unmatched) if [o.get(t) for t in kinds] == kind)
        match = next(matches, None)
        if match is not None:
            other = unmatched.pop(match)
            child.append(item if rng.random() < 0.5 else other)
        else:
            (child if rng.random() < 0.5 else left_out).append(item)
    for item in unmatched:
        (child if rng.random() < 0.5 else left_out).append(item)
    while len(child) < low and left_out:
        child.append(left_out.pop(int(rng.integers(len(left_out)))))
    while len(child) > high:
        del child[int(rng.integers(len(child)))]
    return child


def _moved(
    params: Params,
    specs: Sequence[ListSpec],
    space: Space,
    rates: Rates,
    step: float,
    rng: Generator,
) -> dict[str, Any]:
    """Switch some categories and move a few numbers by the step size, at least one of either."""
    child = dict(params)
    names = [name for name in sorted(child) if is_mutable(name, specs, space)]
    numbers = [name for name in names if is_number(space[name])]
    switched = [n for n in names if not is_number(space[n]) and rng.random() < rates.flag]
    if not numbers and not switched and names:
        switched = [names[int(rng.integers(len(names)))]]
    for name in switched:
        distribution = space[name]
        assert isinstance(distribution, CategoricalDistribution)
        child[name] = other_choice(child[name], distribution, rng)
    if numbers:
        moves = rng.random(len(numbers)) < rng.choice(_CHANGED) / len(numbers)
        moves[int(rng.integers(len(numbers)))] = True
        for name, is_moved in zip(numbers, moves, strict=True):
            if is_moved:
                child[name] = mutate_number(child[name], space[name], step / UNIFORM_STD, rng)
    return child

"""Variable-length lists inside flat parameter names.

A define-by-run space writes a list as a length and one name an item:

    n_terms = 2, term_0 = "GRAD", alpha_0 = 1.5, term_1 = "SIGN", alpha_1 = -0.3, lr = 0.01

`ListSpec` names the parts, `split` takes such parameters apart into scalars and items, `join` puts
them together again. An item is moved whole: its term with its alpha.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import functools
import re
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution


__all__ = ["check_lists", "declared_lists", "find_lists", "Item", "join", "ListSpec", "split"]

INDEX = "{i}"
# A rule about lists must hold in this share of the trials seen: one odd trial, such as an enqueued
# one, must not hide a list for the rest of a study.
_REQUIRED_SHARE = 0.98
_MAX_EMPTY_ITEMS = 1_000  # items without parameters that are kept apart

Item = dict[str, Any]
"""The parameters of one list item, by template."""

Sample = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
"""The parameters and distributions of a trial."""


@dataclass(frozen=True)
class ListSpec:
    """A list: the parameter that holds its length and the templates of its items.

    Args:
        length: Name of the integer parameter that holds the number of items.
        templates: Names of item parameters with "{i}" in place of the index.
        base: Index of the first item.
    """

    length: str
    templates: tuple[str, ...]
    base: int = 0

    def name(self, template: str, position: int) -> str:
        """Return the parameter name of the item at `position`, counted from 0."""
        return template.replace(INDEX, str(position + self.base))


def check_lists(lists: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError unless `lists` maps length parameters to item templates."""
    for length, templates in lists.items():
        if isinstance(templates, str) or not templates:
            raise ValueError(
                f"`lists` must map a length parameter to a tuple of templates, such as "
                f'{{"n_terms": ("term_{{i}}", "alpha_{{i}}")}}; got {length!r}: {templates!r}.'
            )
        if missing := [template for template in templates if INDEX not in template]:
            raise ValueError(
                f'Every template in `lists` must hold "{INDEX}" where the index stands; '
                f"{missing} of {length!r} do not."
            )


def declared_lists(
    lists: Mapping[str, Sequence[str]], names: Iterable[str]
) -> tuple[ListSpec, ...]:
    """Return the declared lists; the index base is the lowest index among the `names` seen."""
    names = set(names)
    specs = []
    for length, templates in lists.items():
        from_zero = any(template.replace(INDEX, "0") in names for template in templates)
        seen = any(template.replace(INDEX, "1") in names for template in templates)
        specs.append(ListSpec(length, tuple(templates), 1 if seen and not from_zero else 0))
    return tuple(specs)


def find_lists(samples: Sequence[Sample]) -> tuple[ListSpec, ...]:
    """Find the lists that trials show.

    An integer parameter L of at least two different values is a length if the indices of some
    family `name_<index>` are exactly 0..L-1 (or 1..L) in the trials. Families whose indices are
    always a part of these, but not always the same, are conditional parameters of the items.
    A list whose length belongs to the items of another list moves with those items.
    """
    numbers: dict[str, list[int | None]] = {}
    families: dict[str, list[set[int]]] = {}
    for k, (params, distributions) in enumerate(samples):
        for name, value in params.items():
            distribution = distributions[name]
            if isinstance(distribution, IntDistribution) and not distribution.single():
                numbers.setdefault(name, [None] * len(samples))[k] = value
            for template, index in _templates(name):
                if template not in families:
                    families[template] = [set() for _ in samples]
                families[template][k].add(index)
    specs: list[ListSpec] = []
    taken: set[str] = set()
    for length in sorted(numbers):
        values = numbers[length]
        if len({value for value in values if value is not None}) < 2:
            continue
        for base in (0, 1):
            # ranges, never sets: an integer that is no length may be as large as it likes
            allowed = [range(base, base + (value or 0)) for value in values]
            if exact := [t for t in sorted(families) if _exact(families[t], allowed)]:
                parts = [t for t in sorted(families) if _part(families[t], allowed)]
                templates = tuple(t for t in {**dict.fromkeys(exact + parts)} if t not in taken)
                if templates:
                    specs.append(ListSpec(length, templates, base))
                    taken.update(templates)
                break
    return tuple(spec for spec in specs if not any(t in taken for t, _ in _templates(spec.length)))


def split(
    params: Mapping[str, Any], specs: Sequence[ListSpec]
) -> tuple[dict[str, Any], dict[str, list[Item]]]:
    """Take parameters apart into scalars and, by length name, lists of items.

    Item parameters beyond the length are dropped. A list whose length is not among the parameters
    is absent.
    """
    scalars = dict(params)
    lists: dict[str, list[Item]] = {}
    for spec in specs:
        items: list[Item] = []
        if spec.length in params:
            # No more items than could have a parameter: an odd trial may hold any number.
            n_items = min(scalars.pop(spec.length), max(len(params), _MAX_EMPTY_ITEMS))
            names = [{t: spec.name(t, k) for t in spec.templates} for k in range(n_items)]
            items = [{t: params[n] for t, n in row.items() if n in params} for row in names]
            lists[spec.length] = items
        members = set(spec.templates)
        for name in list(scalars):
            if any(template in members for template, _ in _templates(name)):
                del scalars[name]
    return scalars, lists


def join(
    scalars: Mapping[str, Any],
    lists: Mapping[str, Sequence[Item]],
    specs: Sequence[ListSpec],
) -> dict[str, Any]:
    """Put scalars and lists together into flat parameters: the inverse of `split`."""
    params = dict(scalars)
    for spec in specs:
        if spec.length in lists:
            params[spec.length] = len(lists[spec.length])
            for k, item in enumerate(lists[spec.length]):
                params.update({spec.name(t, k): value for t, value in item.items()})
    return params


@functools.lru_cache(maxsize=65_536)
def _templates(name: str) -> tuple[tuple[str, int], ...]:
    """Return every reading of a name as (template, index): one for each run of digits in it."""
    runs = [run for run in re.finditer(r"\d+", name) if str(int(run.group())) == run.group()]
    return tuple((name[: r.start()] + INDEX + name[r.end() :], int(r.group())) for r in runs)


def _exact(indices: Sequence[set[int]], allowed: Sequence[range]) -> bool:
    hits = sum(
        len(a) == _length(b) and _is_within(a, b) for a, b in zip(indices, allowed, strict=True)
    )
    return hits >= _REQUIRED_SHARE * len(allowed)


def _part(indices: Sequence[set[int]], allowed: Sequence[range]) -> bool:
    hits = sum(_is_within(a, b) for a, b in zip(indices, allowed, strict=True))
    varies = len({frozenset(a) for a in indices if a}) >= 2
    return varies and hits >= _REQUIRED_SHARE * len(allowed)


def _is_within(indices: set[int], allowed: range) -> bool:
    return not indices or (min(indices) >= allowed.start and max(indices) < allowed.stop)


def _length(indices: range) -> int:
    return max(indices.stop - indices.start, 0)  # `len` ends at 2**63

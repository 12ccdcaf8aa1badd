"""Which parameters a study will have in branches that it has not tried, as its sources show.

A define-by-run space shows a branch only when it is taken. Where sources have a parameter in some
of their trials only, the category or small grid that foretells it there is taken to foretell it in
the new study too, until a trial of that contradicts.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from optuna_evo.samplers._history import History
from optuna_evo.samplers._meta._source import Source
from optuna_evo.surrogates import ActivityCondition
from optuna_evo.surrogates import deactivate
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import SpaceEncoding


Rules = tuple[ActivityCondition, ...]


class Branches:
    """What sources show of a study's space; the rules are learned once for each space."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], Rules] | None = None

    def foresee(
        self, sources: Sequence[Source], history: History
    ) -> tuple[SpaceEncoding, Rules] | None:
        """Return the space with the branches to come, and what foretells these.

        A study that has shown nothing yet is taken to have all parameters of the sources. None if
        there are no parameters.
        """
        of_sources = _union(sources)
        own = history.space or of_sources
        if not own:
            return None
        partial = _partial(sources)
        if not partial:
            return SpaceEncoding(own, optional=history.optional), ()
        space = dict(sorted((of_sources | dict(own)).items()))
        key = tuple(source.fingerprint for source in sources), repr(space)
        if self._last is None or self._last[0] != key:
            units = SpaceEncoding(space).units([c for s in sources for c in s.configurations])
            names = list(space)
            rules = tuple(r for r in learn_rules(units) if names[r.child] in partial)
            self._last = key, rules
        return _within(history, own, space, self._last[1])


def _within(
    history: History,
    own: Mapping[str, BaseDistribution],
    space: Mapping[str, BaseDistribution],
    rules: Rules,
) -> tuple[SpaceEncoding, Rules]:
    """Keep what the study's own trials do not contradict, and whose parent it has."""
    names = list(space)
    seen = SpaceEncoding(space).units([o.params for o in history.observations])
    there, kept = set(own), list[ActivityCondition]()
    for rule in rules:  # parents first
        if names[rule.parent] in there and _agrees(rule, seen):
            there.add(names[rule.child])
            kept.append(rule)
    place = {name: j for j, name in enumerate(name for name in names if name in there)}
    moved = (
        replace(rule, child=place[names[rule.child]], parent=place[names[rule.parent]])
        for rule in kept
    )
    optional = history.optional | {names[rule.child] for rule in kept}
    return SpaceEncoding({n: space[n] for n in place}, optional=optional), tuple(moved)


def _agrees(rule: ActivityCondition, seen: NDArray[np.float64]) -> bool:
    """Tell whether a rule says of trials (n, d) what they are."""
    filled = seen.copy()
    filled[:, rule.child] = 0.0
    absent = np.isnan(deactivate(filled, [rule])[:, rule.child])
    return bool((absent == np.isnan(seen[:, rule.child])).all())


def _union(sources: Sequence[Source]) -> dict[str, BaseDistribution]:
    union: dict[str, BaseDistribution] = {}
    for source in sources:
        union.update(source.distributions)
    return {name: union[name] for name in sorted(union) if not union[name].single()}


def _partial(sources: Sequence[Source]) -> set[str]:
    """Return the parameters that a source has in some of its trials only."""
    return {
        name
        for source in sources
        for name, column in source.params.items()
        if 0 < np.isnan(column).sum() < len(column)
    }

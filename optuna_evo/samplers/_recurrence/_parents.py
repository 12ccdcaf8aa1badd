"""Which segment the next one goes on from: the member's own last, or that of a better member.

Members are rivals while their lineages are short, and train one model in turn afterwards. Rivals
are halved (successive halving, Jamieson and Talwalkar 2016), which drops few segments, or chosen
by truncation selection (Jaderberg et al. 2017) that closes in on the best.
"""

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Self

from numpy.random import Generator

from optuna_evo.samplers._recurrence._feedback import find_rivals
from optuna_evo.samplers._recurrence._feedback import loss_noise
from optuna_evo.samplers._recurrence._feedback import rank_among
from optuna_evo.samplers._recurrence._options import check_between
from optuna_evo.samplers._recurrence._state import PopulationState
from optuna_evo.samplers._recurrence._state import Result


__all__ = ["choose_best", "choose_parent", "Selection"]

# How many lineages begin where the length of the study is known: so many that at most one segment
# of eight is dropped, but no fewer than four.
DROPPED, LEAST_LINEAGES = 1 / 8, 4
# How often a segment is trained that makes the loss worse, before the best of them is the parent.
N_TRIES = 2


@dataclass(frozen=True)
class Selection:
    """How parents are chosen; see the arguments of `RecurrenceSampler`.

    Raises:
        ValueError: If a number is out of range.
    """

    exploit_quantile: float
    n_rival_segments: int | None
    tolerance: float
    way: str | None
    n_lineages: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        n = self.n_rival_segments
        check_between("exploit_quantile", self.exploit_quantile, 0.0, 0.5)
        check_between("tolerance", self.tolerance, 0.0, math.inf)
        if n is not None and n < 0:
            raise ValueError(f"`n_rival_segments` must be at least 0, got {n}. None: always.")
        if self.way not in (None, "halving", "linear"):
            raise ValueError(f'`rivalry` must be "halving" or "linear", got {self.way!r}.')

    @property
    def halves(self) -> bool:
        """Whether rivals are halved: neither stay they rivals for ever, nor go their own ways."""
        has_end = self.n_rival_segments is not None and self.exploit_quantile > 0.0
        return self.way == "halving" and has_end

    def rivalry(self, index: int) -> float:
        """Return how far members stay apart, from 1 in first segments down to 0."""
        n = self.n_rival_segments
        return 1.0 if n is None else max(1.0 - index / n, 0.0) if n else 0.0

    def n_rivals(self, index: int, n_lineages: int) -> int:
        """Return how many lineages get a segment of this index, of `n_lineages` that began.

        So many halvings as leave one are spread evenly over the rival segments: of 8, with 4 rival
        segments, 4 are left after the first segment, 2 after the third and 1 after the fourth.
        """
        n, n_halvings = self.n_rival_segments or 0, math.ceil(math.log2(n_lineages))
        done = sum(max(round(k * n / n_halvings), 1) <= index for k in range(1, n_halvings + 1))
        return math.ceil(n_lineages / (1 << done))

    def within(self, n_trials: int | None, size: int, at_least: int = 0) -> Self:
        """Return the selection that begins so many lineages as a study can afford to drop.

        Args:
            n_trials: Length of the study; None: not known, all members begin one.
            size: Number of members.
            at_least: Lineages that begin anyway.
        """
        if not self.halves or n_trials is None:
            return replace(self, n_lineages=size)
        n, most = self.n_rival_segments or 0, n_trials * DROPPED
        least = min(max(at_least, LEAST_LINEAGES), size)
        if n > most:  # one is dropped in each of these segments at least
            return replace(self, n_lineages=least)

        def n_dropped(n_lineages: int) -> int:
            return sum(self.n_rivals(index, n_lineages) - 1 for index in range(n))

        more = bisect.bisect_right(range(least + 1, size + 1), most, key=n_dropped)
        return replace(self, n_lineages=least + more)

    def survives(self, population: PopulationState, own: Result) -> bool:
        """Whether the lineage of a member's latest segment is one of the rivals that go on."""
        rivals = find_rivals(population, own)
        n_better = sum((r.rank, r.trial.number) < (own.rank, own.trial.number) for r in rivals)
        return n_better < self.n_rivals(own.segment.index + 1, self.n_lineages)

    def dropped(self, population: PopulationState) -> frozenset[int]:
        """Return the members without a lineage of their own, while there are rivals.

        They come after all others: what they train next is the best of those.
        """
        if not self.halves:
            return frozenset()
        latest = {result.segment.member: result for result in population.latest()}
        rivals = {
            m: r for m, r in latest.items() if r.segment.index < (self.n_rival_segments or 0)
        }
        surviving = self._surviving(population)
        going = {member for member, r in rivals.items() if r.trial.number in surviving}
        going |= set(range(self.n_lineages)) - latest.keys()
        late = set(range(self.n_lineages, population.size)) - latest.keys()
        return frozenset((rivals.keys() - going) | late if going else ())

    def _surviving(self, population: PopulationState) -> set[int]:
        """Return the trials of all segments that `survives` is true of, in one pass."""
        by_index: dict[int, list[Result]] = defaultdict(list)
        for result in population.results.values():
            if result.segment.index < (self.n_rival_segments or 0):
                by_index[result.segment.index].append(result)
        return {
            result.trial.number
            for index, results in by_index.items()
            for result in sorted(results, key=lambda r: (r.rank, r.trial.number))[
                : self.n_rivals(index + 1, self.n_lineages)
            ]
        }


def choose_best(selection: Selection, population: PopulationState) -> Result | None:
    """Return the segment that a member without one goes on from; None where none has weights."""
    return _front(selection, population, population.latest())


def choose_parent(
    selection: Selection, population: PopulationState, own: Result, rng: Generator
) -> Result | None:
    """Return the segment that the member of `own`, its latest, goes on from.

    A segment without weights is no parent: such a member goes on from the best one that has
    some, and where there is none, it starts afresh (None).
    """
    better = _choose_better(selection, population, own, rng)
    if better is not None:
        return better
    if own.has_weights:
        return own
    rest = [result for result in population.latest() if result.has_weights]
    earlier = population.own_with_weights(own.segment.member)
    return min(rest, key=lambda result: result.rank, default=earlier)


def _choose_better(
    selection: Selection, population: PopulationState, own: Result, rng: Generator
) -> Result | None:
    """Return the segment that a member exploits; None if it goes its own way.

    Rivals are compared where they were trained equally far. Where they are halved, those that
    survive go their own ways, and the others on from the best of all. Else, at rivalry 1 a member
    among the worst share goes on from one of as many best. As rivalry falls, both shares close in
    on the very best; at 0 every member goes on from the best of all.
    """
    if selection.exploit_quantile == 0.0:
        return None
    rivalry, latest = selection.rivalry(own.segment.index), population.latest()
    if rivalry > 0.0 and selection.halves:
        if own.has_weights and selection.survives(population, own):
            return None
    elif rivalry > 0.0:
        rivals = sorted(find_rivals(population, own), key=lambda rival: rival.rank)
        # truncation selection; the share that exploits grows as rivalry falls
        if rank_among(own, rivals) <= (1.0 - selection.exploit_quantile) * rivalry:
            return None
        better = (rival for rival in rivals if rival.rank < own.rank)
        lines = [[other for other in latest if population.descends(other, r)] for r in better]
        if living := [line for line in lines if line]:
            share = selection.exploit_quantile * rivalry
            n_best = max(round(share * (len(rivals) + 1)), 1)
            latest = living[int(rng.integers(min(n_best, len(living))))]
    front = _front(selection, population, latest)
    return None if front is None or front.segment.member == own.segment.member else front


def _front(
    selection: Selection, population: PopulationState, results: Sequence[Result]
) -> Result | None:
    """Return the best of some latest segments, or what went on from it and is about as good.

    What is worse by at most `tolerance` standard deviations of noise counts as equal, and of
    equals the one trained furthest is the best. To go back for the luck of the last batches would
    throw training away, again and again: so where rivals are halved, what was gone on from
    `N_TRIES` times in vain is left behind, for the best that came of it.
    """
    whole = [result for result in results if result.has_weights]
    if not whole:
        return None
    best = min(whole, key=lambda result: (result.rank, result.segment.member))
    bound = best.loss + selection.tolerance * loss_noise(population)
    as_feasible = [r for r in whole if r.violation <= best.violation]
    equal = [r for r in as_feasible if r.loss <= bound and population.descends(r, best)]
    front = max(equal, key=lambda result: result.segment.index)
    beyond = [r for r in as_feasible if r is not front and population.descends(r, front)]
    n_tries = sum(r.segment.parent == front.trial.number for r in population.results.values())
    if beyond and selection.halves and n_tries >= N_TRIES:
        return _front(selection, population, beyond)
    return front

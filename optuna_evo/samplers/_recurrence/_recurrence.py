"""The recurrence: from the segments so far to the parent and hyperparameters of the next one."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Any
from typing import Self

from optuna.trial import FrozenTrial

from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._feedback import read_feedback
from optuna_evo.samplers._recurrence._parents import choose_best
from optuna_evo.samplers._recurrence._parents import choose_parent
from optuna_evo.samplers._recurrence._parents import Selection
from optuna_evo.samplers._recurrence._segment import DEFAULTS
from optuna_evo.samplers._recurrence._segment import SegmentAssignment
from optuna_evo.samplers._recurrence._state import PopulationState
from optuna_evo.samplers._recurrence._state import Result
from optuna_evo.samplers._recurrence._step import cooldown
from optuna_evo.samplers._recurrence._step import published_annealing
from optuna_evo.samplers._recurrence._step import published_factors
from optuna_evo.samplers._recurrence._step import published_step
from optuna_evo.samplers._recurrence._step import recurrent_step
from optuna_evo.samplers._recurrence._step import retained
from optuna_evo.samplers._recurrence._step import StepSettings


__all__ = ["Recurrence"]

_LEAST_NOISE = 0.1  # share of the noise that is left where there are no rivals to compare with


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """How hyperparameters follow from a parent's.

    Args:
        settings: Numbers of the recurrence.
        selection: Who goes on from whom.
        is_published: Whether steps are those of the published rule.
        annealing: How annealed parameters fall; None is left open, see `begun_with`.
        temperature: That of first segments.
        n_trials: Trials that the study will have, if that is known.
        n_first: Members whose first segments are given.

    Raises:
        ValueError: If one is out of range.
    """

    settings: StepSettings
    selection: Selection
    is_published: bool
    annealing: str | None
    temperature: float
    n_trials: int | None
    n_first: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.annealing not in (None, "cooldown", "geometric", "every_10_rounds"):
            raise ValueError(
                '`annealing` must be "cooldown", "geometric" or "every_10_rounds", got '
                f"{self.annealing!r}."
            )
        if self.annealing == "cooldown" and self.n_trials is None:
            raise ValueError('`annealing` "cooldown" needs `n_trials`: when the study ends.')
        if self.n_trials is not None and self.n_trials < 1:
            raise ValueError(f"`n_trials` must be at least 1, got {self.n_trials}.")
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"`temperature` must be positive and finite, got {self.temperature}.")

    def begun_with(self, defaults: int, size: int) -> Self:
        """Return the recurrence with what was left open as when a study began (`DEFAULTS`).

        Args:
            defaults: That of the study.
            size: Number of members.
        """
        is_new = defaults >= DEFAULTS
        selection, annealing = self.selection, self.annealing
        if selection.way is None:
            selection = replace(selection, way="halving" if is_new else "linear")
        if annealing is None:
            annealing = "cooldown" if is_new and self.n_trials is not None else "geometric"
        selection = selection.within(self.n_trials if is_new else None, size, self.n_first)
        return replace(self, selection=selection, annealing=annealing)

    def next_segment(
        self, population: PopulationState, number: int, study: str, entropy: int
    ) -> SegmentAssignment:
        """Return the segment of the running trial `number`.

        Args:
            population: The segments before it.
            number: The trial.
            study: The name under which segments are assigned.
            entropy: The seed.
        """
        member, turn, attempt = population.next_slot(number, self.selection.dropped(population))
        blank = SegmentAssignment(
            member=member,
            index=0,
            parent=None,
            temperature=self.temperature,
            rho=1.0,
            exploited=False,
            turn=turn,
            attempt=attempt,
            entropy=entropy,
            study=study,
        )
        return self.assign(blank, population)

    def assign(self, blank: SegmentAssignment, population: PopulationState) -> SegmentAssignment:
        """Choose the parent of a segment and draw its hyperparameters.

        Args:
            blank: The segment's slot and seed.
            population: The segments before it.
        """
        if self.annealing == "cooldown" and self.n_trials is not None:
            progress = min(len(population.results) / self.n_trials, 1.0)
            blank = replace(blank, progress=progress)
        own = population.own(blank.member)
        if own is not None:
            parent = choose_parent(self.selection, population, own, blank.selection_rng())
        elif blank.member < self.selection.n_lineages:
            return self._start(blank, population)
        else:
            parent = choose_best(self.selection, population)
        if parent is None:
            return blank
        own = own or parent
        segment = replace(
            blank,
            index=parent.segment.index + 1,
            parent=parent.trial.number,
            temperature=parent.segment.temperature * self.settings.cooling,
            rho=retained(self.settings, read_feedback(population, own)),
            exploited=parent.segment.member != blank.member,
        )
        settings, values = self._annealed(segment, parent)
        before = population.parent(parent)
        previous = self._annealed(segment, before)[1] if before is not None else {}
        scale = segment.temperature * max(self.selection.rivalry(segment.index), _LEAST_NOISE)
        feedback = read_feedback(population, parent)
        return self._vary(settings, segment, parent.trial, values, previous, feedback, scale)

    def _start(self, blank: SegmentAssignment, population: PopulationState) -> SegmentAssignment:
        """Return the segment of a fresh start, near an added trial where there is one."""
        k = blank.member - self.n_first
        if blank.turn or not 0 <= k < len(population.seeds):
            return blank
        segment = replace(blank, rho=self.settings.retention)
        at_rest = replace(self.settings, anneal={})
        source = population.seeds[k]
        values, scale = source.params, segment.temperature
        return self._vary(at_rest, segment, source, values, {}, Feedback(), scale)

    def _annealed(
        self, segment: SegmentAssignment, earlier: Result
    ) -> tuple[StepSettings, Mapping[str, Any]]:
        """Return how a segment anneals, and the parameters of an earlier one before annealing.

        What cools down by the end of the study is carried on as it would be without: so neither
        noise nor a changed number of trials depends on how far it had fallen.
        """
        if segment.progress is None:
            return self.settings, earlier.trial.params
        before = earlier.segment.progress
        had = self._share(earlier.segment, segment.progress if before is None else before)
        values = {
            name: value / had if name in self.settings.anneal else value
            for name, value in earlier.trial.params.items()
        }
        share = self._share(segment, segment.progress)
        return replace(self.settings, anneal=dict.fromkeys(self.settings.anneal, share)), values

    def _share(self, segment: SegmentAssignment, progress: float) -> float:
        """Return what is left of an annealed parameter in a segment."""
        race = self.selection.n_rival_segments
        return cooldown(progress, (segment.index + 1) / race if race else 1.0)

    def _vary(
        self,
        settings: StepSettings,
        segment: SegmentAssignment,
        source: FrozenTrial,
        values: Mapping[str, Any],
        previous: Mapping[str, Any],
        feedback: Feedback,
        noise_scale: float,
    ) -> SegmentAssignment:
        """Return the segment with the next hyperparameters after `values`, those of `source`."""
        genes: dict[str, float] = {}
        if self.annealing == "every_10_rounds" and settings.anneal:
            factor = published_annealing(segment.index)
            settings = replace(settings, anneal=dict.fromkeys(settings.anneal, factor))
        coins = segment.configuration_rng()
        factors = published_factors(settings, coins) if self.is_published else None
        for name, distribution in source.distributions.items():
            value, rng = values[name], segment.variation_rng(name)
            if self.is_published:
                value = published_step(
                    settings, name, distribution, value=value, factors=factors, rng=rng
                )
            else:
                value = recurrent_step(
                    settings,
                    name,
                    distribution,
                    value=value,
                    previous=previous,
                    feedback=feedback,
                    rho=segment.rho,
                    noise_scale=noise_scale,
                    rng=rng,
                )
            genes[name] = float(distribution.to_internal_repr(value))
        return replace(segment, source=source.number, genes=genes)

"""The recurrence: from the segments so far to the parent and hyperparameters of the next one."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from optuna_evo.samplers._recurrence._feedback import Feedback
from optuna_evo.samplers._recurrence._feedback import read_feedback
from optuna_evo.samplers._recurrence._parents import choose_parent
from optuna_evo.samplers._recurrence._parents import Selection
from optuna_evo.samplers._recurrence._segment import SegmentAssignment
from optuna_evo.samplers._recurrence._state import PopulationState
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
        anneals_by_rounds: Whether annealed parameters fall as published, every ten rounds.
    """

    settings: StepSettings
    selection: Selection
    is_published: bool
    anneals_by_rounds: bool = False

    def assign(self, blank: SegmentAssignment, population: PopulationState) -> SegmentAssignment:
        """Choose the parent of a segment and draw its hyperparameters.

        Args:
            blank: The segment's slot and seed.
            population: The segments before it.
        """
        own = population.own(blank.member)
        if own is None:
            return self._start(blank, population)
        parent = choose_parent(self.selection, population, own, blank.selection_rng())
        if parent is None:
            return blank
        segment = replace(
            blank,
            index=parent.segment.index + 1,
            parent=parent.trial.number,
            temperature=parent.segment.temperature * self.settings.cooling,
            rho=retained(self.settings, read_feedback(population, own)),
            exploited=parent.segment.member != blank.member,
        )
        before = population.parent(parent)
        previous = before.trial.params if before is not None else {}
        scale = segment.temperature * max(self.selection.rivalry(segment.index), _LEAST_NOISE)
        feedback = read_feedback(population, parent)
        return self._vary(self.settings, segment, parent.trial, previous, feedback, scale)

    def _start(self, blank: SegmentAssignment, population: PopulationState) -> SegmentAssignment:
        """Return the segment of a fresh start, near an added trial where there is one."""
        if blank.turn or blank.member >= len(population.seeds):
            return blank
        segment = replace(blank, rho=self.settings.retention)
        at_rest = replace(self.settings, anneal={})
        source = population.seeds[blank.member]
        return self._vary(at_rest, segment, source, {}, Feedback(), segment.temperature)

    def _vary(
        self,
        settings: StepSettings,
        segment: SegmentAssignment,
        source: FrozenTrial,
        previous: Mapping[str, Any],
        feedback: Feedback,
        noise_scale: float,
    ) -> SegmentAssignment:
        """Return the segment with the next hyperparameters after those of `source`."""
        genes: dict[str, float] = {}
        if self.anneals_by_rounds and settings.anneal:
            factor = published_annealing(segment.index)
            settings = replace(settings, anneal=dict.fromkeys(settings.anneal, factor))
        coins = segment.configuration_rng()
        factors = published_factors(settings, coins) if self.is_published else None
        for name, distribution in source.distributions.items():
            value, rng = source.params[name], segment.variation_rng(name)
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

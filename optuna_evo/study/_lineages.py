"""What studies ask of a sampler whose trials are segments of lineages."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optuna_evo.errors import SpecError
from optuna_evo.samplers import fitting_starts
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import Source
from optuna_evo.spec import StudySpec


__all__ = ["check_lineage", "first_segments"]


def check_lineage(spec: StudySpec, sampler: BaseSampler) -> None:
    """Check that a sampler and a spec go with how trials go on from one another.

    Raises:
        SpecError: If they do not.
    """
    inherit = spec.lineage.inherit
    if inherit == "parent" and spec.priors:
        raise SpecError(
            "`priors` go with trials that are whole trainings; those of a lineage "
            '(`lineage.inherit` "parent") are segments: leave them out, or name what to begin '
            "with in `first` of [sampler]."
        )
    if inherit == "parent" and not isinstance(sampler, RecurrenceSampler):
        raise SpecError(
            f'`lineage.inherit` "parent" goes with the sampler "recurrence", which says who goes '
            f'on from whom; got {spec.sampler.name!r}. Others go with "shared" or "none".'
        )
    if inherit == "shared" and spec.batch_size > 1:
        raise SpecError(
            f'`lineage.inherit` "shared" trains one model in turn: batch_size must be 1, '
            f"got {spec.batch_size}."
        )


def first_segments(
    spec: StudySpec,
    sampler: RecurrenceSampler,
    sources: Sequence[Source],
    parameters: Mapping[str, BaseDistribution],
) -> list[Mapping[str, Any]]:
    """Return the configurations of first segments: those of the spec, then what sources give.

    Sources give at most half of them: the others say whether that is right here.
    """
    given = list(spec.sampler.options.get("first", ()))
    room = max(sampler.n_lineages // 2 - len(given), 0)
    return [*given, *fitting_starts(sources, parameters)[:room]]

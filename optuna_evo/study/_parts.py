"""The parts that a spec names, built: samplers, pruners, spaces, the objective."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import inspect
from pathlib import Path
from typing import Any
import zlib

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from optuna_evo.config import NamedOptimizer
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.objectives import check_config
from optuna_evo.objectives import check_spec
from optuna_evo.objectives import kind_of
from optuna_evo.plugins import load_attribute
from optuna_evo.samplers import check_priors
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import Source
from optuna_evo.search import Objective
from optuna_evo.spec import Part
from optuna_evo.spec import StudySpec
from optuna_evo.warm_start import probe_space


__all__ = [
    "build_objective",
    "build_pruner",
    "build_sampler",
    "build_space",
    "check_parts",
    "PRUNERS",
    "resolve_spec",
    "SAMPLERS",
    "space_parameters",
    "SPACES",
]

SAMPLERS: Mapping[str, str] = {
    "ga": "optuna_evo.samplers:GASampler",
    "hybrid": "optuna_evo.samplers:HybridSampler",
    "meta": "optuna_evo.samplers:MetaPriorSampler",
    "recurrence": "optuna_evo.samplers:RecurrenceSampler",
    "recurrence_plain": "optuna_evo.samplers:RecurrenceSampler.plain",
    "recurrence_published": "optuna_evo.samplers:RecurrenceSampler.published",
    "thompson": "optuna_evo.samplers:ThompsonSampler",
    "random": "optuna.samplers:RandomSampler",
    "tpe": "optuna.samplers:TPESampler",
    "gp": "optuna.samplers:GPSampler",
    "nsgaii": "optuna.samplers:NSGAIISampler",
    "cmaes": "optuna.samplers:CmaEsSampler",
}
_META = "meta"
PRUNERS: Mapping[str, str] = {
    "none": "optuna.pruners:NopPruner",
    "divergence": "optuna_evo.pruners:DivergencePruner",
    "flatness": "optuna_evo.pruners:FlatnessPruner",
    "median": "optuna.pruners:MedianPruner",
    "percentile": "optuna.pruners:PercentilePruner",
    "wilcoxon": "optuna.pruners:WilcoxonPruner",
    "hyperband": "optuna.pruners:HyperbandPruner",
    "successive_halving": "optuna.pruners:SuccessiveHalvingPruner",
}
SPACES: Mapping[str, str] = {
    "estimator": "optuna_evo.spaces:estimator_space",
    "genome": "optuna_evo.spaces:genome_space",
    "language_model": "optuna_evo.spaces:language_model_space",
    "training": "optuna_evo.spaces:training_space",
    **{
        name + kind: f"optuna_evo.spaces._grids:{name}{kind}"
        for name in ("bert", "distilbert", "roberta", "cnn", "resnet")
        for kind in ("", "_continuous")
    },
}


def resolve_spec(spec: StudySpec) -> StudySpec:
    """Return a spec with what its objective alone knows filled in; twice is the same as once.

    Raises:
        SpecError: If there is no such objective, or the spec does not fit it.
        PluginError: If an own objective cannot be loaded.
    """
    return kind_of(spec).resolve(spec)


def check_parts(spec: StudySpec) -> None:
    """Build once all that a resolved spec names.

    Raises:
        SpecError: If something cannot be built.
        PluginError: If an own part cannot be loaded.
    """
    kind = kind_of(spec)
    check_spec(spec)
    sampler = build_sampler(spec, 0)
    if kind.has_lineages:
        _check_lineage(spec, sampler)
    build_pruner(spec)
    space = build_space(spec)
    parameters = space_parameters(spec)
    if parameters is not None:
        _check_optimizer(space)
        if spec.priors:
            check_priors(spec.priors, parameters)
    kind.check_data(spec)


def build_objective(
    spec: StudySpec, *, device: str = "auto", data_dir: Path | None = None
) -> Objective[Any]:
    """Build what a study's trials train and how they are valued."""
    return kind_of(spec).build(spec, device=device, data_dir=data_dir)  # type: ignore[no-any-return]


def build_sampler(
    spec: StudySpec, n_trials_so_far: int, sources: Sequence[Source] = ()
) -> optuna.samplers.BaseSampler:
    """Build the sampler with a seed that does not repeat itself when a study goes on.

    Our samplers derive every draw from the seed and the trial. Optuna's keep their random state in
    the object only, so theirs starts anew from the number of trials there are. With sources or
    priors, what the spec names is the base of a `MetaPriorSampler`.
    """
    if spec.sampler.name == _META:
        if spec.sampler.options:
            raise SpecError(
                f'Unknown key {next(iter(spec.sampler.options))!r} in [sampler]; "meta" takes '
                "none: its sources stand in `warm_start`, its beliefs in `priors`; to give it a "
                "base, name that as the sampler."
            )
        return MetaPriorSampler(sources, priors=spec.priors, seed=spec.seed)
    base = _build_plain_sampler(spec, n_trials_so_far)
    if not sources and not spec.priors:
        return base
    return MetaPriorSampler(sources, base=base, priors=spec.priors, seed=spec.seed)


def _build_plain_sampler(spec: StudySpec, n_trials_so_far: int) -> optuna.samplers.BaseSampler:
    build = _resolve(spec.sampler, "sampler", SAMPLERS)
    seed = spec.seed
    if getattr(build, "__module__", "").startswith("optuna.") and n_trials_so_far:
        name = zlib.crc32(spec.name.encode())
        sequence = np.random.SeedSequence([spec.seed, name, n_trials_so_far])
        seed = int(sequence.generate_state(1)[0])
    takes_seed = "seed" in inspect.signature(build).parameters
    options = ({"seed": seed} if takes_seed else {}) | dict(spec.sampler.options)
    sampler = _build(build, options, "sampler", spec.sampler.name)
    assert isinstance(sampler, optuna.samplers.BaseSampler)
    return sampler


def build_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """Build the pruner."""
    build = _resolve(spec.pruner, "pruner", PRUNERS)
    pruner = _build(build, spec.pruner.options, "pruner", spec.pruner.name)
    assert isinstance(pruner, optuna.pruners.BasePruner)
    return pruner


def build_space(spec: StudySpec) -> Callable[[Any], Any]:
    """Build the search space; on a finished trial it gives back what that trial trained with.

    What it gives is what the objective takes: a `TrainingConfig`, an `EstimatorConfig`, or the
    trial itself where the objective suggests its parameters.
    """
    if own := kind_of(spec).own_space(spec):
        return own
    function = _resolve(spec.space, "space", SPACES)
    options = dict(spec.space.options)
    parameters = inspect.signature(function).parameters
    if "horizon" in parameters:
        options.setdefault("horizon", spec.trainer.steps)
    # TOML and JSON know lists only; ranges are tuples
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    space = functools.partial(function, **options)
    probe = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    try:
        config = space(probe)
    except (TypeError, ValueError) as error:
        raise SpecError(f"The space {spec.space.name!r} cannot be used: {error}") from error
    check_config(spec, config)
    return space


def space_parameters(spec: StudySpec) -> dict[str, BaseDistribution] | None:
    """Return the parameters that a study's space suggests; None if only its trials will tell."""
    if kind_of(spec).own_space(spec):
        return None
    return probe_space(build_space(spec))


def _check_optimizer(space: Callable[[Any], Any]) -> None:
    """Check that torch has the optimizers that a space names, before the first trial trains."""
    config = space(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    named = getattr(config, "optimizer", None)
    if isinstance(named, NamedOptimizer):
        from optuna_evo.optimizers import check_named

        try:
            check_named(named)
        except UsageError as error:
            raise SpecError(str(error)) from error


def _check_lineage(spec: StudySpec, sampler: optuna.samplers.BaseSampler) -> None:
    inherit = spec.lineage.inherit
    if inherit == "parent" and (spec.warm_start or spec.priors):
        raise SpecError(
            "`warm_start` and `priors` go with trials that are whole trainings; those of a "
            'lineage (`lineage.inherit` "parent") are segments: leave them out.'
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


def _resolve(part: Part, kind: str, registry: Mapping[str, str]) -> Any:
    if ":" in part.name:
        return load_attribute(part.name)
    if part.name not in registry:
        raise SpecError(
            f"Unknown {kind} {part.name!r}; there are: {', '.join(registry)}, "
            'and your own as "module:attribute".'
        )
    return load_attribute(registry[part.name])


def _build(build: Any, options: Mapping[str, Any], kind: str, name: str) -> Any:
    allowed = list(inspect.signature(build).parameters)
    if unknown := [key for key in options if key not in allowed]:
        raise SpecError(
            f"Unknown key {unknown[0]!r} in [{kind}]; {name!r} takes: {', '.join(allowed)}."
        )
    try:
        return build(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"The {kind} {name!r} cannot be built: {error}") from error

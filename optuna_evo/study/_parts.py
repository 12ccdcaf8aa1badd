"""The parts that a spec names, built: samplers, pruners, spaces, the objective."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import inspect
from pathlib import Path
from typing import Any
import zlib

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from optuna_evo.config import NamedOptimizer
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.objectives import check_config
from optuna_evo.objectives import check_spec
from optuna_evo.objectives import check_use
from optuna_evo.objectives import kind_of
from optuna_evo.plugins import load_attribute
from optuna_evo.samplers import check_first
from optuna_evo.samplers import check_priors
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import ReplayedCmaEsSampler
from optuna_evo.samplers import Source
from optuna_evo.search import Objective
from optuna_evo.search import unlogged_study
from optuna_evo.spec import check_arguments
from optuna_evo.spec import check_storable
from optuna_evo.spec import Part
from optuna_evo.spec import shown
from optuna_evo.spec import StudySpec
from optuna_evo.study._dry_run import check_by_trying
from optuna_evo.study._lineages import check_lineage
from optuna_evo.study._lineages import first_segments
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

# Arguments of models that our spaces ask for; the models of some tasks do not take them.
_MODEL_ARGUMENTS = frozenset({"dropout"})
_LARGEST_LEGACY_SEED = 2**32 - 1  # of numpy's RandomState, which Optuna's samplers use
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
    "cmaes": "optuna_evo.samplers:ReplayedCmaEsSampler",
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
    "genome_or_learned": "optuna_evo.spaces:genome_or_learned_space",
    "language_model": "optuna_evo.spaces:language_model_space",
    "learned_optimizer": "optuna_evo.spaces:learned_optimizer_space",
    "training": "optuna_evo.spaces:training_space",
    **{
        name + kind: f"optuna_evo.spaces._grids:{name}{kind}"
        for name in ("bert", "distilbert", "roberta", "cnn", "resnet")
        for kind in ("", "_continuous")
    },
}


def resolve_spec(spec: StudySpec) -> StudySpec:
    """Return a spec with what its objective alone knows filled in; twice is the same as once.

    Hyperparameters of a model that the models of the tasks do not take are switched off.

    Raises:
        SpecError: If there is no such objective, or the spec does not fit it.
        PluginError: If an own objective cannot be loaded.
    """
    kind = kind_of(spec)
    resolved = kind.resolve(spec)
    return resolved if kind.own_space(resolved) else _without_unused(resolved)


def check_parts(spec: StudySpec) -> None:
    """Build once all that a resolved spec names.

    Raises:
        SpecError: If something cannot be built.
        PluginError: If an own part cannot be loaded.
    """
    kind = kind_of(spec)
    check_spec(spec)
    check_storable(spec)
    sampler = build_sampler(spec, 0)
    if kind.has_lineages:
        check_lineage(spec, sampler)
    check_by_trying(sampler, build_pruner(spec), spec)
    space = build_space(spec)
    if kind.own_space(spec) is None:
        parameters = _check_space(spec, space)
        if not parameters:
            raise SpecError(f"The space {spec.space.name!r} suggests nothing: all of it is off.")
        _check_optimizer(space)
        if spec.priors:
            check_priors(spec.priors, parameters)
        if first := spec.sampler.options.get("first"):
            check_first(first, parameters)
    kind.check_data(spec)


def build_objective(
    spec: StudySpec, *, device: str = "auto", data_dir: Path | None = None
) -> Objective[Any]:
    """Build what a study's trials train and how they are valued."""
    return kind_of(spec).build(spec, device=device, data_dir=data_dir)  # type: ignore[no-any-return]


def _without_unused(spec: StudySpec) -> StudySpec:
    """Switch off what the space asks for and the models do not take, unless the spec names it."""
    takes = kind_of(spec).model_arguments(spec)
    if takes is None:
        return spec
    function = _resolve(spec.space, "space", SPACES)
    asked = _MODEL_ARGUMENTS & set(_parameters(function, spec.space.name))
    off = {name: False for name in sorted(asked - takes) if name not in spec.space.options}
    if not off:
        return spec
    space = Part(name=spec.space.name, options={**spec.space.options, **off})
    return dataclasses.replace(spec, space=space)


def build_sampler(
    spec: StudySpec, n_trials_so_far: int, sources: Sequence[Source] = ()
) -> optuna.samplers.BaseSampler:
    """Build the sampler with a seed that does not repeat itself when a study goes on.

    Our samplers derive every draw from the seed and the trial. Optuna's keep their random state in
    the object only, so theirs starts anew from the number of trials there are. With sources or
    priors, what the spec names is the base of a `MetaPriorSampler`; lineages begin where those of
    the sources went best.
    """
    if spec.sampler.name == _META:
        if spec.sampler.options:
            raise SpecError(
                f'Unknown key {next(iter(spec.sampler.options))!r} in [sampler]; "meta" takes '
                "none: its sources stand in `warm_start`, its beliefs in `priors`; to give it a "
                "base, name that as the sampler."
            )
        cost = spec.objective.cost
        return MetaPriorSampler(sources, priors=spec.priors, cost=cost, seed=spec.seed)
    base = _build_plain_sampler(spec, n_trials_so_far)
    if not sources and not spec.priors:
        return base
    if isinstance(base, RecurrenceSampler) and kind_of(spec).has_lineages:
        first = first_segments(spec, base, sources, space_parameters(spec) or {})
        return _build_plain_sampler(spec, n_trials_so_far, first)
    return MetaPriorSampler(
        sources, base=base, priors=spec.priors, cost=spec.objective.cost, seed=spec.seed
    )


def _build_plain_sampler(
    spec: StudySpec, n_trials_so_far: int, first: Sequence[Mapping[str, Any]] = ()
) -> optuna.samplers.BaseSampler:
    build = _resolve(spec.sampler, "sampler", SAMPLERS)
    if build is optuna.samplers.CmaEsSampler:  # which unpickles what it finds in the database
        build = ReplayedCmaEsSampler
    seed = spec.seed
    module = str(getattr(build, "__module__", ""))
    is_optunas = module.startswith("optuna.") or build is ReplayedCmaEsSampler
    if is_optunas and n_trials_so_far:
        name = zlib.crc32(spec.name.encode())
        sequence = np.random.SeedSequence([spec.seed, name, n_trials_so_far])
        seed = int(sequence.generate_state(1)[0])
    if seed > _LARGEST_LEGACY_SEED and (is_optunas or not module.startswith("optuna_evo.")):
        seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    takes = _parameters(build, spec.sampler.name)
    given: dict[str, Any] = {"seed": seed} if "seed" in takes else {}
    # of an own sampler it might mean something else
    if spec.objective.cost is not None and "cost" in takes and module.startswith("optuna_evo."):
        given["cost"] = spec.objective.cost
    if "n_trials" in takes and module.startswith("optuna_evo."):
        given["n_trials"] = spec.n_trials
    options = given | dict(spec.sampler.options) | ({"first": first} if first else {})
    sampler: optuna.samplers.BaseSampler = _build(
        build, options, "sampler", spec.sampler.name, optuna.samplers.BaseSampler
    )
    return sampler


def build_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    """Build the pruner."""
    build = _resolve(spec.pruner, "pruner", PRUNERS)
    pruner: optuna.pruners.BasePruner = _build(
        build, spec.pruner.options, "pruner", spec.pruner.name, optuna.pruners.BasePruner
    )
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
    parameters = _parameters(function, spec.space.name)
    first = next(iter(parameters), None)  # the trial
    if first in options:
        raise SpecError(f"Unknown key {first!r} in [space]: it is the trial.")
    check_arguments(function, options, "space", spec.space.name)
    if "horizon" in parameters:
        options.setdefault("horizon", spec.trainer.steps)
    # TOML and JSON know lists only; ranges are tuples
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    space = functools.partial(function, **options)
    probe = unlogged_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    with _in_one_line(f"The space {spec.space.name!r} cannot be used"):
        config = space(probe)
    check_config(spec, config)
    return space


def space_parameters(spec: StudySpec) -> dict[str, BaseDistribution] | None:
    """Return the parameters that a study's space suggests; None if only its trials will tell."""
    if kind_of(spec).own_space(spec):
        return None
    space = build_space(spec)
    with _in_one_line(f"The space {spec.space.name!r} cannot be used"):
        return probe_space(space)


def _check_space(spec: StudySpec, space: Callable[[Any], Any]) -> dict[str, BaseDistribution]:
    """Check configurations of every branch, not only of the first draw; return the parameters."""

    def checked(trial: optuna.Trial) -> None:
        config = space(trial)
        check_config(spec, config)
        check_use(spec, config)

    with _in_one_line(f"The space {spec.space.name!r} cannot be used"):
        return probe_space(checked)


def _check_optimizer(space: Callable[[Any], Any]) -> None:
    """Check that torch has the optimizers that a space names, before the first trial trains."""
    config = space(unlogged_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    named = getattr(config, "optimizer", None)
    if isinstance(named, NamedOptimizer):
        from optuna_evo.optimizers import check_named

        try:
            check_named(named)
        except UsageError as error:
            raise SpecError(str(error)) from error


@contextlib.contextmanager
def _in_one_line(begin: str) -> Iterator[None]:
    """Turn whatever a part raises into one line; our own errors are one already."""
    try:
        yield
    except OptunaEvoError:
        raise
    except Exception as error:
        kind = "" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: "
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SpecError(f"{begin}: {kind}{reason}") from error


def _parameters(function: Any, name: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name!r} must be a function or class of Python.") from error


def _resolve(part: Part, kind: str, registry: Mapping[str, str]) -> Any:
    if ":" in part.name:
        found = load_attribute(part.name)
        if not callable(found) or inspect.isbuiltin(found):
            raise SpecError(
                f"The {kind} {part.name!r} must be a function or class of Python, "
                f"got {shown(found)}."
            )
        return found
    if part.name not in registry:
        raise SpecError(
            f"Unknown {kind} {shown(part.name)}; there are: {', '.join(registry)}, "
            'and your own as "module:attribute".'
        )
    return load_attribute(registry[part.name])


def _build(build: Any, options: Mapping[str, Any], kind: str, name: str, wanted: type) -> Any:
    check_arguments(build, options, kind, name)
    if inspect.isclass(build) and not issubclass(build, wanted):  # before it is called
        raise SpecError(f"The {kind} {name!r} is no {wanted.__name__} of Optuna.")
    with _in_one_line(f"The {kind} {name!r} cannot be built"):
        built = build(**options)
    if not isinstance(built, wanted):
        raise SpecError(f"The {kind} {name!r} is no {wanted.__name__} of Optuna: {shown(built)}.")
    return built

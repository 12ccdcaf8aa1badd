"""The composition root: from a spec to a study in a database, and on to a running search."""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
import functools
import inspect
import json
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING
import zlib

import numpy as np
import optuna
from optuna.storages import BaseStorage

from optuna_evo.config import TrainingConfig
from optuna_evo.errors import SpecError
from optuna_evo.errors import StorageError
from optuna_evo.errors import StudyMismatchError
from optuna_evo.errors import UsageError
from optuna_evo.genome import Genome
from optuna_evo.judge import judge
from optuna_evo.judge import JudgeRow
from optuna_evo.plugins import load_attribute
from optuna_evo.reports import best_trials
from optuna_evo.search import Listener
from optuna_evo.search import search
from optuna_evo.spec import Part
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.tasks import Task
    from optuna_evo.trainers import FitnessObjective

__all__ = [
    "best_genome",
    "build_objective",
    "build_space",
    "build_tasks",
    "check_spec",
    "create_study",
    "delete_study",
    "judge_study",
    "load_study",
    "pick_device",
    "PRUNERS",
    "run_study",
    "SAMPLERS",
    "SPACES",
    "stored_judgement",
    "StoredStudy",
]

SAMPLERS: Mapping[str, str] = {
    "ga": "optuna_evo.samplers:GASampler",
    "random": "optuna.samplers:RandomSampler",
    "tpe": "optuna.samplers:TPESampler",
    "gp": "optuna.samplers:GPSampler",
    "nsgaii": "optuna.samplers:NSGAIISampler",
    "cmaes": "optuna.samplers:CmaEsSampler",
}
PRUNERS: Mapping[str, str] = {
    "none": "optuna.pruners:NopPruner",
    "divergence": "optuna_evo.pruners:DivergencePruner",
    "median": "optuna.pruners:MedianPruner",
    "percentile": "optuna.pruners:PercentilePruner",
    "wilcoxon": "optuna.pruners:WilcoxonPruner",
    "hyperband": "optuna.pruners:HyperbandPruner",
    "successive_halving": "optuna.pruners:SuccessiveHalvingPruner",
}
SPACES: Mapping[str, str] = {
    "genome": "optuna_evo.spaces:genome_space",
}

_SPEC_KEY = "optuna_evo:spec"
_SCHEMA_KEY = "optuna_evo:schema"
_SCHEMA = 1
_JUDGE_KEY = "optuna_evo:judge"


@dataclass(frozen=True)
class StoredStudy:
    """A study of ours with the spec it was made from."""

    spec: StudySpec
    study: optuna.Study


def create_study(spec: StudySpec, storage: BaseStorage, *, exist_ok: bool = False) -> StoredStudy:
    """Write a new study with its resolved spec to the database.

    A wrong spec leaves no trace.

    Args:
        spec: The study.
        storage: Where to.
        exist_ok: Whether a study of this name made from the same spec is taken as it is.

    Raises:
        SpecError: If a part cannot be built.
        UsageError: If there is a study of this name and `exist_ok` is off.
        StudyMismatchError: If there is one made from another spec.
    """
    check_spec(spec)
    if spec.name in optuna.get_all_study_names(storage):
        _adopt_if_blank(spec, storage)
        stored = load_study(spec.name, storage)
        if difference := _difference(stored.spec, spec):
            raise StudyMismatchError(
                f"Study {spec.name!r} was made from another spec: {difference}. Give the new one "
                f"another name, run the stored one by `optuna_evo study run {spec.name}`, or "
                f"delete it by `optuna_evo study delete {spec.name}`."
            )
        if not exist_ok:
            raise UsageError(
                f"There is a study {spec.name!r} already; go on with it by "
                f"`optuna_evo study run {spec.name}`."
            )
        return stored
    try:
        study = optuna.create_study(
            study_name=spec.name,
            storage=storage,
            direction="minimize" if spec.direction == "minimize" else "maximize",
        )
    except optuna.exceptions.DuplicatedStudyError:  # another worker was faster
        return create_study(spec, storage, exist_ok=exist_ok)
    _write_spec(study, spec)
    return load_study(spec.name, storage)


def _write_spec(study: optuna.Study, spec: StudySpec) -> None:
    study.set_user_attr(_SCHEMA_KEY, _SCHEMA)
    study.set_user_attr(_SPEC_KEY, spec.to_dict())


def _adopt_if_blank(spec: StudySpec, storage: BaseStorage) -> None:
    """Finish the creation of a study whose creator was killed between its name and its spec."""
    study = optuna.load_study(study_name=spec.name, storage=storage)
    if not study.user_attrs.keys() - {_SCHEMA_KEY} and not study.get_trials(deepcopy=False):
        _write_spec(study, spec)


def check_spec(spec: StudySpec) -> None:
    """Build once all that a spec names.

    Raises:
        SpecError: If something cannot be built.
        PluginError: If an own part cannot be loaded.
    """
    _build_sampler(spec, 0)
    _build_pruner(spec)
    build_space(spec)
    build_tasks(spec)


def load_study(name: str, storage: BaseStorage) -> StoredStudy:
    """Load a study of ours with the sampler and pruner of its spec.

    Raises:
        UsageError: If there is no such study or it was not made by optuna_evo.
        StorageError: If it was made by a newer optuna_evo.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise UsageError(f"There is no study {name!r} in this database; there are: {known}.")
    study = optuna.load_study(study_name=name, storage=storage)
    attrs = study.user_attrs
    if _SPEC_KEY not in attrs:
        raise UsageError(f"Study {name!r} was not made by optuna_evo: it holds no spec.")
    if attrs.get(_SCHEMA_KEY, 0) > _SCHEMA:
        raise StorageError(
            f"Study {name!r} was made by a newer optuna_evo (schema {attrs[_SCHEMA_KEY]}, this "
            f"one knows {_SCHEMA}): pip install --upgrade optuna-evo."
        )
    spec = StudySpec.from_dict(attrs[_SPEC_KEY])
    study.sampler = _build_sampler(spec, len(study.get_trials(deepcopy=False)))
    study.pruner = _build_pruner(spec)
    return StoredStudy(spec, study)


def delete_study(name: str, storage: BaseStorage) -> None:
    """Delete a study, whoever made it.

    Raises:
        UsageError: If there is no such study.
    """
    if name not in optuna.get_all_study_names(storage):
        raise UsageError(f"There is no study {name!r} in this database.")
    optuna.delete_study(study_name=name, storage=storage)


def run_study(
    stored: StoredStudy,
    *,
    n_more: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    listener: Listener | None = None,
) -> int:
    """Go on with a study until its spec's number of trials is finished.

    Args:
        stored: The study.
        n_more: At most so many trials now; None: all that are left.
        timeout: Seconds after which no new trial is begun.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ….
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        listener: Is told what happens.

    Returns:
        The number of trials finished by this call.
    """
    spec = stored.spec
    return search(
        stored.study,
        space=build_space(spec),
        objective=build_objective(spec, device=device, data_dir=data_dir),
        n_trials=spec.n_trials,
        n_more=n_more,
        timeout=timeout,
        batch_size=spec.batch_size,
        listener=listener,
    )


def best_genome(stored: StoredStudy) -> Genome:
    """Return the genome of the best complete trial.

    Raises:
        UsageError: If no trial is complete yet.
    """
    best = best_trials(stored.study, 1)
    if not best:
        raise UsageError(
            f"Study {stored.spec.name!r} has no complete trial yet: "
            f"optuna_evo study run {stored.spec.name}."
        )
    return build_space(stored.spec)(best[0]).genome


def judge_study(
    stored: StoredStudy,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    on_run: Callable[[int, int], None] | None = None,
) -> list[JudgeRow]:
    """Compare the best genome with classic optimizers on test data and keep the rows in the study.

    Args:
        stored: The study.
        device: As in `run_study`.
        data_dir: As in `run_study`.
        on_run: Called with the trainings done and to be done.
    """
    rows = judge(
        best_genome(stored),
        build_objective(stored.spec, device=device, data_dir=data_dir),
        seeds=max(1, stored.spec.judge.seeds),
        tuning_trials=stored.spec.judge.tuning_trials,
        seed=stored.spec.seed,
        on_run=on_run,
    )
    stored.study.set_user_attr(_JUDGE_KEY, [row.to_dict() for row in rows])
    return rows


def stored_judgement(stored: StoredStudy) -> list[JudgeRow] | None:
    """Return the rows of the last judgement; None if there is none or a better genome since."""
    data = stored.study.user_attrs.get(_JUDGE_KEY)
    if not data:
        return None
    rows = [JudgeRow.from_dict(row) for row in data]
    judged = rows[0].genome.fingerprint()
    return rows if judged == best_genome(stored).fingerprint() else None


def build_objective(
    spec: StudySpec, *, device: str = "auto", data_dir: Path | None = None
) -> "FitnessObjective":
    """Build what a study's trials train and how they are valued."""
    from optuna_evo.trainers import FitnessObjective

    return FitnessObjective(
        tasks=build_tasks(spec),
        seeds=range(spec.seed, spec.seed + spec.objective.seeds),
        steps=spec.trainer.steps,
        loss_weight=spec.objective.loss_weight,
        loss_window=spec.objective.loss_window,
        penalty=spec.objective.divergence_penalty,
        device=pick_device(device),
        precision=spec.trainer.precision,
        data_dir=data_dir,
    )


def pick_device(name: str) -> str:
    """Return the torch device for "auto" or a device's name.

    Raises:
        UsageError: If there is no such device here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"Device {name!r} cannot be used here: {reason}") from error
    return name


def _build_sampler(spec: StudySpec, n_trials_so_far: int) -> optuna.samplers.BaseSampler:
    """Build the sampler with a seed that does not repeat itself when a study goes on.

    Our samplers derive every draw from the seed and the trial. Optuna's keep their random state in
    the object only, so theirs starts anew from the number of trials there are.
    """
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


def _build_pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    build = _resolve(spec.pruner, "pruner", PRUNERS)
    pruner = _build(build, spec.pruner.options, "pruner", spec.pruner.name)
    assert isinstance(pruner, optuna.pruners.BasePruner)
    return pruner


def build_space(spec: StudySpec) -> Callable[[Any], TrainingConfig]:
    """Build the search space; on a finished trial it gives back what that trial trained with."""
    function = _resolve(spec.space, "space", SPACES)
    options = dict(spec.space.options)
    parameters = inspect.signature(function).parameters
    if "horizon" in parameters:
        options.setdefault("horizon", spec.trainer.steps)
    space = functools.partial(function, **options)
    probe = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    try:
        space(probe)
    except (TypeError, ValueError) as error:
        raise SpecError(f"The space {spec.space.name!r} cannot be used: {error}") from error
    return space


def build_tasks(spec: StudySpec) -> "list[Task]":
    """Look up the tasks that a study names."""
    from optuna_evo import tasks

    try:
        return [tasks.get(name) for name in spec.tasks]
    except ValueError as error:
        raise SpecError(str(error)) from error


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


def _difference(old: StudySpec, new: StudySpec) -> str:
    """Return the first differing keys as "a.b: old -> new", empty if there is none."""
    flat_old, flat_new = _flatten(old.to_dict()), _flatten(new.to_dict())
    keys = sorted(set(flat_old) | set(flat_new))
    changes = [
        f"{key} was {flat_old.get(key)}, now {flat_new.get(key)}"
        for key in keys
        if flat_old.get(key) != flat_new.get(key)
    ]
    return "; ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value)
    return flat

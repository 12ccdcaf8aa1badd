"""Compare samplers: each searches the same space with the same seeds, in studies of its own."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from optuna_evo.errors import UsageError
from optuna_evo.plugins import Allowance
from optuna_evo.reports import compare
from optuna_evo.reports import Comparison
from optuna_evo.search import FINISHED
from optuna_evo.search import Listener
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.spec import Part
from optuna_evo.spec import StudySpec
from optuna_evo.study._foreign import foreign_names
from optuna_evo.study._parts import check_parts
from optuna_evo.study._parts import resolve_spec
from optuna_evo.study._run import best_trial
from optuna_evo.study._run import run_study
from optuna_evo.study._stored import create_study
from optuna_evo.study._stored import load_study
from optuna_evo.warm_start import SourceReader


__all__ = ["comparison_specs", "count_finished", "read_comparison", "run_comparison"]

_WITH_BASE = "meta+"

Specs = Mapping[str, Sequence[StudySpec]]


def comparison_specs(spec: StudySpec, samplers: Sequence[str], n_seeds: int) -> Specs:
    """Return for each sampler the specs of its studies, one for each seed.

    They are called like "NAME/tpe/0". The sampler that the spec itself names keeps its options,
    others have their defaults. The sources and beliefs of the spec are for "meta" and, with a base
    that goes on, such as "meta+tpe"; all others start cold.

    Args:
        spec: What is searched; its seed is the first one.
        samplers: Names of samplers, or own ones as "module:attribute"; "meta+" before one makes it
            the base of a `MetaPriorSampler`.
        n_seeds: Number of seeds, at least 1.

    Raises:
        UsageError: If there is no sampler, one is named twice, `n_seeds` is below 1, or "meta+"
            has nothing to start from.
        SpecError: If a sampler is unknown.
    """
    if n_seeds < 1:
        raise UsageError(f"`seeds` must be at least 1, got {n_seeds}.")
    spec = resolve_spec(spec)
    labels = [label.strip() for label in samplers if label.strip()]
    if not labels:
        raise UsageError("Name at least one sampler to compare, such as random,tpe.")
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UsageError(f"Sampler {twice[0]!r} is named twice.")
    seeds = range(spec.seed, spec.seed + n_seeds)
    specs = {label: [_spec_of(spec, label, seed) for seed in seeds] for label in labels}
    for each in specs.values():
        check_parts(each[0])
    return specs


def run_comparison(
    specs: Specs,
    storage: BaseStorage,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    listener: Callable[[StudySpec], Listener] | None = None,
    reader: SourceReader | None = None,
) -> None:
    """Run every study that is not finished, seed by seed, so that all samplers have as many.

    Studies that are there already go on; a finished one is not run again. Several processes may
    work on one comparison.

    Args:
        specs: What `comparison_specs` returned.
        storage: The database.
        device: As in `run_study`.
        data_dir: As in `run_study`.
        listener: Returns what follows the trials of a study.
        reader: Reads the sources; None: a new one.

    Raises:
        StudyMismatchError: If there are studies of these names made from other specs; nothing is
            run then.
    """
    in_turn = [spec for by_seed in zip(*specs.values(), strict=True) for spec in by_seed]
    reader = reader or SourceReader(storage)
    for spec in in_turn:
        create_study(spec, storage, exist_ok=True, reader=reader)
    for spec in in_turn:
        allowed = Allowance(names=foreign_names(spec))
        stored = load_study(spec.name, storage, reader=reader, allow_import=allowed)
        if len(stored.study.get_trials(deepcopy=False, states=FINISHED)) < spec.n_trials:
            heard_by = listener(spec) if listener is not None else None
            run_study(stored, device=device, data_dir=data_dir, listener=heard_by)


def count_finished(specs: Specs, storage: BaseStorage) -> int:
    """Return the trials that the studies have finished already, the studies that there are."""
    names = {spec.name for each in specs.values() for spec in each}
    names &= set(study_names(storage))
    studies = [open_study(name, storage) for name in names]
    return sum(len(study.get_trials(deepcopy=False, states=FINISHED)) for study in studies)


def read_comparison(name: str, specs: Specs, storage: BaseStorage) -> Comparison:
    """Compare what the studies found.

    Raises:
        UsageError: If a study is not there or has no complete trial.
    """
    studies: dict[str, list[optuna.Study]] = {}
    for label, each in specs.items():
        loaded = [load_study(spec.name, storage, to_run=False) for spec in each]
        for stored in loaded:
            best_trial(stored)  # says so if there is none
        studies[label] = [stored.study for stored in loaded]
    first = next(iter(specs.values()))
    what = first[0].tasks or (first[0].objective.name,)
    cost = first[0].objective.cost
    return compare(name, what, [spec.seed for spec in first], studies, cost=cost)


def _spec_of(spec: StudySpec, label: str, seed: int) -> StudySpec:
    base = label.removeprefix(_WITH_BASE)
    if label != base and not (spec.warm_start or spec.priors):
        raise UsageError(f"{label!r} needs `warm_start` or `priors` to begin with.")
    spec = dataclasses.replace(
        spec,
        name=f"{spec.name}/{label}/{seed}",
        sampler=spec.sampler if base == spec.sampler.name else Part(name=base),
        seed=seed,
    )
    is_cold = label == base != "meta"
    return dataclasses.replace(spec, warm_start=(), priors={}) if is_cold else spec

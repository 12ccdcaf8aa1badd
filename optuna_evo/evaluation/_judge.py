"""The judge: an optimizer beside tuned ones, on equal terms, on test rows that nobody has seen."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage

from optuna_evo.config import OptimizerConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._contest import Contest
from optuna_evo.evaluation._contest import Terms
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._contestant import given
from optuna_evo.evaluation._contests import Contests
from optuna_evo.evaluation._contests import Counter
from optuna_evo.evaluation._jobs import Book
from optuna_evo.evaluation._jobs import work
from optuna_evo.evaluation._judgement import Judgement
from optuna_evo.evaluation._judgement import Table
from optuna_evo.evaluation._named import contestant_of
from optuna_evo.evaluation._named import optimizer_of
from optuna_evo.evaluation._verdict import better
from optuna_evo.evaluation._verdict import valid
from optuna_evo.evaluation._winner import confirm_winner
from optuna_evo.evaluation._workload import check_directions
from optuna_evo.evaluation._workload import parse_workload
from optuna_evo.evaluation._workload import selection_workloads
from optuna_evo.evaluation._workload import unseen_workloads
from optuna_evo.evaluation._workload import Workload


__all__ = ["AGAINST", "judge"]

AGAINST = ("adamw", "nadamw", "sgd", "rmsprop", "lion")
"""What is judged against where nothing is said: it needs no extra."""
TUNINGS = 8
"""How often everybody is tuned, where nothing is said."""

OnRun = Callable[[int, int], None]


def judge(
    what: OptimizerConfig | str | Path | Contestant | Sequence[OptimizerConfig],
    tasks: Sequence[str | Workload],
    *,
    steps: int = 500,
    unseen: Sequence[str | Workload] | None = None,
    against: Sequence[str | Contestant] = AGAINST,
    budget: int = 16,
    seeds: int = 10,
    schedules: bool | None = None,
    grafted: bool = True,
    sensitivity: bool = True,
    precision: float | None = None,
    target: float | None = None,
    predecessor: str | None = None,
    tuning_share: float = 1.0,
    tunings: int | None = None,
    tuning_seeds: int = 1,
    most_seeds: int = 100,
    seed: int = 0,
    storage: BaseStorage | None = None,
    name: str = "judgement",
    label: str = "evolved",
    search_cost: float | None = None,
    device: str = "cpu",
    numbers: str = "auto",
    data_dir: Path | None = None,
    trainer: str = "auto",
    on_run: OnRun | None = None,
) -> Judgement:
    """Judge an optimizer: everybody tuned over as many trials, all differences with intervals.

    Everything that is trained goes into studies called NAME/judge/…: a call that was interrupted
    goes on, several share the work, and nothing is trained twice.

    Args:
        what:
            A genome, `NamedOptimizer`, `ControllerConfig`, a file that `study export` wrote (JSON
            or .py), a genome of the catalog or a controller by name, or a contestant of your own.
            Several: candidates, the best first, from which the winner is chosen on other tasks
            with fresh seeds.
        tasks:
            What it was searched on: "digits", "digits+width=128", …
        steps:
            Optimizer steps of a training on these tasks.
        unseen:
            Tasks that no search saw, which the verdicts are about; None: other data, another width
            and five times the steps.
        against:
            Names of `BASELINES`, exported files, or contestants of your own.
        budget:
            Tuning trials of each contestant on each task, >= 1: trial 1 is its defaults.
        seeds:
            Paired test trainings on each task, >= 1; intervals are over tasks where there are
            more of them.
        schedules:
            True: everybody may have one; False: nobody has; None: both tables.
        grafted:
            Whether to compare update rules alone too, all with the step sizes of the first of
            `against`.
        sensitivity:
            Whether to train at other learning rates than the tuned ones too.
        precision:
            Test on more seeds until the 95 % interval of the difference in test loss to the best
            tuned baseline is so narrow: half its width; at least 20. None: as it comes out.
        target:
            Validation loss to reach; None: on each task the median of the best tuned baseline.
        predecessor:
            Whom it should be better than, one of `against`; None: the first one.
        tuning_share:
            Length of tuning trainings, in (0, 1]: the whole schedule, shortened.
        tunings:
            How often everybody is tuned anew, each tuning for a share of the test seeds; in
            1..seeds. None: 8, or `seeds` if that is less. With 1 the intervals are about the
            optimizers as they came out of that tuning: of 20 comparisons of AdamW with itself, 12
            then had a winner. The luck of tuning is in them with 8, which cost as many tunings.
        tuning_seeds:
            Trainings of a tuning trial, >= 1.
        most_seeds:
            Test seeds after which `precision` is given up.
        seed:
            Of the tuning.
        storage:
            Optuna storage for the trainings; None: memory.
        name:
            What the studies are called after.
        label:
            What the judged one is called in tables.
        search_cost:
            What the search cost, in trainings of `steps`, for the record.
        device:
            torch device.
        numbers:
            "auto", "float32" or "bfloat16".
        data_dir:
            Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer:
            "auto", "sequential" or "population" (see `trainers.start`).
        on_run:
            Called with the trainings done and of all trainings.

    Returns:
        The record, with its tables.

    Raises:
        UsageError: If a name is unknown, an optimizer is not installed, tasks do not go together,
            a number is out of range, or nobody reaches `target` (a ValueError).

    Example:
        >>> from optuna_evo import catalog, judge
        >>> small = {"steps": 20, "seeds": 2, "budget": 2, "schedules": True}
        >>> found = judge(catalog["lion"], ["two_moons"], unseen=[], against=["adam"], **small)
        >>> for line in found.main.lines(found.sets["search"]):
        ...     print(line.row.label, line.loss, line.difference)
    """
    terms = Terms(
        budget=budget,
        seeds=seeds,
        tunings=min(TUNINGS, seeds) if tunings is None else tunings,
        tuning_seeds=tuning_seeds,
        tuning_share=tuning_share,
        half_width=precision,
        most_seeds=max(most_seeds, seeds),
        seed=seed,
        device=device,
        precision=numbers,
        data_dir=data_dir,
        trainer=trainer,
    )
    own = [_workload(task, steps) for task in tasks]
    if not own:
        raise UsageError("Name at least one task to judge on.")
    others = unseen_workloads(own) if unseen is None else [_workload(t, steps) for t in unseen]
    check_directions([*own, *others])
    rivals = [contestant_of(each) for each in against]
    before = _predecessor(predecessor, rivals)
    contest = Contest(Book(storage or InMemoryStorage(), name), terms)
    count = Counter(on_run)
    me, winner = _choose(what, label, contest, own, count)
    contestants = [me, *rivals]
    _check_names(contestants, own, others)
    for each in contestants:  # what cannot be built is said before anything trains
        for workload in (*own, *others):
            _check_built(
                each.optimizer(each.start(granted=True), workload, granted=True), workload
            )
    kinds = {"schedules": True, "constant": False}
    granted = {k: v for k, v in kinds.items() if schedules is None or v == schedules}
    run = Contests(contest, contestants, [*own, *others], granted, grafted, sensitivity, count)
    tables = run.tables(target, [w.name for w in (others or own)])
    found = Judgement(
        label=me.label,
        optimizer=me.optimizer(me.start(granted=True), own[0], granted=True),
        terms=_told(terms, run.n_seeds, rivals[0].key if grafted else None),
        sets={"search": _names(own), "unseen": _names(others)},
        steps={workload.name: workload.steps for workload in (*own, *others)},
        tables=tables,
        valid=valid(next(iter(tables.values())).above_target(_names(others or own)), 0.0),
        better=_better(next(iter(tables.values())), _names(others or own), before),
        predecessor=before,
        search_cost=search_cost,
        judge_cost=run.cost(steps),
        winner=winner,
    )
    if target is not None and not any(table.reached() for table in tables.values()):
        best = min(c[-1] for t in tables.values() for r in t.rows for c in r.curves.values())
        raise UsageError(
            f"Nobody reached the target of {target}: the lowest validation loss was {best:.4g}. "
            "Give a higher --target, or none; what was trained is stored."
        )
    return found


def _workload(task: str | Workload, steps: int) -> Workload:
    return task if isinstance(task, Workload) else parse_workload(task, steps=steps)


def _names(workloads: Sequence[Workload]) -> tuple[str, ...]:
    return tuple(workload.name for workload in workloads)


def _predecessor(named: str | None, rivals: Sequence[Contestant]) -> str:
    if not rivals:
        raise UsageError("Name at least one optimizer to judge against, such as adamw.")
    keys = [rival.key for rival in rivals]
    if named is not None and named not in keys:
        raise UsageError(
            f"The predecessor must be one of those that are judged against, {', '.join(keys)}; "
            f"got {named!r:.100}."
        )
    return named or keys[0]


def _check_names(
    contestants: Sequence[Contestant], own: Sequence[Workload], others: Sequence[Workload]
) -> None:
    for what, names in (
        ("optimizer", [each.key for each in contestants]),
        ("task", [workload.name for workload in (*own, *others)]),
    ):
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"The {what} {twice[0]!r:.100} is named twice: leave one out.")


def _check_built(optimizer: OptimizerConfig, workload: Workload) -> None:
    from optuna_evo.config import NamedOptimizer
    from optuna_evo.optimizers import build_named

    if isinstance(optimizer, NamedOptimizer):
        build_named(optimizer, workload.build_model(), total_steps=workload.steps)


def _choose(
    what: OptimizerConfig | str | Path | Contestant | Sequence[OptimizerConfig],
    label: str,
    contest: Contest,
    own: Sequence[Workload],
    count: Counter,
) -> tuple[Contestant, Mapping[str, Any] | None]:
    """Return who is judged, and how he was chosen among several."""
    if isinstance(what, Contestant):
        return dataclasses.replace(what, judged=True), None
    if isinstance(what, str | Path) or not isinstance(what, Sequence):
        return given("judged", label, optimizer_of(what), judged=True), None
    candidates = [optimizer_of(each) for each in what]
    if not candidates:
        raise UsageError("There is nothing to judge: no optimizer is given.")
    if len(candidates) == 1:
        return given("judged", label, candidates[0], judged=True), None
    n = contest.terms.seeds
    on = selection_workloads(own)
    count.total += len(on) * len(candidates) * 2 * n
    jobs = [contest.choice(candidates, workload, 2 * n) for workload in on]
    work(jobs, count)

    def measured(indices: Sequence[int], seeds: Sequence[int]) -> list[list[float]]:
        k = len(candidates)
        tables = [job.trials for job in jobs]
        return [
            [float(np.mean([t[k * s + i].value for t in tables])) for s in seeds] for i in indices
        ]

    ranks = list(map(float, range(len(candidates))))
    winner = confirm_winner(
        ranks,
        measured,
        choosing_seeds=range(n),
        report_seeds=range(n, 2 * n),
        k=len(candidates),
    )
    found = {
        "candidates": len(candidates),
        "place": winner.index + 1,
        "tasks": list(_names(on)),
        "losses": [winner.means[i] for i in range(len(candidates))],
        "loss": winner.estimate.mean,
    }
    return given("judged", label, candidates[winner.index], judged=True), found


def _better(table: Table, tasks: Sequence[str], before: str) -> Any:
    (line,) = (line for line in table.lines(tasks) if line.row.key == before)
    assert line.difference is not None
    return better(line.difference)


def _told(terms: Terms, n_seeds: int, reference: str | None) -> dict[str, Any]:
    kept = ("budget", "tunings", "tuning_seeds", "tuning_share", "seed", "precision", "device")
    told = {name: value for name, value in dataclasses.asdict(terms).items() if name in kept}
    return told | {"seeds": n_seeds, "step_sizes_of": reference, "half_width": terms.half_width}

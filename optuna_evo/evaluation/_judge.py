"""The judge: an optimizer beside tuned ones, on equal terms, on test rows that nothing has seen."""

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
from optuna_evo.evaluation._contest import graft
from optuna_evo.evaluation._contest import LR_FACTORS
from optuna_evo.evaluation._contest import median
from optuna_evo.evaluation._contest import Terms
from optuna_evo.evaluation._contest import tuned_params
from optuna_evo.evaluation._contest import tuning_curve
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._contestant import given
from optuna_evo.evaluation._costs import state_bytes
from optuna_evo.evaluation._costs import step_seconds
from optuna_evo.evaluation._jobs import Book
from optuna_evo.evaluation._jobs import Job
from optuna_evo.evaluation._jobs import work
from optuna_evo.evaluation._judgement import Judgement
from optuna_evo.evaluation._judgement import JudgementRow
from optuna_evo.evaluation._judgement import Table
from optuna_evo.evaluation._judgement import Tuned
from optuna_evo.evaluation._named import contestant_of
from optuna_evo.evaluation._named import optimizer_of
from optuna_evo.evaluation._paired import units_of
from optuna_evo.evaluation._profile import lr_sensitivity
from optuna_evo.evaluation._verdict import better
from optuna_evo.evaluation._verdict import valid
from optuna_evo.evaluation._winner import confirm_winner
from optuna_evo.evaluation._winner import until_narrow
from optuna_evo.evaluation._workload import check_directions
from optuna_evo.evaluation._workload import parse_workload
from optuna_evo.evaluation._workload import selection_workloads
from optuna_evo.evaluation._workload import unseen_workloads
from optuna_evo.evaluation._workload import Workload


__all__ = ["AGAINST", "judge"]

AGAINST = ("adamw", "nadamw", "sgd", "rmsprop", "lion")
"""What is judged against where nothing is said: it needs no extra."""
_GRAFTED = "grafted"
_SENSITIVE = 0.1  # of the best loss: a learning rate that costs no more than that is good
_FIRST_LOOK = 20  # seeds before an interval may count as narrow (`until_narrow`)
OnRun = Callable[[int, int], None]


def judge(
    what: OptimizerConfig | str | Path | Sequence[OptimizerConfig],
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
            or .py), a controller or a baseline by name. Several: candidates, the best first, from
            which the winner is chosen on other tasks with fresh seeds.
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
            Paired test trainings on each task, >= 2.
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
        >>> found = judge(catalog["lion"], ["two_moons"], steps=60, seeds=3, budget=4)
        >>> for line in found.main.lines(found.sets["unseen"]):
        ...     print(line.row.label, line.loss, line.difference)
    """
    terms = Terms(
        budget=budget,
        seeds=seeds,
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
    _check_names(rivals, own, others)
    contest = Contest(Book(storage or InMemoryStorage(), name), terms)
    count = _Counter(on_run)
    chosen, winner = _choose(what, contest, own, count)
    me = given("judged", label, chosen, judged=True)
    contestants = [me, *rivals]
    for each in contestants:  # what cannot be built is said before anything trains
        for workload in (*own, *others):
            _check_built(
                each.optimizer(each.start(granted=True), workload, granted=True), workload
            )
    kinds = {"schedules": True, "constant": False}
    granted = {k: v for k, v in kinds.items() if schedules is None or v == schedules}
    run = _Run(contest, contestants, [*own, *others], granted, grafted, sensitivity, count)
    tables = run.tables(target, [w.name for w in (others or own)])
    found = Judgement(
        label=label,
        optimizer=chosen,
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


class _Counter:
    """Counts trainings for a progress bar."""

    def __init__(self, on_run: OnRun | None) -> None:
        self._on_run = on_run
        self.done = self.total = 0

    def __call__(self, n: int) -> None:
        self.done += n
        if self._on_run is not None:
            self._on_run(self.done, max(self.total, self.done))


class _Run:
    """The trainings of a judgement, step by step.

    Args:
        contest: Makes the jobs.
        contestants: Who competes, the judged one first.
        workloads: On what.
        granted: By kind of table whether schedules are granted.
        grafted: Whether there is a table with equal step sizes.
        sensitivity: Whether other learning rates are tried.
        count: Is told how many trials became complete.
    """

    def __init__(
        self,
        contest: Contest,
        contestants: Sequence[Contestant],
        workloads: Sequence[Workload],
        granted: Mapping[str, bool],
        grafted: bool,
        sensitivity: bool,
        count: _Counter,
    ) -> None:
        self._contest, self._count = contest, count
        self._contestants, self._workloads = list(contestants), list(workloads)
        self._granted = dict(granted)
        # an average of its own has no step whose length could be another's
        self._fit = [c for c in self._contestants if c.schedules != ("warmup",)]
        self._grafted = grafted and self._fit[:2] == self._contestants[:2]
        # other rates are tried with the schedule that was tuned
        self._sensitivity = sensitivity and True in granted.values()
        self.n_seeds = contest.terms.seeds
        pairs = len(self._contestants) * len(self._workloads)
        count.total += pairs * len(granted) * (contest.terms.budget + self.n_seeds)
        count.total += len(self._fit) * len(workloads) * self.n_seeds * self._grafted
        count.total += pairs * len(LR_FACTORS) * self._sensitivity
        self._tests: dict[tuple[str, str, str], Job] = {}
        self._jobs: list[Job] = []

    def tables(self, target: float | None, about: Sequence[str]) -> dict[str, Table]:
        """Train everything and return the tables."""
        terms = self._contest.terms
        tuning = {
            (kind, who.key, workload.name): self._contest.tuning(who, workload, granted=granted)
            for kind, granted in self._granted.items()
            for workload in self._workloads
            for who in self._contestants
        }
        self._do(list(tuning.values()))
        self._tuned = {
            (kind, who.key, workload.name): _tuned(
                tuning[kind, who.key, workload.name], who, workload, self._granted[kind]
            )
            for kind, who, workload in self._cells()
        }
        rates = self._other_rates() if self._sensitivity else {}
        self._test(self.n_seeds)
        if terms.half_width is not None:
            self._narrow(terms.half_width, about)
        costs = self._costs()
        return {
            kind: self._table(kind, target, costs, rates)
            for kind in (*self._granted, *([_GRAFTED] if self._grafted else []))
        }

    def cost(self, steps: int) -> float:
        """Return the optimizer steps of all trainings, in trainings of so many steps."""
        trials = (trial for job in self._jobs for trial in job.trials.values())
        return sum(trial.user_attrs["optimizer_steps"] for trial in trials) / steps

    def _do(self, jobs: Sequence[Job]) -> None:
        self._jobs += jobs
        work(jobs, self._count)

    def _cells(self) -> list[tuple[str, Contestant, Workload]]:
        return [
            (kind, who, workload)
            for kind in self._granted
            for workload in self._workloads
            for who in self._contestants
        ]

    def _configs(self) -> dict[tuple[str, str, str], tuple[OptimizerConfig, Workload]]:
        """Return what is tested: by kind of table, contestant and task."""
        found = {
            (kind, who.key, workload.name): (
                self._tuned[kind, who.key, workload.name].optimizer,
                workload,
            )
            for kind, who, workload in self._cells()
        }
        if self._grafted:
            main, reference = next(iter(self._granted)), self._contestants[1].key
            for workload in self._workloads:
                length = self._tuned[main, reference, workload.name].optimizer
                for who in self._fit:
                    own = self._tuned[main, who.key, workload.name].optimizer
                    found[_GRAFTED, who.key, workload.name] = (graft(own, length), workload)
        return found

    def _test(self, n_seeds: int) -> None:
        self._tests = {
            key: self._contest.test(key[1], optimizer, workload, kind=key[0], n_seeds=n_seeds)
            for key, (optimizer, workload) in self._configs().items()
        }
        known = {job.study.study_name for job in self._tests.values()}
        self._jobs = [job for job in self._jobs if job.study.study_name not in known]
        self._do(list(self._tests.values()))
        self.n_seeds = n_seeds

    def _narrow(self, half_width: float, about: Sequence[str]) -> None:
        """Test on more seeds until the difference to the best tuned baseline is known so well."""
        main = next(iter(self._granted))
        best = min(
            (who.key for who in self._contestants if not who.judged),
            key=lambda key: sum(min(self._tuned[main, key, w].curve.values()) for w in about),
        )
        judged = self._contestants[0].key

        def differences(seeds: Sequence[int]) -> list[float]:
            if max(seeds) >= self.n_seeds:
                self._test(max(seeds) + 1)
            cells = {
                (task, i): self._value(main, judged, task, i) - self._value(main, best, task, i)
                for task in about
                for i in seeds
            }
            return units_of(cells, "seed")

        terms = self._contest.terms
        until_narrow(
            differences,
            range(max(terms.most_seeds, _FIRST_LOOK)),
            half_width=half_width,
            start=max(terms.seeds, _FIRST_LOOK),
        )

    def _value(self, kind: str, key: str, task: str, seed: int) -> float:
        return float(self._tests[kind, key, task].trials[seed].user_attrs["test_loss"])

    def _other_rates(self) -> dict[tuple[str, str], Job]:
        main = next(kind for kind, granted in self._granted.items() if granted)
        jobs = {
            (who.key, workload.name): self._contest.other_rates(
                who, self._tuned[main, who.key, workload.name].params, workload
            )
            for workload in self._workloads
            for who in self._contestants
        }
        self._do(list(jobs.values()))
        return jobs

    def _costs(self) -> dict[tuple[str, str, str], tuple[float, float]]:
        """Return the seconds of a step and the bytes of state, by what is tested."""
        options = self._contest.terms
        how = {
            "device": options.device,
            "precision": options.precision,
            "data_dir": options.data_dir,
        }
        found = {}
        configs = self._configs()
        main = next(iter(self._granted))
        for workload in self._workloads:
            # a schedule costs nothing: one measurement serves all tables but the grafted one
            optimizers = {
                key[1]: optimizer
                for key, (optimizer, on) in configs.items()
                if on is workload and key[0] == main
            }
            seconds = step_seconds(optimizers, workload, **how)
            for kind, key, task in configs:
                if task == workload.name:
                    bytes_ = state_bytes(optimizers[key], workload, **how)
                    found[kind, key, task] = (seconds[key], bytes_)
        return found

    def _table(
        self,
        kind: str,
        target: float | None,
        costs: Mapping[tuple[str, str, str], tuple[float, float]],
        rates: Mapping[tuple[str, str], Job],
    ) -> Table:
        main = next(iter(self._granted)) if kind == _GRAFTED else kind
        who = self._fit if kind == _GRAFTED else self._contestants
        rows = [self._row(kind, main, each, costs, rates) for each in who]
        points = self._contest.terms.points
        times = {
            w.name: [
                w.steps * p // min(points, w.steps) for p in range(1, min(points, w.steps) + 1)
            ]
            for w in self._workloads
        }
        targets = {
            w.name: target if target is not None else _best_median(rows, w.name)
            for w in self._workloads
        }
        return Table(kind=kind, rows=tuple(rows), targets=targets, times=times)

    def _row(
        self,
        kind: str,
        main: str,
        who: Contestant,
        costs: Mapping[tuple[str, str, str], tuple[float, float]],
        rates: Mapping[tuple[str, str], Job],
    ) -> JudgementRow:
        losses, metrics, curves, diverged = {}, {}, {}, set()
        for workload in self._workloads:
            for seed, trial in self._tests[kind, who.key, workload.name].trials.items():
                cell, attrs = (workload.name, seed), trial.user_attrs
                losses[cell], metrics[cell] = attrs["test_loss"], attrs["test_metric"]
                curves[cell] = tuple(attrs.get("curve", [attrs["valid_loss"]]))
                if "diverged_share" in attrs:
                    diverged.add(cell)
        names = [workload.name for workload in self._workloads]
        tuned = {name: self._tuned[main, who.key, name] for name in names}
        # the rates were tried around what was tuned with a schedule
        widths = {
            name: _width(rates[who.key, name], tuned[name])
            for name in names
            if (who.key, name) in rates and kind != _GRAFTED and self._granted[main]
        }
        return JudgementRow(
            key=who.key,
            label=who.label,
            judged=who.judged,
            tuned=tuned,
            losses=losses,
            metrics=metrics,
            curves=curves,
            diverged=frozenset(diverged),
            step_seconds={name: costs[kind, who.key, name][0] for name in names},
            state_bytes=float(np.mean([costs[kind, who.key, name][1] for name in names])),
            lr_width=widths,
        )


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
    rivals: Sequence[Contestant], own: Sequence[Workload], others: Sequence[Workload]
) -> None:
    for what, names in (
        ("optimizer", [rival.key for rival in rivals]),
        ("task", [workload.name for workload in (*own, *others)]),
    ):
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"The {what} {twice[0]!r:.100} is named twice: leave one out.")


def _check_built(optimizer: OptimizerConfig, workload: Workload) -> None:
    from optuna_evo.config import NamedOptimizer
    from optuna_evo.optimizers import build_named

    if isinstance(optimizer, NamedOptimizer):
        build_named(
            optimizer, workload.task.build_model(**workload.model), total_steps=workload.steps
        )


def _choose(
    what: OptimizerConfig | str | Path | Sequence[OptimizerConfig],
    contest: Contest,
    own: Sequence[Workload],
    count: _Counter,
) -> tuple[OptimizerConfig, Mapping[str, Any] | None]:
    """Return the one to judge, and how it was chosen among several."""
    if isinstance(what, str | Path) or not isinstance(what, Sequence):
        return optimizer_of(what), None
    candidates = [optimizer_of(each) for each in what]
    if not candidates:
        raise UsageError("There is nothing to judge: no optimizer is given.")
    if len(candidates) == 1:
        return candidates[0], None
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
    return candidates[winner.index], found


def _tuned(job: Job, who: Contestant, workload: Workload, granted: bool) -> Tuned:
    params = tuned_params(job)
    return Tuned(who.optimizer(params, workload, granted=granted), params, tuning_curve(job))


def _best_median(rows: Sequence[JudgementRow], task: str) -> float:
    """Return the lowest median of a baseline's last validation losses."""
    return min(
        median([curve[-1] for cell, curve in row.curves.items() if cell[0] == task])
        for row in rows
        if not row.judged
    )


def _width(job: Job, tuned: Tuned) -> Any:
    best = min(tuned.curve.values())
    losses = [float(job.trials[i].value or 0.0) for i in range(len(LR_FACTORS))]
    return lr_sensitivity(
        [*LR_FACTORS, 1.0], [*losses, best], within=_SENSITIVE * min(best, *losses)
    )


def _better(table: Table, tasks: Sequence[str], before: str) -> Any:
    (line,) = (line for line in table.lines(tasks) if line.row.key == before)
    assert line.difference is not None
    return better(line.difference)


def _told(terms: Terms, n_seeds: int, reference: str | None) -> dict[str, Any]:
    kept = ("budget", "tuning_seeds", "tuning_share", "seed", "precision", "device")
    told = {name: value for name, value in dataclasses.asdict(terms).items() if name in kept}
    return told | {"seeds": n_seeds, "step_sizes_of": reference, "half_width": terms.half_width}

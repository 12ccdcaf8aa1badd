"""The trainings of a judgement in their order, and the tables that they fill."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from optuna_evo.config import OptimizerConfig
from optuna_evo.evaluation._contest import Contest
from optuna_evo.evaluation._contest import graft
from optuna_evo.evaluation._contest import LR_FACTORS
from optuna_evo.evaluation._contest import median
from optuna_evo.evaluation._contest import tuned_params
from optuna_evo.evaluation._contest import tuning_curve
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._costs import state_bytes
from optuna_evo.evaluation._costs import step_seconds
from optuna_evo.evaluation._jobs import Job
from optuna_evo.evaluation._jobs import work
from optuna_evo.evaluation._judgement import Table
from optuna_evo.evaluation._judgement_row import JudgementRow
from optuna_evo.evaluation._judgement_row import Tuned
from optuna_evo.evaluation._paired import units_of
from optuna_evo.evaluation._profile import lr_sensitivity
from optuna_evo.evaluation._profile import LrSensitivity
from optuna_evo.evaluation._winner import until_narrow
from optuna_evo.evaluation._workload import Workload


__all__ = ["Contests", "Counter", "GRAFTED"]

GRAFTED = "grafted"
_SENSITIVE = 0.1  # of the best loss: a learning rate that costs no more than that is good
_FIRST_LOOK = 20  # seeds before an interval may count as narrow (`until_narrow`)
OnRun = Callable[[int, int], None]


class Counter:
    """Counts trainings for a progress bar."""

    def __init__(self, on_run: OnRun | None) -> None:
        self._on_run = on_run
        self.done = self.total = 0

    def __call__(self, n: int) -> None:
        self.done += n
        if self._on_run is not None:
            self._on_run(self.done, max(self.total, self.done))


class Contests:
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
        count: Counter,
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
        count.total += (
            pairs * len(granted) * (contest.terms.budget * contest.terms.tunings + self.n_seeds)
        )
        count.total += len(self._fit) * len(workloads) * self.n_seeds * self._grafted
        count.total += pairs * len(LR_FACTORS) * self._sensitivity
        self._tests: dict[tuple[str, str, str], Job] = {}
        self._jobs: list[Job] = []

    def tables(self, target: float | None, about: Sequence[str]) -> dict[str, Table]:
        """Train everything and return the tables."""
        terms = self._contest.terms
        tuning = {
            (kind, who.key, workload.name): [
                self._contest.tuning(who, workload, granted=self._granted[kind], number=number)
                for number in range(terms.tunings)
            ]
            for kind, who, workload in self._cells()
        }
        self._do([job for jobs in tuning.values() for job in jobs])
        self._tuned = {
            (kind, who.key, workload.name): [
                self._best(job, kind, who, workload)
                for job in tuning[kind, who.key, workload.name]
            ]
            for kind, who, workload in self._cells()
        }
        rates = self._other_rates() if self._sensitivity else {}
        self._test(self.n_seeds)
        if terms.half_width is not None:
            self._narrow(terms.half_width, about)
        costs = self._costs()
        return {
            kind: self._table(kind, target, costs, rates)
            for kind in (*self._granted, *([GRAFTED] if self._grafted else []))
        }

    def cost(self, steps: int) -> float:
        """Return the optimizer steps of all trainings, in trainings of so many steps."""
        # a test serves several tables where they ask for the same
        jobs = {job.study.study_name: job for job in self._jobs}.values()
        trials = (trial for job in jobs for trial in job.trials.values())
        return sum(float(trial.user_attrs["optimizer_steps"]) for trial in trials) / steps

    def _best(self, job: Job, kind: str, who: Contestant, workload: Workload) -> Tuned:
        params, curve = tuned_params(job), tuning_curve(job, self._contest.terms.budget)
        optimizer = who.optimizer(params, workload, granted=self._granted[kind])
        return Tuned(optimizer, params, curve)

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

    def _configs(self) -> dict[tuple[str, str, str], tuple[list[OptimizerConfig], Workload]]:
        """Return what is tested: by kind of table, contestant and task, one of each tuning."""
        found = {
            (kind, who.key, workload.name): (
                [each.optimizer for each in self._tuned[kind, who.key, workload.name]],
                workload,
            )
            for kind, who, workload in self._cells()
        }
        if self._grafted:
            main, reference = next(iter(self._granted)), self._contestants[1].key
            for workload in self._workloads:
                lengths, _ = found[main, reference, workload.name]
                for who in self._fit:
                    own, _ = found[main, who.key, workload.name]
                    pairs = zip(own, lengths, strict=True)
                    grafted = [graft(direction, length) for direction, length in pairs]
                    found[GRAFTED, who.key, workload.name] = (grafted, workload)
        return found

    def _test(self, n_seeds: int) -> None:
        self._tests = {
            key: self._contest.test(key[1], optimizers, workload, n_seeds)
            for key, (optimizers, workload) in self._configs().items()
        }
        self._do(list(self._tests.values()))
        self.n_seeds = n_seeds

    def _narrow(self, half_width: float, about: Sequence[str]) -> None:
        """Test on more seeds until the difference to the best tuned baseline is known so well."""
        main = next(iter(self._granted))
        best = min(
            (who.key for who in self._contestants if not who.judged),
            key=lambda key: sum(min(self._tuned[main, key, w][0].curve.values()) for w in about),
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
                who, self._tuned[main, who.key, workload.name][0].params, workload
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
                key[1]: own[0]
                for key, (own, on) in configs.items()
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
        main = next(iter(self._granted)) if kind == GRAFTED else kind
        who = self._fit if kind == GRAFTED else self._contestants
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
        return Table(
            kind=kind,
            rows=tuple(rows),
            targets=targets,
            times=times,
            tunings=self._contest.terms.tunings,
        )

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
        tuned = {name: _mean_curve(self._tuned[main, who.key, name]) for name in names}
        # the rates were tried around what was tuned with a schedule
        widths = {
            name: _width(rates[who.key, name], self._tuned[main, who.key, name][0])
            for name in names
            if (who.key, name) in rates and kind != GRAFTED and self._granted[main]
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


def _mean_curve(tunings: Sequence[Tuned]) -> Tuned:
    """Return the first tuning with the mean curve of all."""
    first = tunings[0]
    curve = {n: float(np.mean([each.curve[n] for each in tunings])) for n in first.curve}
    return Tuned(first.optimizer, first.params, curve)


def _best_median(rows: Sequence[JudgementRow], task: str) -> float:
    """Return the lowest median of a baseline's last validation losses."""
    return min(
        median([curve[-1] for cell, curve in row.curves.items() if cell[0] == task])
        for row in rows
        if not row.judged
    )


def _width(job: Job, tuned: Tuned) -> LrSensitivity:
    best = min(tuned.curve.values())
    losses = [float(job.trials[i].value or 0.0) for i in range(len(LR_FACTORS))]
    return lr_sensitivity(
        [*LR_FACTORS, 1.0], [*losses, best], within=_SENSITIVE * min(best, *losses)
    )

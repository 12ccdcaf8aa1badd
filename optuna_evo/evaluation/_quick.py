"""The quick judgement at the end of a run: the found optimizer and classic ones on test data.

The judge proper is `judge`: this one has four baselines, two tuned numbers, the tasks of the
search, and accuracy only. It trains and measures by the same functions.

Every row trains on the same tasks, with the same fresh seeds, for the same number of steps, and is
measured on the test split, which no search has seen. Each classic optimizer has two rows: with its
usual defaults, and with learning rate and schedule (constant, or warm-up and cosine) tuned on
validation data over a stated number of trials. All rows are reported, whatever their result.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
import optuna

from optuna_evo.config import ControllerConfig
from optuna_evo.config import GraftedOptimizer
from optuna_evo.config import optimizer_from_dict
from optuna_evo.config import optimizer_to_dict
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.evaluation._contestant import Schedule
from optuna_evo.evaluation._contestant import scheduled
from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._trainings import Course
from optuna_evo.evaluation._trainings import measure
from optuna_evo.evaluation._workload import Workload
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.search import unlogged_study


if TYPE_CHECKING:
    from optuna_evo.objectives import FitnessObjective
    from optuna_evo.tasks import Split
    from optuna_evo.tasks import Task

__all__ = ["JudgeRow", "quick_judge", "tune_baseline"]

# The usual name, the genome, and the range its learning rate is tuned over. Adam-like rules take
# the range of the AlgoPerf spaces, widened upwards tenfold: short runs of small networks need it
# (on digits a range that ended at 0.03 tuned AdamW to 0.029, its end; see studies/LOG.md).
_BASELINES = (
    ("SGD with momentum", "momentum", (1e-3, 1.0)),
    ("RMSprop", "rmsprop", (1e-4, 1e-1)),
    ("Adam", "adam", (1e-4, 1e-1)),
    ("AdamW", "adamw", (1e-4, 1e-1)),
)
# Searches and their repetitions use small seeds: from here on no seed was selected on.
_FIRST_TEST_SEED = 1_000_000


@dataclass(frozen=True)
class JudgeRow:
    """One optimizer on all tasks.

    Args:
        name: Its usual name; "evolved" for the judged genome.
        setting: "evolved", "given", "default" or "tuned over N trials: …".
        optimizer: A genome, or optimizers of torch, ready to use.
        accuracies: For each task one test accuracy per seed; 0 for a diverged run.
    """

    name: str
    setting: str
    optimizer: OptimizerConfig
    accuracies: Mapping[str, tuple[float, ...]]

    @property
    def genome(self) -> Genome:
        """The genome; raises as `TrainingConfig.genome` where the optimizer is none."""
        return TrainingConfig(optimizer=self.optimizer).genome

    @property
    def by_seed(self) -> list[float]:
        """Mean over tasks for each seed."""
        return [float(np.mean(cell)) for cell in zip(*self.accuracies.values(), strict=True)]

    @property
    def overall(self) -> Interval:
        """Mean over tasks, with the interval over seeds."""
        return Interval.of(self.by_seed)

    def minus(self, other: "JudgeRow") -> Interval:
        """Mean difference to another row, paired by seed.

        Rows share seeds, thus initial weights and batches: pairing removes their part of the
        spread.
        """
        pairs = zip(self.by_seed, other.by_seed, strict=True)
        return Interval.of([mine - theirs for mine, theirs in pairs])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "setting": self.setting,
            **optimizer_to_dict(self.optimizer),
            "accuracies": {task: list(values) for task, values in self.accuracies.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "JudgeRow":
        """Read what `to_dict` returned."""
        accuracies = {task: tuple(values) for task, values in data["accuracies"].items()}
        return cls(data["name"], data["setting"], optimizer_from_dict(data), accuracies)


def quick_judge(
    optimizer: OptimizerConfig,
    objective: "FitnessObjective",
    *,
    seeds: int = 5,
    tuning_trials: int = 16,
    seed: int = 0,
    on_run: Callable[[int, int], None] | None = None,
) -> list[JudgeRow]:
    """Compare an optimizer with the classic ones on test data.

    Args:
        optimizer: The genome that is judged, optimizers of torch (`NamedOptimizer`), or a learned
            one (`ControllerConfig`).
        objective: Tasks, steps and device, as the search had them; baselines are tuned on it.
        seeds: Number of fresh seeds for each task.
        tuning_trials: Number of trials that tune each baseline.
        seed: Seed of the tuning.
        on_run: Called with the number of trainings done and of all trainings.

    Returns:
        The judged optimizer's row, then two rows for each baseline; a row's setting says how it
        was made.

    Example:
        >>> from optuna_evo import catalog, tasks
        >>> from optuna_evo.objectives import FitnessObjective
        >>> objective = FitnessObjective(tasks=[tasks.get("two_moons")], seeds=[0], steps=100)
        >>> rows = quick_judge(catalog["published_2025"], objective, seeds=2, tuning_trials=4)
        >>> print(rows[0].overall, rows[0].minus(rows[1]))
    """
    # without reports all cells train to their end, one after another
    objective = dataclasses.replace(objective, reports=None)
    n_rows = 1 + 2 * len(_BASELINES)
    per_row = seeds * len(objective.tasks)
    total = n_rows * per_row + len(_BASELINES) * tuning_trials * objective.n_reports
    done = 0

    def count(runs: int) -> None:
        nonlocal done
        done += runs
        if on_run is not None:
            on_run(done, total)

    candidates: list[tuple[str, str, OptimizerConfig]] = [_judged(optimizer)]
    for name, key, lr_range in _BASELINES:
        candidates.append((name, "default", catalog[key]))
        tuned = tune_baseline(
            catalog[key],
            objective,
            lr_range=lr_range,
            n_trials=tuning_trials,
            seed=seed,
            on_run=count,
        )
        candidates.append((name, _setting(tuned, tuning_trials), tuned))
    # loaded after the tuning, which must not see them
    splits = {task: task.load_test(objective.data_dir) for task in objective.tasks}
    rows = []
    for name, setting, candidate in candidates:
        accuracies = _test(candidate, objective, splits, seeds)
        rows.append(JudgeRow(name, setting, candidate, accuracies))
        count(per_row)
    return rows


def tune_baseline(
    genome: Genome,
    objective: "FitnessObjective",
    *,
    lr_range: tuple[float, float],
    n_trials: int,
    seed: int = 0,
    on_run: Callable[[int], None] | None = None,
) -> Genome:
    """Tune the learning rate and schedule of a genome on validation accuracy.

    The usual defaults are the first trial, so on validation data tuning is never worse than them.

    Args:
        genome: The update rule; its other settings stay.
        objective: What it is tuned on.
        lr_range: Range of the learning rate, drawn on a logarithmic scale by TPE.
        n_trials: Number of trials.
        seed: Seed of the sampler.
        on_run: Called with the number of trainings after each trial.
    """
    # half of the usual 16 trials at random: two parameters need few to find the region
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(8, n_trials))
    study = unlogged_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({"lr": genome.lr, "schedule": "constant"})

    def configure(trial: optuna.trial.BaseTrial) -> Genome:
        lr = trial.suggest_float("lr", *lr_range, log=True)
        decays = trial.suggest_categorical("schedule", ("constant", "cosine")) == "cosine"
        schedule: Schedule = "cosine" if decays else "constant"
        tuned = scheduled(dataclasses.replace(genome, lr=lr), schedule, objective.steps)
        assert isinstance(tuned, Genome)
        return tuned

    for _ in range(n_trials):
        trial = study.ask()
        run = objective.start([TrainingConfig(genome=configure(trial))])
        for _ in range(objective.n_reports):
            run.advance()
        accuracies = run.records()[0]["accuracies"]
        n_finite = sum(len(values) for values in accuracies.values())
        # a training that diverged has no accuracy in the records and counts as 0
        study.tell(trial, sum(map(sum, accuracies.values())) / max(objective.n_reports, n_finite))
        if on_run is not None:
            on_run(objective.n_reports)
    return configure(study.best_trial)


def _judged(optimizer: OptimizerConfig) -> tuple[str, str, OptimizerConfig]:
    if isinstance(optimizer, Genome):
        return "evolved", "evolved", optimizer
    if isinstance(optimizer, ControllerConfig):
        return f"learned {Path(optimizer.controller).name}", "given", optimizer
    if isinstance(optimizer, GraftedOptimizer):
        return "grafted", "given", optimizer
    names = " + ".join(group.optimizer for group in optimizer.groups)
    return f"torch {names}", "given", optimizer


def _setting(genome: Genome, n_trials: int) -> str:
    schedule = "warm-up + cosine" if genome.use_cosine_decay else "constant"
    return f"tuned over {n_trials} trials: lr {genome.lr:.2g}, {schedule}"


def _test(
    optimizer: OptimizerConfig,
    objective: "FitnessObjective",
    splits: Mapping["Task", "Split"],
    seeds: int,
) -> dict[str, tuple[float, ...]]:
    config = TrainingConfig(optimizer=optimizer)
    return {
        task.name: tuple(
            _test_accuracy(config, task, split, objective, _FIRST_TEST_SEED + i)
            for i in range(seeds)
        )
        for task, split in splits.items()
    }


def _test_accuracy(
    config: TrainingConfig, task: "Task", split: "Split", objective: "FitnessObjective", seed: int
) -> float:
    (found,) = measure(
        [config],
        Workload(name=task.name, task=task, steps=objective.steps),
        seed,
        Course(),
        test=split,
        device=objective.device,
        precision=objective.precision,
        data_dir=objective.data_dir,
    )
    # a diverged run stays in the mean: leaving it out would reward instability
    return 0.0 if found.diverged else found.test_metric

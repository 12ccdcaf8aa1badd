"""Fitness of optimizers along the way: the trainings on all tasks and seeds advance side by side.

For pruners that compare trials long before their ends, such as successive halving over steps.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.objectives._cells import accuracy_record
from optuna_evo.objectives._cells import cell_fitness
from optuna_evo.tasks import Task
from optuna_evo.trainers import Cohort
from optuna_evo.trainers import start


if TYPE_CHECKING:
    from optuna_evo.objectives._fitness import FitnessObjective

__all__ = ["FitnessCurveRun"]


class FitnessCurveRun:
    """A batch of configurations on all cells at once.

    A step of the run is one report: the same share of every training. The value is the mean
    fitness over cells, each as it stands. All models of all cells are in memory together.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        objective: "FitnessObjective",
        cells: Sequence[tuple[Task, int]],
    ) -> None:
        self.step = 0
        self._objective = o = objective
        self._accuracies: list[dict[str, list[float]]] = [{} for _ in configs]
        self._cohorts: list[tuple[Task, Cohort]] = [
            (task, start(configs, task, seed=seed, **o.options())) for task, seed in cells
        ]

    def advance(self) -> list[float]:
        """Train on to the next report and return the mean fitness of each live member."""
        self.step += 1
        o = self._objective
        self._accuracies = [{} for _ in self._accuracies]
        totals = [0.0] * len(self._accuracies)
        for task, cohort in self._cohorts:
            cohort.train(o.steps * self.step // o.n_reports - cohort.step)
            accuracies = cohort.evaluate()
            for i, (accuracy, loss) in enumerate(zip(accuracies, cohort.losses(), strict=True)):
                self._accuracies[i].setdefault(task.name, []).append(accuracy)
                totals[i] += cell_fitness(accuracy, loss, o.loss_weight)
        return [total / len(self._cohorts) for total in totals]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        for _, cohort in self._cohorts:
            cohort.drop(alive)
        self._accuracies = [a for a, stays in zip(self._accuracies, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return for each member the accuracies by task, and each task's mean, NaN left out."""
        return [accuracy_record(accuracies) for accuracies in self._accuracies]

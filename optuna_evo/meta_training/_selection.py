"""How good a controller is on tasks that meta-training does not see: which state to keep."""

from collections.abc import Callable
from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.meta_training._baselines import bounded_losses
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._roll import roll
from optuna_evo.meta_training._seeds import task_seeds
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.rules import UpdateRule


__all__ = ["Selection"]


class Selection:
    """A measurement: the geometric mean of final losses over tasks and domains.

    Final losses are those on the whole split of the meta-loss. Domains count by their weights.

    Args:
        spec: The meta-training.
        families: One for each domain.
        device: Where to train.
        first: Number of the first task.
    """

    def __init__(
        self,
        spec: MetaSpec,
        families: Sequence[TaskFamily],
        device: torch.device,
        *,
        first: int = 0,
    ) -> None:
        seeds = task_seeds("valid", spec.selection.tasks, first=first)
        self._tasks = [family.sample(seeds, device) for family in families]
        self._weights = [domain.weight for domain in spec.families]
        self._steps = spec.selection.steps or spec.horizon.high
        self._split = spec.meta_loss.rows

    @property
    def inner_steps(self) -> int:
        """Training steps of a measurement, those of all tasks together."""
        return self._steps * sum(map(len, self._tasks))

    def measure(self, controller: Controller) -> float:
        """Return the measurement of a controller; lower is better."""
        return self.measure_rule(lambda n_members: ControllerRule(controller))

    def measure_rule(self, rule_of: Callable[[int], UpdateRule]) -> float:
        """Return the measurement of an update rule; lower is better.

        Args:
            rule_of: Makes the rule for a number of members.
        """
        means = []
        for tasks in self._tasks:
            rule = rule_of(len(tasks))
            losses = roll(
                tasks, rule, marks=[self._steps], total_steps=self._steps, splits=[self._split]
            )[self._split]
            means.append(_log_mean(bounded_losses(tasks, losses, self._split)))
        weights = torch.tensor(self._weights, dtype=torch.float64)
        return float((torch.stack(means) * weights / weights.sum()).sum().exp())


def _log_mean(losses: Tensor) -> Tensor:
    return losses.clamp(min=1e-30).log().mean().cpu()

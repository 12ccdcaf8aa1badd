"""How good a controller is on tasks that meta-training does not see: which state to keep."""

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


__all__ = ["Selection"]


class Selection:
    """A measurement: the geometric mean of final losses over tasks and domains.

    Final losses are those on the whole split of the meta-loss. Domains count by their weights.

    Args:
        spec: The meta-training.
        families: One for each domain.
        device: Where to train.
    """

    def __init__(
        self, spec: MetaSpec, families: Sequence[TaskFamily], device: torch.device
    ) -> None:
        seeds = task_seeds("valid", spec.selection.tasks)
        self._tasks = [family.sample(seeds, device) for family in families]
        self._weights = [domain.weight for domain in spec.families]
        self._steps = spec.selection.steps or spec.horizon.high
        self._split = spec.meta_loss.split

    def measure(self, controller: Controller) -> float:
        """Return the measurement of a controller; lower is better."""
        means = []
        for tasks in self._tasks:
            rule = ControllerRule(controller)
            losses = roll(
                tasks, rule, marks=[self._steps], total_steps=self._steps, splits=[self._split]
            )[self._split]
            means.append(_log_mean(bounded_losses(tasks, losses, self._split)))
        weights = torch.tensor(self._weights, dtype=torch.float64)
        return float((torch.stack(means) * weights / weights.sum()).sum().exp())


def _log_mean(losses: Tensor) -> Tensor:
    return losses.clamp(min=1e-30).log().mean()

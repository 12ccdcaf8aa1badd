"""A controller as an ordinary `torch.optim.Optimizer`."""

from collections.abc import Mapping
import os
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optuna_evo.config import ControllerConfig
from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._rule import ControllerRule
from optuna_evo.learned._store import load_controller
from optuna_evo.learned._store import resolve
from optuna_evo.optimizers import EvolvedOptimizer


__all__ = ["build_learned", "LearnedOptimizer"]


class LearnedOptimizer(EvolvedOptimizer):
    """Train with the update rule that a controller computes.

    The `lr` of a group multiplies the controller's own and is 1 where it is not given, so
    schedulers of `torch.optim.lr_scheduler` compose with it. All else is as of `EvolvedOptimizer`.

    Args:
        params: Parameters or parameter groups. Each group is a run of its own to the controller.
        controller: A name in `optuna_evo.controllers`, such as "hybrid", a folder that
            `save_controller` wrote, or a `Controller`.
        total_steps: Length of the run in optimizer steps; needed by controllers that see how far a
            run is.
        lr: What the learning rate is multiplied by.
        maximize: Ascend instead of descend.
        foreach: As of `EvolvedOptimizer`.
        fused: As of `EvolvedOptimizer`.
        sample_size: Most elements of a tensor that statistics are made of.

    Raises:
        UsageError: If there is no such controller, or it needs `total_steps` (a ValueError).

    Example:
        >>> import torch
        >>> from optuna_evo import LearnedOptimizer
        >>> from optuna_evo.learned import MLPController
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = LearnedOptimizer(model.parameters(), MLPController(), total_steps=100)
        >>> model(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        controller: Controller | str | os.PathLike[str],
        *,
        total_steps: int | None = None,
        lr: float = 1.0,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        sample_size: int = 256,
    ) -> None:
        rule = ControllerRule(resolve(controller), sample_size=sample_size)
        rule.check_length(total_steps)
        super().__init__(
            _with_lr(params, lr),
            rule,
            total_steps=total_steps,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
        )
        self.defaults["lr"] = lr

    @property
    def controller(self) -> Controller:
        """The controller."""
        assert isinstance(self.genome, ControllerRule)
        return self.genome.controller


def build_learned(
    config: ControllerConfig, params: ParamsT, *, total_steps: int | None
) -> LearnedOptimizer:
    """Return the optimizer that a configuration says.

    Args:
        config: Which controller, and a schedule.
        params: Parameters or parameter groups.
        total_steps: Length of the run; None: the configuration's horizon.

    Raises:
        UsageError: If the controller is not there, is another one by now, or needs the length of
            the run (a ValueError).
    """
    current = config.current_weights()
    if current != config.weights:
        raise UsageError(
            f"The controller {config.controller!r} has weights {current} by now, the "
            f"configuration was made with {config.weights}: put those back, or make a new one."
        )
    controller = load_controller(config.folder)
    if config.cosine:
        controller.genome = controller.genome.with_cosine()
    length = config.horizon if total_steps is None else total_steps
    return LearnedOptimizer(params, controller, total_steps=length, lr=config.lr)


def _with_lr(params: Any, lr: float) -> Any:
    """Return parameter groups, those that say no `lr` with this one."""
    if isinstance(params, Tensor | Mapping):
        return params  # torch says what is wrong
    given = list(params)
    if not given:
        return given
    if isinstance(given[0], dict):
        return [{"lr": lr, **group} if isinstance(group, dict) else group for group in given]
    return [{"params": given, "lr": lr}]

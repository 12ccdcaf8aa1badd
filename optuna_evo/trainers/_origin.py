"""Where members go on from: checkpoints put back into models and optimizers."""

from collections.abc import Mapping
from typing import Any
from typing import Protocol

import torch
from torch import nn

from optuna_evo.config import ControllerConfig
from optuna_evo.config import GraftedOptimizer
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import CheckpointError
from optuna_evo.learned import build_learned
from optuna_evo.optimizers import build_named
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.optimizers import Grafted
from optuna_evo.optimizers import roles_of
from optuna_evo.optimizers import TorchOptimizers
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import Genome
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._checkpoint import copied
from optuna_evo.trainers._setting import Setting


__all__ = [
    "build_optimizer",
    "can_stack",
    "check_origin",
    "has_role",
    "Origin",
    "restore",
    "Steppable",
]

Origin = Checkpoint | None
"""What a member goes on from; None: fresh weights."""


class Steppable(Protocol):
    """What a training loop calls of an optimizer."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Do one step."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def inherit_state(self, state: dict[str, Any], /) -> None:
        """Go on from the state of another with this one's own numbers."""


def build_optimizer(
    config: OptimizerConfig, model: nn.Module, *, total_steps: int | None
) -> Steppable:
    """Return the optimizer of a model, whatever kind the configuration is.

    Args:
        config: What optimizer.
        model: Whose parameters.
        total_steps: Length of the run that schedules refer to; None: the configuration's horizon.
    """
    if isinstance(config, NamedOptimizer):
        return build_named(config, model, total_steps=total_steps)
    if isinstance(config, ControllerConfig):
        return build_learned(config, model.parameters(), total_steps=total_steps)
    if isinstance(config, GraftedOptimizer):
        return Grafted(
            build_optimizer(config.direction, model, total_steps=total_steps),
            build_optimizer(config.magnitude, model, total_steps=total_steps),
            model.parameters(),
        )
    params: Any = model.parameters()
    if config.rule.has_matrix:
        params = [{"params": list(params), "role": roles_of(model)}]
    return EvolvedOptimizer(params, config, total_steps=total_steps)


def has_role(group: Mapping[str, Any], place: int) -> bool:
    """Tell whether a parameter of a group is a hidden matrix that has terms of its own."""
    role = group.get("role")
    return role is not None and role[place] == "matrix"


def check_origin(origin: Origin, setting: Setting) -> None:
    """Raise if a checkpoint is of another task or seed."""
    if origin is None:
        return
    if (origin.task, origin.seed) != (setting.task.name, setting.seed):
        raise CheckpointError(
            f"The checkpoint is of task {origin.task!r} with seed {origin.seed}, not of "
            f"{setting.task.name!r} with seed {setting.seed}."
        )


def restore(
    origin: Checkpoint,
    model: nn.Module,
    optimizer: Steppable,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Put a checkpoint into a model, its optimizer and its gradient scaler.

    Raises:
        CheckpointError: If it does not fit them.
    """
    is_named = isinstance(optimizer, TorchOptimizers)
    if ("torch" in origin.optimizer) != is_named:
        kinds = ("an optimizer of torch", "a genome")[:: 1 if is_named else -1]
        raise CheckpointError(
            f"The checkpoint does not fit the training: {kinds[0]} cannot go on from the state of "
            f"{kinds[1]}."
        )
    try:
        model.load_state_dict(origin.model)
        optimizer.inherit_state(copied(origin.optimizer))
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"The checkpoint does not fit the training: {reason}") from error
    if origin.scaler and scaler is not None:
        scaler.load_state_dict(dict(origin.scaler))


def can_stack(config: TrainingConfig, origin: Origin, setting: Setting) -> bool:
    """Tell whether a stack can train a member from its origin as it would be trained alone.

    A stack counts steps once for all parameters, keeps the averages that its rules read, and
    scales no gradients. What needs more than that trains alone: so does SOAP, whose bases are of
    matrices that lie otherwise in a stack, and an average of weights that has begun.
    """
    if not isinstance(config.optimizer, Genome) or setting.autocast_dtype is torch.float16:
        return False
    if config.optimizer.rule.has_basis:
        return False
    if origin is None:
        return True
    groups, states = origin.optimizer.get("param_groups", []), origin.optimizer.get("state", {})
    if len(groups) != 1 or set(groups[0]["params"]) != set(states):
        return False
    rule = config.optimizer.rule
    if rule.has_matrix and not isinstance(groups[0].get("role"), list):
        return False
    steps = {int(groups[0].get("schedule_step", -1)), *(int(s["step"]) for s in states.values())}
    for i, state in states.items():
        needs = rule.needs_of(hidden=rule.has_matrix and has_role(groups[0], i))
        if {AVERAGES[symbol].state for symbol in needs} != set(state) - {"step"}:
            return False
    return steps == {origin.step}

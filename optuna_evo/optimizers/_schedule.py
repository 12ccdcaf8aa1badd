"""A learned schedule as an ordinary scheduler of torch."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from optuna_evo.rules import Schedule


__all__ = ["lr_schedule"]


def lr_schedule(optimizer: Optimizer, schedule: Schedule, *, name: str = "lr") -> LambdaLR:
    """Return a scheduler that gives an optimizer the learning rates of a schedule.

    All parameter groups get the same rate, whatever theirs is now. Stepped beyond its end, the
    schedule stays at its last rate.

    Args:
        optimizer: Any optimizer.
        schedule: Learned by a lineage; `Schedule.from_dict` reads an exported one.
        name: The hyperparameter that is the learning rate.

    Raises:
        UsageError: If the schedule holds no such hyperparameter.

    Example:
        >>> import torch
        >>> from optuna_evo import lr_schedule, Schedule
        >>> piece = {"trial": 0, "first_step": 0, "steps": 5, "value": 1.2, "params": {"lr": 0.1}}
        >>> exported = {"study": "mine", "task": "gpt2", "pieces": [piece]}  # the exported JSON
        >>> schedule = Schedule.from_dict(exported)
        >>> optimizer = torch.optim.AdamW(torch.nn.Linear(4, 1).parameters())
        >>> scheduler = lr_schedule(optimizer, schedule)  # scheduler.step() after each step
    """
    first = schedule.lr(0, name=name)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = first
    return LambdaLR(optimizer, lambda step: schedule.lr(step, name=name) / first)

"""The numbers of a step computed on the device, so that a CUDA graph counts steps by itself.

The twin of `Scalars.numbers`, with the steps as tensors.
"""

import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.rules import Rule


__all__ = ["numbers_on_device"]


def numbers_on_device(rule: Rule, group: dict[str, Any], steps: Tensor) -> Tensor:
    """Return rows of `Scalars.numbers()`, one for each tensor, (n, 14), float64.

    Args:
        rule: Coefficients and schedule.
        group: A parameter group; its `schedule_step` is a 0-d tensor on the device, its `lr` a
            float, fixed when the graph is captured, or such a tensor.
        steps: Numbers of steps done on each tensor, this one included, (n,).
    """
    t, beta1, beta2 = steps.double(), group["beta1"], group["beta2"]
    correction_m = 1 - beta1**t if rule.bias_correction else torch.ones_like(t)
    correction_v = 1 - beta2**t if rule.bias_correction else torch.ones_like(t)
    lr = group["lr"] * _lr_scale(rule, group["schedule_step"], group["total_steps"])
    clip = math.inf if rule.clip_value is None else rule.clip_value
    c, lr_m = rule.coefficients, lr / correction_m
    numbers = (
        lr * c[0],
        lr_m * c[1],
        lr * c[2],
        lr_m * c[3],
        lr * c[4],
        lr * c[5],
        lr_m * c[6],
        1 - lr * group["weight_decay"],
        1 - beta1,
        beta2,
        1 - beta2,
        correction_v**-0.5,
        group["eps"],
        clip,
    )
    return torch.stack([torch.zeros_like(t) + number for number in numbers], dim=1)


def _lr_scale(rule: Rule, step: Tensor, total_steps: int | None) -> Tensor:
    """Return `Rule.lr_scale` of a step in a tensor."""
    t = step.double()
    scale = torch.ones_like(t)
    if rule.warmup_steps:
        scale = ((t + 1) / rule.warmup_over(total_steps)).clamp(max=1)
    if rule.cosine:
        assert total_steps is not None
        scale = scale * (1 + torch.cos(math.pi * (t / total_steps).clamp(max=1))) / 2
    return scale

"""Adam on the meta-parameters, as pure functions: the same in every process, bit for bit.

Shape legend: D meta-parameters.
"""

import math
from typing import NamedTuple

from torch import Tensor

from optuna_evo.meta_training._spec import OuterSpec


__all__ = ["OuterState", "outer_step"]

_BETA1, _BETA2, _EPS = 0.9, 0.99, 1e-8  # 0.99: estimates are few and noisy


class OuterState(NamedTuple):
    """Where a meta-training stands.

    Args:
        theta: Meta-parameters, (D,).
        m, v: Adam's averages.
        n_updates: Updates done.
    """

    theta: Tensor
    m: Tensor
    v: Tensor
    n_updates: int


def outer_step(state: OuterState, gradient: Tensor, number: int, spec: OuterSpec) -> OuterState:
    """Return the state after an update.

    Args:
        state: The state before.
        gradient: Estimate of the meta-gradient, (D,).
        number: Number of the outer step, counted from 0, on which the learning rate depends.
        spec: Its learning rate, and the largest norm of a gradient.
    """
    norm = float(gradient.norm())
    g = gradient * (spec.max_norm / norm) if norm > spec.max_norm else gradient
    m, v = state.m.lerp(g, 1 - _BETA1), state.v.lerp(g * g, 1 - _BETA2)
    n = state.n_updates + 1
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, number / spec.steps)))
    lr = spec.lr * (spec.lr_end + (1 - spec.lr_end) * cosine)
    ratio = (m / (1 - _BETA1**n)) / ((v / (1 - _BETA2**n)).sqrt() + _EPS)
    return OuterState(state.theta - lr * ratio, m, v, n)

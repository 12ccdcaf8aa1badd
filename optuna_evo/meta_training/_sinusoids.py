"""Sinusoid regression, the few-shot benchmark of MAML (arXiv:1703.03400, section 5.1)."""

import math

import torch
from torch import Tensor

from optuna_evo.meta_training._maml import FewShotTasks


__all__ = ["sinusoids"]

_AMPLITUDES = (0.1, 5.0)
_INPUTS = (-5.0, 5.0)


def sinusoids(n_tasks: int, *, shots: int = 10, queries: int = 10, seed: int) -> FewShotTasks:
    """Draw sine waves y = a sin(x - b), a in [0.1, 5], b in [0, pi], x in [-5, 5], all uniform.

    Args:
        n_tasks: B waves.
        shots: K points to adapt on.
        queries: Q points to ask.
        seed: Equal seeds give equal episodes.

    Returns:
        FewShotTasks of shapes (B, K, 1) and (B, Q, 1).

    Example:
        >>> sinusoids(25, seed=0).support_inputs.shape
        torch.Size([25, 10, 1])
    """
    generator = torch.Generator().manual_seed(seed)
    amplitude = _uniform((n_tasks, 1, 1), *_AMPLITUDES, generator)
    phase = _uniform((n_tasks, 1, 1), 0.0, math.pi, generator)
    inputs = _uniform((n_tasks, shots + queries, 1), *_INPUTS, generator)
    targets = amplitude * torch.sin(inputs - phase)
    support, query = slice(None, shots), slice(shots, None)
    return FewShotTasks(*(t[:, part] for part in (support, query) for t in (inputs, targets)))


def _uniform(
    shape: tuple[int, ...], low: float, high: float, generator: torch.Generator
) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)

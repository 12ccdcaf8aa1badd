"""Which of several ways to train is fastest on this machine, found by trying them."""

from collections.abc import Callable
from collections.abc import Sequence
import time

import torch


__all__ = ["seconds_a_step"]

_ROUNDS = 3
_LEAST_SECONDS = 0.02  # of a timed stretch, so that the clock and the system's ticks do not matter
_MOST_STEPS = 16


def seconds_a_step(
    runners: Sequence[Callable[[int], None]], *, n_steps: int, device: torch.device
) -> list[float]:
    """Time the ways in turns, so that a busy machine slows all alike.

    Args:
        runners: Each does so many steps; its first step is not timed.
        n_steps: Steps that each can do in all, at least 2.
        device: Where.

    Returns:
        The least seconds a step of each.
    """

    def timed(runner: Callable[[int], None], steps: int) -> float:
        _wait(device)
        start = time.perf_counter()
        runner(steps)
        _wait(device)
        return (time.perf_counter() - start) / steps

    for runner in runners:
        runner(1)
    best = [timed(runner, 1) for runner in runners]
    left = n_steps - 2
    for _ in range(_ROUNDS):
        wanted = int(_LEAST_SECONDS / max(min(best), 1e-6))
        steps = min(max(1, wanted), _MOST_STEPS, left)
        if steps < 1:
            break
        left -= steps
        # who is far behind does not come back: it may be slow, and the time is not free
        best = [
            min(so_far, timed(runner, steps)) if so_far < 4 * min(best) else so_far
            for runner, so_far in zip(runners, best, strict=True)
        ]
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

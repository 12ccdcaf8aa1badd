"""A learning rate that multiplies the steps of a rule which has its own."""

from torch import Tensor

from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import NUMBERS


__all__ = ["scale_steps"]

_DECAY = NUMBERS.index("decay")
_N_STEPS = len(DIRECTIONS) + 1  # along the directions and the dense one


def scale_steps(numbers: Tensor, factor: Tensor | float) -> Tensor:
    """Return numbers whose steps, weight decay among them, are `factor` times as long.

    Args:
        numbers: (..., n).
        factor: One, or one for each row, (...).
    """
    f = numbers.new_tensor(factor) if isinstance(factor, float) else factor.to(numbers)
    scaled = numbers.clone()
    scaled[..., :_N_STEPS] *= f.unsqueeze(-1)
    scaled[..., _DECAY] = 1 - (1 - numbers[..., _DECAY]) * f
    return scaled

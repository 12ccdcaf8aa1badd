"""The numbers of a step: schedule, bias correction and learning rate, multiplied out.

Everything that is equal for all elements of a tensor is in them, so that a step costs one
multiplication a direction. They are derived here for the host and for a device alike: steps and
learning rates may be Python numbers or tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any
from typing import Final
from typing import TYPE_CHECKING

from optuna_evo.rules._terms import DIRECTIONS


if TYPE_CHECKING:
    from optuna_evo.rules._rule import Rule

__all__ = ["FROZEN", "NUMBERS", "step_numbers"]

# The step along each direction, along the dense one that is computed outside, then the scalars.
_SCALARS: Final[Mapping[str, float]] = {
    # with the value that makes a member stand still
    "decay": 1.0,  # w <- decay * w
    "m_share": 0.0,  # m <- m + m_share * (g - m)
    "v_decay": 1.0,  # v <- v_decay * v + v_share * g * g
    "v_share": 0.0,
    "rms_scale": 1.0,  # rms = rms_scale * sqrt(v) + eps
    "eps": 0.0,
    "clip": math.inf,  # g <- clip(g, -clip, clip)
}
_STEPS: Final = (*(term.name.lower() for term in DIRECTIONS), "dense")

NUMBERS: Final = (*_STEPS, *_SCALARS)
"""The names of what `step_numbers` returns, in order."""

FROZEN: Final = (*(0.0,) * len(_STEPS), *_SCALARS.values())
"""The numbers of a member that stands still: its weights are not touched."""

# The kept m enters these in proportion: its correction is in their numbers.
_WITH_M: Final = tuple("m" in t.row.reads and not t.row.sign_only for t in DIRECTIONS)


def step_numbers(
    rule: Rule,
    step: Any,
    *,
    total_steps: int | None,
    schedule_step: Any = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Any, ...]:
    """Return what the elements of a step are computed from, in the order of `NUMBERS`.

    Args:
        rule: Coefficients and schedule.
        step: Number of the step, counted from 1, on which bias correction depends.
        total_steps: Length of the run.
        schedule_step: Steps done before, for the schedule; None: `step` - 1.
        settings: lr, beta1, beta2, eps and weight_decay in place of the rule's own.

    Example:
        >>> rule = Genome(terms=[("GRAD", 2.0)], lr=0.1).rule
        >>> step_numbers(rule, 1, total_steps=None)[0]
        0.2
    """
    s = rule.settings() if settings is None else settings
    done = step - 1 if schedule_step is None else schedule_step
    lr, beta1, beta2 = s["lr"] * rule.lr_scale(done, total_steps), s["beta1"], s["beta2"]
    correction_m = 1 - beta1**step if rule.bias_correction else 1.0
    correction_v = 1 - beta2**step if rule.bias_correction else 1.0
    lr_m = lr / correction_m
    return (
        *[c and (lr_m if m else lr) * c for m, c in zip(_WITH_M, rule.coefficients, strict=True)],
        0.0,
        1 - lr * s["weight_decay"],
        # an average that the rule does not read stands still where others have it in a stack
        1 - beta1 if "beta1" in rule.betas else 0.0,
        beta2 if "beta2" in rule.betas else 1.0,
        1 - beta2 if "beta2" in rule.betas else 0.0,
        correction_v**-0.5,
        s["eps"],
        math.inf if rule.clip_value is None else rule.clip_value,
    )

"""The numbers of a step: schedule, bias correction and learning rate, multiplied out.

Everything that is equal for all elements of a tensor is in them, so that a step costs one
multiplication a direction. They are derived here for the host and for a device alike: steps and
learning rates may be Python numbers or tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
import functools
import math
from typing import Any
from typing import Final
from typing import TYPE_CHECKING

from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import TermType


if TYPE_CHECKING:
    from optuna_evo.rules._rule import Rule

__all__ = [
    "FROZEN",
    "is_outside",
    "matrix_numbers",
    "nadam_mu",
    "nadam_product",
    "nadam_shares",
    "NUMBERS",
    "own_step",
    "step_numbers",
    "unit_numbers",
]

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
_ADAM, _RMS = (DIRECTIONS.index(t) for t in (TermType.ADAM_TERM, TermType.RMS_NORM))


def step_numbers(
    rule: Rule,
    step: Any,
    *,
    total_steps: int | None,
    schedule_step: Any = None,
    settings: Mapping[str, Any] | None = None,
    hidden: bool = False,
) -> tuple[Any, ...]:
    """Return what the elements of a step are computed from, in the order of `NUMBERS`.

    Where the update is computed outside, its learning rate is the number "dense" and no term has
    one (`Rule.is_modified`, and hidden matrices where `Rule.has_matrix`).

    Args:
        rule: Coefficients and schedule.
        step: Number of the step, counted from 1, on which bias correction depends.
        total_steps: Length of the run.
        schedule_step: Steps done before, for the schedule; None: `step` - 1.
        settings: lr, beta1, beta2, eps and weight_decay in place of the rule's own.
        hidden: Whether they are a hidden matrix's.

    Example:
        >>> rule = Genome(terms=[("GRAD", 2.0)], lr=0.1).rule
        >>> step_numbers(rule, 1, total_steps=None)[0]
        0.2
    """
    s = rule.settings() if settings is None else settings
    lr = s["lr"] * rule.lr_scale(step - 1 if schedule_step is None else schedule_step, total_steps)
    if is_outside(rule, hidden=hidden):
        step = own_step(rule, step, hidden=hidden)
        if step == 0:  # a basis begins
            return FROZEN
        steps: tuple[Any, ...] = (*(0.0,) * len(DIRECTIONS), lr)
    else:
        steps = (*_along(rule, step, s, lr), 0.0)
    return (*steps, 1 - lr * s["weight_decay"], *_scalars(rule, step, s))


def unit_numbers(
    rule: Rule, step: int, *, settings: Mapping[str, Any] | None = None, hidden: bool = False
) -> tuple[Any, ...]:
    """Return the numbers of an update that is computed outside: its terms, with a rate of 1."""
    s = rule.settings() if settings is None else settings
    step = max(1, own_step(rule, step, hidden=hidden))
    return (*_along(rule, step, s, 1.0), 0.0, 1.0, *_scalars(rule, step, s))


def matrix_numbers(
    rule: Rule, step: int, *, settings: Mapping[str, Any] | None = None
) -> tuple[float, ...]:
    """Return what each of `MATRIX_TERMS` is multiplied by in a step; the rate is 1."""
    beta1 = (rule.settings() if settings is None else settings)["beta1"]
    orthogonal, soap = rule.matrix
    if soap and rule.bias_correction:  # m enters in proportion
        soap /= 1 - beta1 ** max(1, own_step(rule, step, hidden=True))
    return orthogonal, soap


def is_outside(rule: Rule, *, hidden: bool) -> bool:
    """Tell whether an update is computed outside of the kernels."""
    return rule.is_modified or (hidden and rule.has_matrix)


def own_step(rule: Rule, step: Any, *, hidden: bool) -> Any:
    """Return the number of a step; one fewer where the first only begins the basis of SOAP."""
    return step - 1 if hidden and rule.has_basis else step


def _along(rule: Rule, step: Any, s: Mapping[str, Any], lr: Any) -> list[Any]:
    """Return the step along each direction."""
    lr_m = lr / (1 - s["beta1"] ** step) if rule.bias_correction else lr
    along = [
        c and (lr_m if m else lr) * c for m, c in zip(_WITH_M, rule.coefficients, strict=True)
    ]
    if rule.nadam:
        m_share, g_share = nadam_shares(s["beta1"], step)
        along[_ADAM] += lr * rule.nadam * m_share
        along[_RMS] += lr * rule.nadam * g_share
    return along


def _scalars(rule: Rule, step: Any, s: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the numbers after "decay"."""
    correction_v = 1 - s["beta2"] ** step if rule.bias_correction else 1.0
    return (
        # an average that the rule does not read stands still where others have it in a stack
        1 - s["beta1"] if "beta1" in rule.betas else 0.0,
        s["beta2"] if "beta2" in rule.betas else 1.0,
        1 - s["beta2"] if "beta2" in rule.betas else 0.0,
        correction_v**-0.5,
        s["eps"],
        math.inf if rule.clip_value is None else rule.clip_value,
    )


def nadam_shares(beta1: float, step: int) -> tuple[float, float]:
    """Return what m and g are multiplied by in torch's NAdam, with its `momentum_decay` of 4e-3.

    Example:
        >>> nadam_shares(0.0, 1)
        (0.0, 1.0)
    """
    now, after = nadam_mu(beta1, step), nadam_mu(beta1, step + 1)
    product = nadam_product(beta1, step)
    return after / (1 - product * after), (1 - now) / (1 - product)


def nadam_mu(beta1: float, step: int) -> float:
    """Return the share of m at a step."""
    return float(beta1 * (1 - 0.5 * 0.96 ** (step * 4e-3)))


@functools.lru_cache(maxsize=4096)
def nadam_product(beta1: float, step: int) -> float:
    """Return the product of all shares up to a step."""
    known = 1.0
    for i in range(1, step + 1):
        known *= nadam_mu(beta1, i)
        if known < 1e-20:  # 1 minus it is 1
            break
    return known

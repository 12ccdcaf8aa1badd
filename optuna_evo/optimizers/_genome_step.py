"""What a step of a genome is for the parameters of a bucket: its numbers, its dense directions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optuna_evo.optimizers._buckets import Bucket
from optuna_evo.optimizers._dense import BASIS
from optuna_evo.optimizers._dense import dense_direction
from optuna_evo.optimizers._groups import merge_betas
from optuna_evo.optimizers._groups import settings_of
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import is_outside
from optuna_evo.rules import matrix_numbers
from optuna_evo.rules import Rule
from optuna_evo.rules import step_numbers
from optuna_evo.rules import unit_numbers


__all__ = ["check_genome", "directions_of", "numbers_of", "terms_of"]

_DENSE = (*(0.0,) * len(DIRECTIONS), 1.0)


def check_genome(rule: Rule, total_steps: int | None, *, capturable: bool) -> None:
    """Raise a ValueError for a genome that cannot be run so."""
    if rule.needs_length and total_steps is None:
        kind = "decays along a cosine" if rule.cosine else "has a schedule over the whole run"
        raise ValueError(
            f"This genome {kind}: say over how many steps by "
            "`EvolvedOptimizer(params, genome, total_steps=...)`."
        )
    if capturable and (rule.is_dense or rule.nadam or rule.tail):
        raise ValueError(
            "`capturable` is for elementwise genomes: ORTHOGONAL, SOAP, NADAM, modifiers of whole "
            "updates and `tail_average` are computed by the host's count of steps."
        )


def terms_of(rule: Rule, *, hidden: bool) -> tuple[float, ...]:
    """Return numbers that are 0 where those of a step are, of terms and the dense direction."""
    if is_outside(rule, hidden=hidden):
        return _DENSE
    return rule.present


def numbers_of(
    rule: Rule, group: Mapping[str, Any], bucket: Bucket, *, on_device: bool
) -> Tensor | tuple[float, ...]:
    """Return the numbers of a step; counted on the device, a row for each parameter."""
    merge_betas(group)  # type: ignore[arg-type]
    settings = settings_of(group, on_device=on_device)
    total_steps, done = group["total_steps"], group["schedule_step"]
    if not on_device:
        return step_numbers(
            rule,
            bucket.step,
            total_steps=total_steps,
            schedule_step=int(done),
            settings=settings,
            hidden=bucket.hidden,
        )
    steps = torch.stack([state["step"] for state in bucket.states]).double() + 1
    columns = step_numbers(
        rule, steps, total_steps=total_steps, schedule_step=done.to(steps), settings=settings
    )
    return torch.stack([torch.zeros_like(steps) + column for column in columns], dim=1)


def directions_of(
    rule: Rule, group: Mapping[str, Any], bucket: Bucket, grads: list[Tensor]
) -> list[Tensor] | None:
    """Return the updates before the learning rate that are computed outside of the kernels.

    Args:
        rule: What the group runs.
        group: Its settings.
        bucket: Its parameters with their averages; the bases of SOAP in their states change.
        grads: To be descended along.
    """
    if not is_outside(rule, hidden=bucket.hidden):
        return None
    settings, step, hidden = settings_of(group, on_device=False), bucket.step, bucket.hidden
    numbers = unit_numbers(rule, step, settings=settings, hidden=hidden)
    matrix = matrix_numbers(rule, step, settings=settings)
    directions = []
    for i, (p, g, state) in enumerate(zip(bucket.params, grads, bucket.states, strict=True)):
        wide = average_dtype(p.dtype)
        averages = {
            symbol: _row(tensors[i], hidden) for symbol, tensors in bucket.averages.items()
        }
        basis = {key: state[name].unsqueeze(0) for key, name in BASIS.items() if name in state}
        update = dense_direction(
            rule,
            _row(p.detach().to(wide), hidden),
            _row(g.to(wide), hidden),
            averages,
            numbers,
            step=step,
            hidden=hidden,
            matrix=matrix,
            basis=basis,
        )
        directions.append(update.reshape(p.shape))
    return directions


def _row(x: Tensor, hidden: bool) -> Tensor:
    """Return a tensor as a stack of one, (1, *shape); hidden matrices as (1, r, c)."""
    return x.unsqueeze(0).flatten(2) if hidden else x.unsqueeze(0)

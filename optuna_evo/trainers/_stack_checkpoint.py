"""From checkpoints into a stack and back: a row has the form of a member that trains alone."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.optimizers import TAIL
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import Genome
from optuna_evo.rules import Rule
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._origin import build_optimizer
from optuna_evo.trainers._origin import check_origin
from optuna_evo.trainers._origin import has_role
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._origin import restore
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._sparsity import magnitude_masks
from optuna_evo.trainers._stack import Stack


__all__ = ["checkpoint_of_row", "restore_row", "stacked_masks"]

Averages = Mapping[str, Tensor]
"""Averages (P, N) by their symbols; a member's rule may read fewer of them."""


def restore_row(
    stack: Stack,
    averages: Averages,
    row: int,
    origin: Origin,
    genome: Genome,
    *,
    model: nn.Module,
    setting: Setting,
) -> dict[str, Any]:
    """Put a member's origin into its row; return the parameter group that it would have alone.

    The model and the optimizer that it would have alone are built and thrown away, so that what
    does not fit alone does not fit here, and with the same words.

    Args:
        stack: Weights and buffers, fresh ones in this row.
        averages: Averages, zeros in this row.
        row: Which one.
        origin: What the member goes on from.
        genome: Its rule.
        model: Any model of the architecture; its weights are overwritten.
        setting: What the members have in common.
    """
    check_origin(origin, setting)
    optimizer = build_optimizer(genome, model, total_steps=setting.schedule_steps)
    assert isinstance(optimizer, EvolvedOptimizer)
    if origin is not None:
        restore(origin, model, optimizer)
        stack.load(row, model)
        named = dict(model.named_parameters())
        for symbol in genome.rule.needs if origin.step else ():
            key = AVERAGES[symbol].state
            own = {
                name: optimizer.state[p].get(key, torch.zeros_like(p)) for name, p in named.items()
            }
            stack.write(averages[symbol], row, own)
    (group,) = optimizer.state_dict()["param_groups"]
    return dict(group)


def checkpoint_of_row(
    stack: Stack,
    averages: Averages,
    row: int,
    rule: Rule,
    group: Mapping[str, Any],
    *,
    tail: Tensor | None,
    step: int,
    position: int,
    setting: Setting,
) -> Checkpoint:
    """Return the state of a row; its tensors are views of the stack's.

    Args:
        stack: Weights and buffers.
        averages: Averages.
        row: Which one.
        rule: What it trains with.
        group: Its parameter group, with the learning rate that it has now.
        tail: The average of its weights (N,), if it has one.
        step: Steps done since fresh weights.
        position: Rows taken since fresh weights.
        setting: What the members have in common.
    """
    own = {symbol: [*stack.read(averages[symbol], row).values()] for symbol in sorted(rule.needs)}
    state: dict[int, dict[str, Any]] = {}
    for i in group["params"]:
        needs = sorted(rule.needs_of(hidden=has_role(group, i)))
        state[i] = {"step": step, **{AVERAGES[s].state: own[s][i] for s in needs}}
    if tail is not None:
        for i, average in enumerate(stack.read(tail.unsqueeze(0), 0).values()):
            state[i][TAIL] = average
    return Checkpoint(
        task=setting.task.name,
        seed=setting.seed,
        step=step,
        position=position,
        model=stack.state_dict(row),
        optimizer={
            "state": state if step else {},  # alone, the first step makes it
            "param_groups": [{**group, "schedule_step": step}],
        },
        scaler={},
    )


def stacked_masks(stack: Stack, model: nn.Module, shares: Sequence[float]) -> Tensor:
    """Return which weights stay (P, N), 1 or 0, where each member holds a share at zero.

    Args:
        stack: Weights that decide.
        model: Any model of the architecture; its weights are overwritten.
        shares: One for each member.
    """
    masks = torch.ones_like(stack.weights)
    names = {id(p): name for name, p in model.named_parameters()}
    for row, share in enumerate(shares):
        model.load_state_dict(stack.state_dict(row))
        ones = {name: torch.ones_like(p) for name, p in model.named_parameters()}
        own = {names[id(p)]: mask for p, mask in magnitude_masks(model, share)}
        stack.write(masks, row, ones | own)
    return masks

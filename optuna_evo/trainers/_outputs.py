"""Outputs of a model: one tensor, or tensors in dictionaries, lists and tuples.

What the task's loss and metric understand is theirs to say. Here outputs are only checked for
numbers that are not finite, put together from batches, and taken apart by members of a stack.

Shape legend: P members, b rows of a batch, n rows of a split.
"""

from collections.abc import Sequence
import functools
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten
from torch.utils._pytree import tree_leaves
from torch.utils._pytree import tree_map
from torch.utils._pytree import tree_unflatten

from optuna_evo.errors import UsageError


__all__ = ["are_finite", "are_finite_by_member", "are_tensors", "member_of", "whole"]


def are_tensors(outputs: Any) -> bool:
    """Tell whether all leaves are tensors, as a stack needs."""
    leaves = tree_leaves(outputs)
    return bool(leaves) and all(isinstance(leaf, Tensor) for leaf in leaves)


def are_finite(outputs: Any) -> Tensor:
    """Return whether all numbers in the tensors are finite, as a scalar on their device.

    Raises:
        UsageError: If there is no tensor in them that could be looked at.
    """
    return functools.reduce(
        torch.logical_and, (torch.isfinite(tensor).all() for tensor in _tensors(outputs))
    )


def are_finite_by_member(outputs: Any) -> Tensor:
    """Return the same (P,) for each member of a stack whose outputs are (P, ...)."""
    return functools.reduce(
        torch.logical_and,
        (torch.isfinite(t).reshape(len(t), -1).all(dim=1) for t in _tensors(outputs)),
    )


def member_of(outputs: Any, row: int) -> Any:
    """Return one member's outputs (b, ...) of those of a stack (P, b, ...)."""
    return outputs[row] if isinstance(outputs, Tensor) else tree_map(lambda t: t[row], outputs)


def whole(batches: Sequence[Any], sizes: Sequence[int], *, dim: int = 0) -> Any:
    """Put the outputs of batches together.

    Tensors with a row for each row of the batch are joined; others, such as a loss that the model
    computes by itself, are averaged over the rows; what is no tensor is that of the last batch.

    Args:
        batches: What the model returned, batch by batch, all of the same structure.
        sizes: Rows of each.
        dim: Which dimension the rows are in: 0, or 1 of a stack's outputs (P, b, ...).
    """
    if isinstance(batches[0], Tensor):
        return torch.cat([batch.float() for batch in batches], dim=dim)
    flat = [tree_flatten(batch) for batch in batches]
    if any(structure != flat[0][1] for _, structure in flat):
        raise UsageError(
            "The outputs of a model must have the same structure for all batches: dictionaries "
            "with the same keys, lists of the same length."
        )
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    return tree_unflatten([_joined(column, sizes, dim) for column in columns], flat[0][1])


def _joined(leaves: Sequence[Any], sizes: Sequence[int], dim: int) -> Any:
    if not isinstance(leaves[0], Tensor):
        return leaves[-1]
    tensors = [leaf.float() if leaf.is_floating_point() else leaf for leaf in leaves]
    pairs = zip(tensors, sizes, strict=True)
    if all(tensor.shape[dim : dim + 1] == (n,) for tensor, n in pairs):
        return torch.cat(tensors, dim=dim)
    shares = [n / sum(sizes) for n in sizes]
    return sum(share * tensor for share, tensor in zip(shares, tensors, strict=True))


def _tensors(outputs: Any) -> list[Tensor]:
    found = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if not found:
        raise UsageError(
            f"A model must return a tensor, or tensors in dictionaries, lists and tuples; got "
            f"{type(outputs).__name__}."
        )
    return found

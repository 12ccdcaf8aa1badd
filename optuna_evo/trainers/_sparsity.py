"""Magnitude pruning: the smallest weights of each matrix are held at zero.

Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks".
"""

import torch
from torch import nn
from torch import Tensor


__all__ = ["apply_masks", "magnitude_masks"]

Masks = list[tuple[nn.Parameter, Tensor]]


def magnitude_masks(model: nn.Module, sparsity: float) -> Masks:
    """Return for each weight matrix which weights stay.

    Vectors (biases, norms) and embeddings are left whole, a head that is tied to an embedding too.

    Args:
        model: The model.
        sparsity: Share of each matrix to set to zero, in [0, 1): at least so many are, and more
            only where weights are equal.

    Returns:
        Pairs of a parameter and a mask of its shape, 1 where a weight stays; none without
        sparsity.
    """
    if not sparsity:
        return []
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in embeddings]
    return [(p, _mask(p.detach(), sparsity)) for p in matrices]


@torch.no_grad()
def apply_masks(masks: Masks) -> None:
    """Set the weights to zero that do not stay."""
    if masks:
        torch._foreach_mul_([p for p, _ in masks], [mask for _, mask in masks])


def _mask(weight: Tensor, sparsity: float) -> Tensor:
    sizes = weight.abs().float().flatten()
    n_gone = int(sparsity * len(sizes))
    if n_gone == 0:
        return torch.ones_like(weight)
    threshold = sizes.kthvalue(n_gone).values
    return (weight.abs() > threshold).to(weight.dtype)

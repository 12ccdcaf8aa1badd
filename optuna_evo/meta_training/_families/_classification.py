"""What families of image and character classification share: rows, batches, initial weights."""

from collections.abc import Mapping
from collections.abc import Sequence
import math

import torch
from torch import Tensor

from optuna_evo.meta_training._families._family import SplitName


__all__ = ["batches", "cross_entropies", "initial_weights", "log_uniform", "rows_of", "tensors"]


def log_uniform(low: float, high: float, random: torch.Generator) -> Tensor:
    """Draw a number whose logarithm is uniform, 0-d."""
    share = torch.rand((), generator=random)
    return (math.log(low) + share * math.log(high / low)).exp()


def initial_weights(shapes: Sequence[tuple[int, ...]], random: torch.Generator) -> Tensor:
    """Draw weights as `nn.Linear` and `nn.Conv2d` do: uniform within 1 / sqrt(fan in), (N,).

    A bias has the fan-in of the tensor before it.
    """
    parts, fan_in = [], 1
    for shape in shapes:
        fan_in = math.prod(shape[1:]) if len(shape) > 1 else fan_in
        parts.append((2 * torch.rand(math.prod(shape), generator=random) - 1) / fan_in**0.5)
    return torch.cat(parts)


def batches(n_rows: int, size: int, n_batches: int, random: torch.Generator) -> Tensor:
    """Return the rows of batches, (n_batches, size): epochs without replacement, one by one."""
    n_epochs = -(-n_batches * size // n_rows)
    order = [torch.randperm(n_rows, generator=random) for _ in range(n_epochs)]
    return torch.cat(order)[: n_batches * size].reshape(n_batches, size)


def rows_of(
    arrays: Mapping[str, Tensor], batch: Tensor | None, split: SplitName, spans: Mapping[str, slice]
) -> tuple[Tensor, Tensor]:
    """Return the inputs (M, B, ...) and labels (M, B) of a batch or of a whole split.

    Args:
        arrays: "x" (M, rows, ...), "y" (M, rows), and for each split whose name it has the rows
            of its batches, (M, batches, B), counted from the first row of the split.
        batch: Number of each member's batch, (M,); None: all rows.
        split: Name of the split.
        spans: The rows of each split.
    """
    x, y, span = arrays["x"], arrays["y"], spans[split]
    if batch is None:
        return x[:, span], y[:, span]
    members = torch.arange(len(x), device=x.device)
    numbers = arrays[split]
    rows = numbers[members, batch % numbers.shape[1]] + span.start  # (M, B)
    flat = (rows + (members * x.shape[1]).unsqueeze(1)).reshape(-1)
    chosen = x.flatten(0, 1).index_select(0, flat).reshape(*rows.shape, *x.shape[2:])
    return chosen, y.reshape(-1).index_select(0, flat).reshape(rows.shape)


def tensors(weights: Tensor, layout: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Return the T tensors of members, (M, *shape) each, as views."""
    parts = torch.split(weights, [math.prod(shape) for shape in layout], dim=1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, layout, strict=True)]


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows for each member: (M, B, classes), (M, B) -> (M,).

    For 32 members of 64 rows and 10 classes a third of the time of torch's own.
    """
    own = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return (logits.logsumexp(-1) - own).mean(1)

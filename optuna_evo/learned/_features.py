"""What a controller knows of each parameter: 30 features, as Celo2 has them (arXiv:2602.19142).

Gradient, weight, momenta at three decays, a second moment and factored ones at three decays, and
their quotients; each is divided by its root mean square over the tensor, so no scale matters.

Shape legend: T tensors of N elements in all, R rows and C columns of matrices in all; there may be
members in front (...).
"""

import functools
import math
from typing import Final
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.rules import Layout


__all__ = [
    "FACTORED_DECAYS",
    "factors",
    "LEAST",
    "MOMENTUM_DECAYS",
    "N_FEATURES",
    "normalised",
    "of_features",
    "over_tensors",
    "parameter_features",
    "SQUARE_DECAY",
    "start_features",
    "TINY",
]

N_FEATURES: Final = 30
MOMENTUM_DECAYS: Final = (0.9, 0.99, 0.999)
SQUARE_DECAY: Final = 0.95
FACTORED_DECAYS: Final = (0.9, 0.99, 0.999)
# The least second moment, as a share of its mean in the tensor: dead units have none.
LEAST: Final = 1e-6
TINY: Final = 1e-30


class _Geometry(NamedTuple):
    """Where elements stand: to which tensor, row and column each of the N belongs."""

    sizes: list[int]
    tensor: Tensor
    row: Tensor
    column: Tensor
    n_rows: int
    n_columns: int


def start_features(layout: Layout) -> State:
    """Return the averages of one member at the beginning of a run."""
    place = _geometry(_key(layout), torch.device("cpu"))
    return {
        "momenta": torch.zeros(len(MOMENTUM_DECAYS), len(place.tensor)),
        "squares": torch.zeros(len(place.tensor)),
        "rows": torch.zeros(len(FACTORED_DECAYS), place.n_rows),
        "columns": torch.zeros(len(FACTORED_DECAYS), place.n_columns),
    }


def parameter_features(reading: Reading, state: State) -> tuple[Tensor, State]:
    """Return the features of each parameter, (..., 30, N), and the averages after the step.

    They are in the sizes that they have: `of_features` divides them.
    """
    g, p = reading.flat["grads"], reading.flat["params"]
    layout = reading.layout
    place = _geometry(_key(layout), g.device)
    squares = g * g
    momenta = _averaged(state["momenta"], g.unsqueeze(-2), MOMENTUM_DECAYS)
    v = torch.lerp(state["squares"], squares, 1 - SQUARE_DECAY)
    row_means, column_means = factors(squares, layout)
    rows = _averaged(state["rows"], row_means.unsqueeze(-2), FACTORED_DECAYS)
    columns = _averaged(state["columns"], column_means.unsqueeze(-2), FACTORED_DECAYS)
    after = {"momenta": momenta, "squares": v, "rows": rows, "columns": columns}

    row, column = rows.index_select(-1, place.row), columns.index_select(-1, place.column)
    root_v = _inverse_root(v.unsqueeze(-2), layout)
    root_row, root_column = _inverse_root(row, layout), _inverse_root(column, layout)
    g, p, v = g.unsqueeze(-2), p.unsqueeze(-2), v.unsqueeze(-2)
    factored = root_row * root_column
    clipped = normalised(g, layout).clamp(-0.1, 0.1)
    parts = [g, p, momenta, v, momenta * root_v, root_v, g * factored, row, column]
    parts += [root_row, root_column, momenta * factored, clipped, g * root_v]
    return torch.cat(parts, dim=-2), after


def of_features(net: nn.Sequential, features: Tensor, layout: Layout) -> Tensor:
    """Return what a perceptron makes of features, (..., N); its last layer has one unit.

    Features (..., 30, N) are divided by their root mean square over each tensor. That is done to
    the weights of the first layer, which are fewer.
    """
    first, *rest = net
    assert isinstance(first, nn.Linear)
    outputs = []
    for part in torch.split(features, [math.prod(shape) for shape in layout], dim=-1):
        if not part.shape[-1]:
            outputs.append(part[..., 0, :])
            continue
        mean_squares = torch.linalg.vector_norm(part, dim=-1).square() / part.shape[-1]
        scale = (mean_squares + TINY).rsqrt().unsqueeze(-2)  # (..., 1, 30)
        x = torch.matmul(first.weight * scale, part) + first.bias.unsqueeze(-1)
        for layer in rest:
            if isinstance(layer, nn.Linear):
                x = torch.matmul(layer.weight, x) + layer.bias.unsqueeze(-1)
            else:
                x = layer(x)
        outputs.append(x.squeeze(-2))
    return torch.cat(outputs, dim=-1)


def over_tensors(values: Tensor, layout: Layout) -> Tensor:
    """Return the means over each tensor, (..., T), of values (..., N)."""
    sizes = [math.prod(shape) for shape in layout]
    parts = torch.split(values, sizes, dim=-1)
    means = [
        part.mean(-1) if size else part.sum(-1) for part, size in zip(parts, sizes, strict=True)
    ]
    return torch.stack(means, dim=-1)


def normalised(values: Tensor, layout: Layout) -> Tensor:
    """Return values (..., N) divided by their root mean square over each tensor."""
    place = _geometry(_key(layout), values.device)
    scale = (over_tensors(values * values, layout) + TINY).rsqrt()
    return values * scale.index_select(-1, place.tensor)


def _averaged(average: Tensor, new: Tensor, decays: tuple[float, ...]) -> Tensor:
    shares = torch.stack([torch.full_like(average[..., 0, 0], 1 - d) for d in decays], dim=-1)
    return average + shares.unsqueeze(-1) * (new - average)


def _inverse_root(squares: Tensor, layout: Layout) -> Tensor:
    place = _geometry(_key(layout), squares.device)
    least = LEAST * over_tensors(squares, layout).index_select(-1, place.tensor) + TINY
    return (squares + least).rsqrt()


def factors(squares: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return means over columns (..., R) and over rows (..., C); a vector's own squares, and 1."""
    rows, columns = [], []
    parts = torch.split(squares, [math.prod(shape) for shape in layout], dim=-1)
    for part, shape in zip(parts, layout, strict=True):
        if _is_matrix(shape):
            matrix = part.reshape(*part.shape[:-1], shape[0], -1)
            rows.append(matrix.mean(-1))
            columns.append(matrix.mean(-2))
        else:
            rows.append(part)
            columns.append(torch.ones_like(squares[..., :1]))
    return torch.cat(rows, dim=-1), torch.cat(columns, dim=-1)


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and math.prod(shape) > 0


def _key(layout: Layout) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(shape) for shape in layout)


@functools.lru_cache(maxsize=64)
def _geometry(layout: tuple[tuple[int, ...], ...], device: torch.device) -> _Geometry:
    tensor, row, column, sizes = [], [], [], []
    n_rows = n_columns = 0
    for t, shape in enumerate(layout):
        size = math.prod(shape)
        at = torch.arange(size)
        width = size // shape[0] if _is_matrix(shape) else 1
        tensor.append(torch.full((size,), t))
        row.append(n_rows + at // width)
        column.append(n_columns + at % width)
        n_rows += size // width
        n_columns += width
        sizes.append(size)
    at_tensor, at_row, at_column = (torch.cat(p).to(device) for p in (tensor, row, column))
    return _Geometry(sizes, at_tensor, at_row, at_column, n_rows, n_columns)

"""The direction that a perceptron makes of the features of parameters, in chunks that fit a cache.

The same as `of_features(net, parameter_features(...))` up to rounding, for where nothing is
differentiated: twelve of the thirty features are alike along a row or a column, so the first layer
sees them once a row or column; the others are made of a few thousand parameters at a time, once to
measure them and once more to use them, and are never all there.

Shape legend: T tensors of N elements in all, each seen as R rows and C columns; r rows of a chunk,
H units of a layer; there may be members in front (...).
"""

from collections.abc import Iterator
from collections.abc import Sequence
import math
from typing import Final
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._features import FACTORED_DECAYS
from optuna_evo.learned._features import factors
from optuna_evo.learned._features import LEAST
from optuna_evo.learned._features import MOMENTUM_DECAYS
from optuna_evo.learned._features import of_features
from optuna_evo.learned._features import parameter_features
from optuna_evo.learned._features import SQUARE_DECAY
from optuna_evo.learned._features import TINY
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State


__all__ = ["chunked_direction", "direction_of_features"]

_LARGE: Final = 65_536  # parameters from which on chunks are worth their overhead
_CHUNK: Final = 16_384  # parameters of all members at once: 18 features of them are 1.2 MB
_OF_ELEMENTS: Final = (*range(13), *range(25, 30))  # places among the thirty
_OF_ROWS: Final = (13, 14, 15, 19, 20, 21)
_OF_COLUMNS: Final = (16, 17, 18, 22, 23, 24)


class _Tensor(NamedTuple):
    """A tensor's values as (..., R, C), and what is alike along its rows and columns."""

    g: Tensor
    p: Tensor
    momenta: Tensor  # (..., 3, R, C)
    v: Tensor
    rows: Tensor  # (..., 6, R): means of squares at three decays, and their inverse roots
    columns: Tensor  # (..., 6, C)


def direction_of_features(
    net: nn.Sequential, reading: Reading, state: State
) -> tuple[Tensor, State]:
    """Return what a perceptron makes of each parameter, (..., N), and the averages afterwards."""
    g = reading.flat["grads"]
    # a GPU would wait for the many small kernels of chunks
    if g.device.type == "cpu" and g.shape[-1] >= _LARGE and not torch.is_grad_enabled():
        return chunked_direction(net, reading, state)
    features, after = parameter_features(reading, state)
    return of_features(net, features, reading.layout), after


def chunked_direction(net: nn.Sequential, reading: Reading, state: State) -> tuple[Tensor, State]:
    """Do so in chunks; nothing can be differentiated."""
    g, layout = reading.flat["grads"], reading.layout
    squares = g * g
    momenta = torch.empty_like(state["momenta"])
    for k, decay in enumerate(MOMENTUM_DECAYS):
        momenta[..., k, :] = torch.lerp(state["momenta"][..., k, :], g, 1 - decay)
    v = torch.lerp(state["squares"], squares, 1 - SQUARE_DECAY)
    rows, columns = (
        torch.stack(
            [
                torch.lerp(state[name][..., k, :], means, 1 - decay)
                for k, decay in enumerate(FACTORED_DECAYS)
            ],
            dim=-2,
        )
        for name, means in zip(("rows", "columns"), factors(squares, layout), strict=True)
    )
    direction = torch.empty_like(g)
    start = first_row = first_column = 0
    for shape in layout:
        size = math.prod(shape)
        n_rows = shape[0] if len(shape) > 1 and size else size
        n_columns = size // n_rows if n_rows else 1
        stop = start + size
        if size:
            grid = (n_rows, n_columns)
            own = _Tensor(
                _grid(g[..., start:stop], grid),
                _grid(reading.flat["params"][..., start:stop], grid),
                _grid(momenta[..., start:stop], grid),
                _grid(v[..., start:stop], grid),
                _with_roots(rows[..., first_row : first_row + n_rows]),
                _with_roots(columns[..., first_column : first_column + n_columns]),
            )
            _write(net, own, _grid(direction[..., start:stop], grid))
        start, first_row, first_column = stop, first_row + n_rows, first_column + n_columns
    after = {"momenta": momenta, "squares": v, "rows": rows, "columns": columns}
    return direction, after


def _grid(values: Tensor, grid: Sequence[int]) -> Tensor:
    """Return (..., R C) as (..., R, C), a view."""
    return values.view(*values.shape[:-1], *grid)


def _with_roots(squares: Tensor) -> Tensor:
    """Return mean squares and their inverse roots, (..., 6, n), of (..., 3, n)."""
    least = LEAST * squares.mean(-1, keepdim=True) + TINY
    return torch.cat([squares, (squares + least).rsqrt()], dim=-2)


def _write(net: nn.Sequential, own: _Tensor, out: Tensor) -> None:
    """Write the direction of a tensor, (..., R, C)."""
    first, *rest = net
    assert isinstance(first, nn.Linear)
    weight = first.weight * _scale(own).unsqueeze(-2)  # (..., H, 30)
    of_rows = torch.matmul(weight[..., _OF_ROWS], own.rows) + first.bias.unsqueeze(-1)
    of_columns = torch.matmul(weight[..., _OF_COLUMNS], own.columns)
    of_elements = weight[..., _OF_ELEMENTS]
    for begin, end, features in _chunks(own):
        x = torch.matmul(of_elements, features.flatten(-2))
        x = _grid(x, features.shape[-2:])
        x += of_rows[..., begin:end, None]
        x += of_columns[..., None, :]
        x = x.flatten(-2)
        for layer in rest:
            if isinstance(layer, nn.Linear):
                x = torch.matmul(layer.weight, x)
                x += layer.bias.unsqueeze(-1)
            elif isinstance(layer, nn.Tanh):
                x.tanh_()
            else:
                x = layer(x)
        out[..., begin:end, :] = _grid(x.squeeze(-2), features.shape[-2:])


def _scale(own: _Tensor) -> Tensor:
    """Return what the thirty features are multiplied by, (..., 30)."""
    n = own.g.shape[-2] * own.g.shape[-1]
    sums = sum(torch.linalg.vector_norm(x, dim=(-2, -1)).square() for _, _, x in _chunks(own))
    assert isinstance(sums, Tensor)
    means = sums.new_empty(*sums.shape[:-1], 30)
    means[..., _OF_ELEMENTS] = sums / n
    means[..., _OF_ROWS] = own.rows.square().mean(-1)
    means[..., _OF_COLUMNS] = own.columns.square().mean(-1)
    return (means + TINY).rsqrt()


def _chunks(own: _Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Yield first row, last row and the features of the elements between, (..., 18, r, C).

    The features of a chunk are there until the next one is made.
    """
    *lead, n_rows, n_columns = own.g.shape
    step = max(1, _CHUNK // (n_columns * max(1, math.prod(lead))))
    buffer = own.g.new_empty(*lead, 18, min(step, n_rows), n_columns)
    least = LEAST * own.v.mean((-2, -1), keepdim=True) + TINY
    size = (own.g.square().mean((-2, -1), keepdim=True) + TINY).rsqrt()
    column_roots = own.columns[..., 3:, None, :]
    for begin in range(0, n_rows, step):
        end = min(begin + step, n_rows)
        x = buffer[..., : end - begin, :]
        g, p, v = (y[..., begin:end, :] for y in (own.g, own.p, own.v))
        m = own.momenta[..., begin:end, :]
        root_v = (v + least).rsqrt()
        factored = own.rows[..., 3:, begin:end, None] * column_roots
        _put(x, (0, 1), (g, p))
        x[..., 2:5, :, :] = m
        _put(x, (5, 9), (v, root_v))
        torch.mul(m, root_v.unsqueeze(-3), out=x[..., 6:9, :, :])
        torch.mul(factored, g.unsqueeze(-3), out=x[..., 10:13, :, :])
        torch.mul(factored, m, out=x[..., 13:16, :, :])
        _put(x, (16, 17), ((g * size).clamp_(-0.1, 0.1), g * root_v))
        yield begin, end, x


def _put(features: Tensor, places: Sequence[int], values: Sequence[Tensor]) -> None:
    for place, value in zip(places, values, strict=True):
        features[..., place, :, :] = value

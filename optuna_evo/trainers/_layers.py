"""Many models of one architecture at once: grouped convolutions and batched matrix products.

For models that are a `torch.nn.Sequential` of common layers. Activations take one of three forms:
the same for all members, (b, ...); images with the members along the channels, (b, P * c, h, w);
or rows, (P, b, n). Shape legend: P members, b rows of a batch.
"""

from collections.abc import Callable
from collections.abc import Mapping
import enum
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

from optuna_evo.trainers._forward import Forward


__all__ = ["by_layers", "has_known_layers"]

_ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.Identity)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


class _Form(enum.Enum):
    SHARED = enum.auto()
    CHANNELS = enum.auto()
    ROWS = enum.auto()


class _Values(NamedTuple):
    x: Tensor
    form: _Form
    n_members: int


_Tensors = Mapping[str, Tensor]
_Layer = Callable[[_Values, _Tensors], _Values]


def has_known_layers(model: nn.Module) -> bool:
    """Tell whether a model can be run `by_layers`."""
    leaves = _leaves(model, "")
    return bool(leaves) and all(_is_known(layer) for _, layer in leaves)


def by_layers(model: nn.Module) -> Forward:
    """Run a model of known layers, each for all members at once.

    Args:
        model: Says the layers and, by its mode, whether it trains; its own weights are not used.
    """
    leaves = _leaves(model, "")

    def forward(parameters: _Tensors, buffers: _Tensors, inputs: Tensor) -> Tensor:
        n_members = len(next(iter(parameters.values())))
        values = _Values(inputs, _Form.SHARED, n_members)
        tensors = {**parameters, **buffers}
        for prefix, layer in leaves:
            own = {name: tensors[prefix + name] for name in _names(layer)}
            values = _apply(layer, values, own)
        return _rows(values)

    return forward


def _leaves(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    """Return (prefix of its names, layer) of nested `Sequential`s, in the order they run in."""
    if type(module) is not nn.Sequential:
        return [(prefix, module)]
    found = []
    for name, child in module.named_children():
        found += _leaves(child, f"{prefix}{name}.")
    return found


def _names(layer: nn.Module) -> list[str]:
    return [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]


def _is_known(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        return layer.padding_mode == "zeros"
    if type(layer) is nn.BatchNorm2d:
        return layer.momentum is not None and layer.track_running_stats
    if type(layer) is nn.Flatten:
        return layer.start_dim == 1 and layer.end_dim == -1
    return type(layer) in (*_ELEMENTWISE, *_POOLS, nn.Linear, nn.Dropout)


def _apply(layer: nn.Module, values: _Values, own: _Tensors) -> _Values:
    match layer:
        case nn.Conv2d():
            return _convolution(layer, values, own)
        case nn.Linear():
            return _linear(values, own)
        case nn.BatchNorm2d():
            return _batch_norm(layer, values, own)
        case nn.Dropout():
            return _dropout(layer, values)
        case nn.Flatten():
            return _flatten(values)
        case _:
            return values._replace(x=layer(values.x))


def _convolution(layer: nn.Conv2d, values: _Values, own: _Tensors) -> _Values:
    n_groups = layer.groups
    if values.form is _Form.SHARED and layer.groups > 1:
        values = _Values(values.x.repeat(1, values.n_members, 1, 1), _Form.CHANNELS, 0)
    if values.form is not _Form.SHARED:
        n_groups *= values.n_members
    x = F.conv2d(
        values.x,
        own["weight"].flatten(0, 1),
        own["bias"].flatten() if "bias" in own else None,
        layer.stride,
        layer.padding,
        layer.dilation,
        n_groups,
    )
    return _Values(x, _Form.CHANNELS, values.n_members)


def _linear(values: _Values, own: _Tensors) -> _Values:
    x, n_members = values.x, values.n_members
    weight, bias = own["weight"], own.get("bias")
    if values.form is _Form.SHARED:  # one product for all members
        flat = F.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
        return _Values(_split(flat, n_members).transpose(0, 1), _Form.ROWS, n_members)
    product = (
        torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
    )
    return values._replace(x=product)


def _batch_norm(layer: nn.BatchNorm2d, values: _Values, own: _Tensors) -> _Values:
    if layer.training:
        own["num_batches_tracked"].add_(1)
    flat = {name: tensor.flatten() for name, tensor in own.items()}
    x = F.batch_norm(
        values.x,
        flat["running_mean"],
        flat["running_var"],
        flat.get("weight"),
        flat.get("bias"),
        layer.training,
        layer.momentum or 0.0,
        layer.eps,
    )
    return values._replace(x=x)


def _dropout(layer: nn.Dropout, values: _Values) -> _Values:
    """Drop the units that a member alone would drop: the mask is drawn for one member."""
    if not layer.training or layer.p == 0.0:
        return values
    x, form, n_members = values
    if form is _Form.CHANNELS:
        b, channels, h, w = x.shape
        one = torch.ones((b, channels // n_members, h, w), dtype=x.dtype, device=x.device)
        mask = F.dropout(one.to(memory_format=torch.channels_last), layer.p)
        return values._replace(x=(_split(x, n_members) * mask.unsqueeze(1)).flatten(1, 2))
    if form is _Form.ROWS:
        return values._replace(x=x * F.dropout(x.new_ones(x.shape[1:]), layer.p))
    return values._replace(x=F.dropout(x, layer.p))


def _flatten(values: _Values) -> _Values:
    if values.form is _Form.SHARED:
        return values._replace(x=values.x.flatten(1))
    return _Values(_rows(values).flatten(2), _Form.ROWS, values.n_members)


def _rows(values: _Values) -> Tensor:
    """Return the values with the members in front, (P, b, ...)."""
    x, form, n_members = values
    if form is _Form.CHANNELS:
        return _split(x, n_members).transpose(0, 1)
    return x if form is _Form.ROWS else x.expand(n_members, *x.shape)


def _split(x: Tensor, n_members: int) -> Tensor:
    """Return (b, P * c, ...) as (b, P, c, ...)."""
    return x.view(x.shape[0], n_members, x.shape[1] // n_members, *x.shape[2:])

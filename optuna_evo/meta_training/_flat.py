"""Meta-parameters as one vector.

Shape legend: D meta-parameters.
"""

import torch
from torch import nn
from torch import Tensor


__all__ = ["flat_parameters", "set_parameters", "unflattened"]


def flat_parameters(controller: nn.Module) -> Tensor:
    """Return all meta-parameters one after another, (D,), on the CPU."""
    return torch.cat([p.detach().cpu().reshape(-1) for p in controller.parameters()])


def unflattened(controller: nn.Module, flat: Tensor) -> dict[str, Tensor]:
    """Return views of (..., D) by the names of the controller's parameters."""
    named = dict(controller.named_parameters())
    parts = torch.split(flat, [p.numel() for p in named.values()], dim=-1)
    lead = flat.shape[:-1]
    pairs = zip(named.items(), parts, strict=True)
    return {name: part.view(*lead, *p.shape) for (name, p), part in pairs}


@torch.no_grad()
def set_parameters(controller: nn.Module, flat: Tensor) -> None:
    """Write (D,) into the controller."""
    named = dict(controller.named_parameters())
    for name, value in unflattened(controller, flat).items():
        named[name].copy_(value)

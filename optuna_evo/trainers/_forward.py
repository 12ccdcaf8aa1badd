"""Ways to run many models of one architecture at once.

They agree; which is fastest depends on the machine.

Shape legend: P members, b rows of a batch.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
from typing import Any

import torch
from torch import nn
from torch import Tensor
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend


__all__ = ["by_vmap", "Forward"]

Forward = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Tensor], Any]
"""(parameters (P, *shape), buffers (P, *shape), inputs (b, ...)) -> outputs (P, b, ...).

Outputs are one tensor, or tensors in dictionaries, lists and tuples, as the model returns them.

Buffers are written in place where the model is in training mode. All members see one batch and
drop out the same units, as members that train alone with one seed do.
"""


def by_vmap(model: nn.Module) -> Forward:
    """Run any model under `torch.vmap`.

    Args:
        model: Says the layers and, by its mode, whether it trains; its own weights are not used.
    """

    def forward(
        parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor
    ) -> Any:
        def one(own: dict[str, Tensor]) -> Any:
            return torch.func.functional_call(model, own, (inputs,))

        with _attention_for(inputs.device):
            outputs = torch.vmap(one, randomness="same")({**parameters, **buffers})
        return outputs

    return forward


def _attention_for(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Let attention be plain matrix products on a CPU: vmap knows no fused kernel there."""
    if device.type == "cpu":
        return sdpa_kernel(SDPBackend.MATH)
    return contextlib.nullcontext()

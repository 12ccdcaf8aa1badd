"""What a controller answers to the members of a stack, and what it is shown of them."""

from collections.abc import Mapping
import copy
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.func import vmap

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._numbers import BaseRow
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.rules import NUMBERS


__all__ = ["answers", "as_used", "AT", "on_device", "single"]

AT = {name: NUMBERS.index(name) for name in NUMBERS}
"""Where a number of a step stands, by its name."""


def as_used(values: dict[str, Tensor], base: BaseRow, clip: float | None) -> dict[str, Tensor]:
    """Return averages as the terms of a step use them: updated by its gradients, corrected."""

    def number(name: str) -> Tensor:
        return base.numbers[:, AT[name], None].to(g.dtype)

    g = values["grads"] if clip is None else values["grads"].clamp(-clip, clip)
    used = values | {"grads": g}
    m = values["m"].lerp(g, number("m_share"))
    used["m"] = m * base.correction_m.to(g.dtype)
    v = number("v_decay") * values["v"] + number("v_share") * g * g
    used["v"] = v * number("rms_scale").square()
    return used


def answers(
    controller: Controller, reading: Reading, state: State, weights: Mapping[str, Tensor] | None
) -> tuple[Answer, State]:
    """Return what a controller answers to P members, members first.

    Args:
        controller: The network.
        reading: With members first.
        state: With members first.
        weights: One set for each member; None: the controller's own.
    """
    if controller.batches:
        if weights is None:
            found, after = controller(reading, state)
        else:
            found, after = functional_call(controller, dict(weights), (reading, state))
        return found, after
    layout = reading.layout
    fields = [getattr(reading, name) for name in Reading.FIELDS]

    def of_member(
        own: Mapping[str, Tensor], read: list[Any], state: State
    ) -> tuple[tuple[Tensor, ...], State]:
        one = Reading(layout, *read)
        given = (one, state)
        answer, after = (
            functional_call(controller, dict(own), given) if own else controller(*given)
        )
        return tuple(part for part in answer if part is not None), after

    if weights is None and len(reading.step) == 1:
        alone = [
            {k: x[0] for k, x in f.items()} if isinstance(f, Mapping) else f[0] for f in fields
        ]
        parts, after = of_member({}, alone, {name: value[0] for name, value in state.items()})
        parts = tuple(part.unsqueeze(0) for part in parts)
        return Answer(*parts), {name: value.unsqueeze(0) for name, value in after.items()}
    parts, after = vmap(of_member)(weights or {}, fields, state)
    return Answer(*parts), after


def on_device(controller: Controller, device: torch.device) -> Controller:
    """Return the controller itself where it is as needed already, so that it can be trained."""
    parameters = list(controller.parameters())
    if all(p.device == device and p.dtype is torch.float32 for p in parameters):
        return controller
    return copy.deepcopy(controller).to(device, torch.float32)


def single(tensor: Tensor) -> Tensor:
    """Return it in single precision, whatever torch's default is; whole numbers as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor

"""Which parameters of a group step together, and which cannot be stepped."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.optimizers._fused import check_fit
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import Needs


__all__ = ["Bucket", "buckets_of", "count_on_device", "start_states", "STATES"]

STATES = {symbol: average.state for symbol, average in AVERAGES.items()}
"""The names of averages in the state of a parameter, by their symbols."""

# Both are stepped alike.
_PLAIN = {Tensor: None, nn.Parameter: None}


@dataclass(slots=True)
class Bucket:
    """Parameters of one type, dtype, device and number of steps, with what belongs to them.

    Multi-tensor operations and kernels take no mixture: not even of `DTensor`s, which FSDP2
    makes, and the plain tensors that it was told to ignore.
    """

    params: list[Tensor]
    grads: list[Tensor]
    states: list[dict[str, Any]]
    averages: dict[str, list[Tensor]] = field(default_factory=dict)  # by their symbols
    fused: bool = False
    hidden: bool = False  # whether they are hidden matrices that have terms of their own

    @property
    def step(self) -> int:
        """Number of the step that the parameters do now, where it is counted here."""
        return int(self.states[0]["step"]) + 1

    def count(self, *, on_device: bool) -> None:
        """Count the step that was done."""
        step = None if on_device else self.step
        for state in self.states:
            if step is None:
                state["step"] += 1
            else:
                state["step"] = step

    def gather(self, needs: Needs) -> None:
        """Fill in the averages, and raise a RuntimeError where one does not fit its parameter."""
        try:
            self.averages = {s: [state[STATES[s]] for state in self.states] for s in needs}
        except KeyError as error:
            raise RuntimeError(
                f"The state of a parameter holds no {error}: load a whole state, or none."
            ) from None
        # gradients of another type are widened before they are used
        alike = self.grads[0].dtype == self.params[0].dtype
        check_fit(self.params, self.grads if alike else [], self.averages)


def buckets_of(
    params: list[Tensor],
    states: Mapping[Tensor, dict[str, Any]],
    fresh: dict[Tensor, dict[str, Any]],
    *,
    by_step: bool,
    hidden: Collection[int] = (),
) -> list[Bucket]:
    """Return the parameters that have a gradient, those together that can step together.

    Args:
        params: Of a group.
        states: By parameter; only read.
        fresh: States for parameters without one are added here, empty.
        by_step: Whether parameters of a bucket have done the same number of steps.
        hidden: The ids of parameters that step apart from the others.

    Raises:
        RuntimeError: If a parameter or gradient is not dense, real and of floating point.
    """
    buckets: dict[Any, Bucket] = {}
    repeats = len({*map(id, params)}) < len(params)
    turns: dict[int, int] = {}
    for p in params:
        g = p.grad
        if g is None:
            continue
        dtype = p.dtype
        if not dtype.is_floating_point or not (g.layout is p.layout is torch.strided):
            raise RuntimeError(_refusal(p, g))
        state = states.get(p) or fresh.setdefault(p, {})
        steps = state["step"] if state and by_step else 0
        if type(steps) is not int:  # loaded from where it was counted on a device
            steps = int(steps)
        kind: Any = type(p)
        # operations across meshes of devices exist no more than across types
        kind = None if kind in _PLAIN else (kind, getattr(p, "device_mesh", None))
        if g.dtype is not dtype or type(g) is not Tensor:
            kind = (kind, g.dtype, type(g))
        inner = id(p) in hidden if hidden else False
        key = (steps, dtype, p.device, kind, inner, turns.get(id(p), 0) if repeats else 0)
        bucket = buckets.get(key)
        if bucket is None:
            buckets[key] = Bucket([p], [g], [state], hidden=inner)
        else:
            bucket.params.append(p)
            bucket.grads.append(g)
            bucket.states.append(state)
        if repeats:  # it steps again after its first step, as in torch's loops
            turns[id(p)] = turns.get(id(p), 0) + 1
    return list(buckets.values())


def start_states(
    fresh: Mapping[Tensor, dict[str, Any]], keeps: Callable[[Tensor], Mapping[str, Tensor]]
) -> None:
    """Fill the states of parameters that step for the first time.

    Args:
        fresh: The states, empty.
        keeps: Returns what a parameter has beside the number of its steps.
    """
    for p, state in fresh.items():
        state.update({"step": 0, **keeps(p)})


def count_on_device(group: dict[str, Any], buckets: list[Bucket]) -> None:
    """Move the counts of a group to the device of its parameters, where they are elsewhere."""
    for bucket in buckets:
        device = bucket.params[0].device
        for counts, name in ((group, "schedule_step"), *((s, "step") for s in bucket.states)):
            count = counts[name]
            if not (isinstance(count, Tensor) and count.device == device):
                counts[name] = torch.tensor(float(count), device=device)


def _refusal(p: Tensor, g: Tensor) -> str:
    name = f"{tuple(p.shape)} of {p.dtype}"
    if p.layout is not torch.strided or g.layout is not torch.strided:
        reason = f"a gradient of layout {g.layout} for a parameter of layout {p.layout}, {name}"
        remedy = "step such parameters by another optimizer, as embeddings by `SparseAdam`"
    else:
        reason = f"a gradient for the parameter {name}"
        remedy = "train parameters of floating point, and leave others without gradients"
    return f"EvolvedOptimizer supports dense real gradients only, got {reason}: {remedy}."

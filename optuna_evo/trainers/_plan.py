"""How to train compatible members: one after another or in stacks, whichever is faster here.

Which it is depends on the model, the device and the number of members: on two CPU cores stacking
makes small models several times faster and convolutional ones slower. So it is measured.
"""

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Sequence
import json
import os
import time
from typing import NamedTuple

import torch
from torch import nn

from optuna_evo.config import TrainingConfig
from optuna_evo.trainers._cohort import Cohort
from optuna_evo.trainers._forward import by_vmap
from optuna_evo.trainers._forward import Forward
from optuna_evo.trainers._layers import by_layers
from optuna_evo.trainers._layers import has_known_layers
from optuna_evo.trainers._outputs import are_tensors
from optuna_evo.trainers._population import PopulationCohort
from optuna_evo.trainers._sequential import SequentialCohort
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._setting import Setting


__all__ = ["choose", "Plan", "plans"]

# Of the free memory, what a stack may take: estimates are rough, and others live here too.
_SHARE_OF_MEMORY = 0.5
# Weights, gradients, two averages, and what the update makes on the way.
_COPIES_OF_WEIGHTS = 8
# Member steps of a run below which measuring would cost more than it can save.
_WORTH_MEASURING = 500
# Stacks must be clearly faster: rounding should not change from day to day for little.
_WORTH_STACKING = 0.9
# A member's step of so many seconds keeps a CPU busy by itself: wide stacks only take memory.
_COMPUTE_BOUND_CPU, _NARROW = 0.01, 4
# Members that stand for all when training one after another is timed.
_ALONE = 4

_FEW_ROWS = 8  # that show what a model returns; batch normalisation needs two

# A timed stretch is so long that the clock and the system's ticks do not matter, and in steps no
# longer than that the whole choice takes a second or two.
_ROUNDS, _LEAST_SECONDS, _MOST_STEPS = 3, 0.02, 16
# One step that warms up and two that are timed.
_LEAST_STEPS = 3

_CHOSEN: dict[Hashable, "Plan | None"] = {}  # what was measured in this process


class Plan(NamedTuple):
    """A way to train compatible members in stacks.

    Args:
        name: What it is called in tables.
        width: Members of a stack.
        make_forward: Makes of the model how to run many of it at once.
    """

    name: str
    width: int
    make_forward: Callable[[nn.Module], Forward]


def choose(configs: Sequence[TrainingConfig], setting: Setting, trainer: str) -> Plan | None:
    """Return how to train compatible members; None: one after another.

    Args:
        configs: Members that a stack can hold: genomes, equal batch sizes and model arguments.
        setting: What they have in common.
        trainer: "auto", "sequential" or "population".
    """
    if trainer == "sequential" or not configs:
        return None
    if trainer == "population":
        return next(iter(plans(configs, setting)), None)
    if len(configs) == 1 or len(configs) * setting.total_steps < _WORTH_MEASURING:
        return None
    if setting.total_steps < _LEAST_STEPS:
        return None
    model = json.dumps(dict(configs[0].model), sort_keys=True, default=repr)
    key = (
        setting.task.name,
        setting.batch_size(configs[0]),
        model,
        len(configs),
        setting.device,
        setting.autocast_dtype,
        torch.get_num_threads(),
    )
    if key not in _CHOSEN:
        _CHOSEN[key] = _fastest(configs, setting)
    return _CHOSEN[key]


def _fastest(configs: Sequence[TrainingConfig], setting: Setting) -> Plan | None:
    """Measure; None if training one after another is fastest, or not much slower."""
    alone = configs[:_ALONE]
    runs: list[tuple[Cohort, int]] = [(SequentialCohort(alone, setting), len(alone))]
    (step,) = _seconds_per_step(
        [SequentialCohort(alone, setting).train], n_steps=_LEAST_STEPS, device=setting.device
    )
    found = plans(configs, setting)
    if not found:
        return None
    if setting.device.type == "cpu" and step / len(alone) > _COMPUTE_BOUND_CPU:
        found = [plan._replace(width=min(plan.width, _NARROW)) for plan in found]
    for plan in found:
        stacked = configs[: plan.width]
        runs.append((PopulationCohort(stacked, setting, plan.make_forward), len(stacked)))
    times = _seconds_per_step(
        [run.train for run, _ in runs], n_steps=setting.total_steps, device=setting.device
    )
    one, *rest = (time / members for time, (_, members) in zip(times, runs, strict=True))
    best = min(range(len(rest)), key=rest.__getitem__)
    return found[best] if rest[best] < _WORTH_STACKING * one else None


def plans(configs: Sequence[TrainingConfig], setting: Setting) -> list[Plan]:
    """Return the ways to train compatible members in stacks, as wide as memory allows.

    None, if the model returns what cannot be stacked: anything but tensors, dictionaries, lists
    and tuples.
    """
    if not _stacks(configs[0], setting):
        return []
    width = min(len(configs), _widest(configs[0], setting))
    found = [Plan("vmap", width, by_vmap)]
    if has_known_layers(setting.build_model(configs[0])):
        found.insert(0, Plan("layers", width, by_layers))
    return found


def _stacks(config: TrainingConfig, setting: Setting) -> bool:
    """Tell whether the model's outputs for a few rows are tensors all through."""
    inputs, _ = setting.batch(0, 0, min(_FEW_ROWS, setting.batch_size(config)))
    with torch.no_grad(), own_random_state(setting.device), setting.autocast():
        return are_tensors(setting.build_model(config)(inputs))


def _widest(config: TrainingConfig, setting: Setting) -> int:
    """Return how many such members fit into the free memory of the device, at least 1."""
    free = _SHARE_OF_MEMORY * _free_bytes(setting.device)
    return max(1, int(free / _bytes_of(config, setting)))


def _bytes_of(config: TrainingConfig, setting: Setting) -> int:
    """Return about how many bytes one member takes in a training step."""
    model = setting.build_model(config)
    inputs, _ = setting.batch(0, 0, setting.batch_size(config))
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        own_random_state(setting.device),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        setting.autocast(),
    ):
        outputs = model(inputs)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    del outputs
    # gradients of activations are as large as what was saved of them
    return 2 * sum(saved.values()) + _COPIES_OF_WEIGHTS * weights


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not every system says
        return 4 * 2**30


def _seconds_per_step(
    runners: Sequence[Callable[[int], None]], *, n_steps: int, device: torch.device
) -> list[float]:
    """Time the ways in turns, so that a busy machine slows all alike.

    Args:
        runners: Each does so many steps; its first step is not timed.
        n_steps: Steps that each can do in all, at least 3.
        device: Where.

    Returns:
        The least seconds per step of each.
    """
    # One thread's processor time is its time on a free core, whatever else the machine does; of
    # several threads it would be the sum, and a stack keeps more of them busy.
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter

    def timed(runner: Callable[[int], None], steps: int) -> float:
        _wait(device)
        start = clock()
        runner(steps)
        _wait(device)
        return (clock() - start) / steps

    for runner in runners:
        runner(1)
    # twice: one slice of time that another process took must not rule a way out
    best = [min(timed(runner, 1), timed(runner, 1)) for runner in runners]
    left = n_steps - _LEAST_STEPS
    for _ in range(_ROUNDS):
        wanted = int(_LEAST_SECONDS / max(min(best), 1e-6))
        steps = min(max(1, wanted), _MOST_STEPS, left)
        if steps < 1:
            break
        left -= steps
        # who is far behind does not come back: it may be slow, and the time is not free
        best = [
            min(so_far, timed(runner, steps)) if so_far < 4 * min(best) else so_far
            for runner, so_far in zip(runners, best, strict=True)
        ]
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""A training that can be gone on with: all of its state, as one file."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from typing import Any
from typing import BinaryIO
import zipfile

import torch
from torch import nn
from torch import Tensor

from optuna_evo.errors import CheckpointError
from optuna_evo.optimizers import TAIL


__all__ = ["Checkpoint", "copied", "load_weights", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The state of a training after some optimizer steps.

    Everything random in a step is a function of (seed, task, step), so the seed and the step are
    the state of all generators, and the step is the position of the schedule.

    Args:
        task: Name of the task.
        seed: Seed of the training.
        step: Optimizer steps done since fresh weights.
        position: Training rows taken since fresh weights.
        model: `state_dict` of the model.
        optimizer: `state_dict` of the optimizer.
        scaler: `state_dict` of the gradient scaler; empty unless float16 is trained in.
    """

    task: str
    seed: int
    step: int
    position: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]


def write_checkpoint(checkpoint: Checkpoint, file: BinaryIO) -> None:
    """Write a checkpoint that `torch.load(weights_only=True)` reads."""
    torch.save({"format": _FORMAT, **copied(vars(checkpoint))}, file)


def copied(value: Any) -> Any:
    """Return plain values with a copy of each tensor.

    A member's tensors may be parts of a buffer of its whole stack: torch saves, and `deepcopy`
    copies, the buffer and not the part.
    """
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return value


@torch.no_grad()
def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Give a model the weights that the training was evaluated with: averages, if it has some."""
    model.load_state_dict(checkpoint.model)
    states = checkpoint.optimizer.get("state", {})
    for i, p in enumerate(model.parameters()):
        if TAIL in states.get(i, {}):
            p.copy_(states[i][TAIL])


def read_checkpoint(file: BinaryIO) -> Checkpoint:
    """Read a checkpoint into the CPU's memory.

    Args:
        file: A seekable file.

    Raises:
        CheckpointError: If the file is truncated, damaged or of another format.
    """
    try:
        _check_sums(file)
        data = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError("The checkpoint is truncated or damaged.") from error
    if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
        raise CheckpointError("The checkpoint is of another version of optuna_evo.")
    if not _is_whole(data):
        raise CheckpointError("The checkpoint is damaged: it does not hold what one holds.")
    return Checkpoint(**data)


def _check_sums(file: BinaryIO) -> None:
    """Raise if a byte has changed since the file was written; torch itself does not look."""
    with zipfile.ZipFile(file) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"{name} has another checksum")
    file.seek(0)


def _is_whole(data: Mapping[Any, Any]) -> bool:
    """Tell whether a table has the fields of a checkpoint, each of its type."""
    if set(data) != {field.name for field in fields(Checkpoint)}:
        return False
    numbers = [data[name] for name in ("seed", "step", "position")]
    tables = [data[name] for name in ("model", "optimizer", "scaler")]
    return (
        isinstance(data["task"], str)
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(table, dict) for table in tables)
        and all(isinstance(tensor, Tensor) for tensor in data["model"].values())
    )

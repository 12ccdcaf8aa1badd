"""Where a meta-training stands, on disk: safetensors with JSON beside, whole or not at all.

A state is a folder `state-N` (N outer steps done): `shared.safetensors`, and `stack-i.safetensors`
for each stack, written by the process that trains it. The file `latest` names the state to go on
from; it is replaced when all of a state is written, so a killed process leaves the one before.
"""

from collections.abc import Mapping
import json
from pathlib import Path
import shutil
from typing import Any

from safetensors import safe_open
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from optuna_evo.errors import CheckpointError
from optuna_evo.files import open_whole


__all__ = ["commit", "latest", "read_state", "write_bytes", "write_state"]

_FORMAT = 1
_POINTER = "latest"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_whole(path) as file:
        file.write(content)


def write_state(path: Path, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write tensors and plain values as one file."""
    text = json.dumps({"format": _FORMAT, "plain": plain})
    own = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_bytes(path, save(own, metadata={"optuna_evo": text}))


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_state` wrote, to the CPU.

    Raises:
        CheckpointError: If the file is missing, truncated, damaged or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})["optuna_evo"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        known, plain = head["format"], head["plain"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"The state {path} is missing, truncated or damaged; remove the folder "
            f"{path.parent.parent} to begin anew."
        ) from error
    if known != _FORMAT:
        raise CheckpointError(
            f"The state {path} is of version {known}, this is {_FORMAT}; remove the folder "
            f"{path.parent.parent} to begin anew."
        )
    return tensors, plain


def commit(folder: Path, name: str) -> None:
    """Make a state the one to go on from, and remove those before."""
    write_bytes(folder / _POINTER, name.encode())
    for other in folder.glob("state-*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)


def latest(folder: Path) -> Path | None:
    """Return the folder of the state to go on from; None: there is none."""
    try:
        name = (folder / _POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    if not (folder / name).is_dir() or "/" in name:
        raise CheckpointError(
            f"The state {name!r} of {folder} is missing; remove the folder to begin anew."
        )
    return folder / name

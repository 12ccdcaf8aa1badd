"""What tells an objective from others: the tasks, the seeds and the budget of its trainings.

Precision "auto" depends on the machine: a curve that was trained in float32 on one is no answer
for a trial that would train in bfloat16 on another. So what it comes to is part of the identity.
"""

from collections.abc import Sequence
import dataclasses
import hashlib
import json
from typing import Any

import torch

from optuna_evo.curves import ReduceOnPlateau
from optuna_evo.tasks import data_folder
from optuna_evo.tasks import Task
from optuna_evo.trainers import pick_precision


__all__ = ["identity"]

# Where a training runs, and the value of a diverged trial, do not change what it reports.
_NO_MATTER = {"device", "penalty", "trainer"}


def identity(objective: Any) -> str:
    """Return 16 hex digits, the same for objectives (dataclasses) that train and report alike."""
    values = {
        field.name: _plain(getattr(objective, field.name))
        for field in dataclasses.fields(objective)
        if field.name not in _NO_MATTER
    }
    values["precision"] = _precision(objective)
    values["report_every"] = 1  # a field of earlier versions, so that old fingerprints stand
    values["data_dir"] = str(data_folder(objective.data_dir))
    text = json.dumps([type(objective).__name__, values], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _precision(objective: Any) -> str | list[str]:
    """Return what trainings run in; "auto" is what it comes to here, for each of several tasks."""
    asked: str = objective.precision
    tasks = getattr(objective, "tasks", None) or [objective.task]
    if asked != "auto" or not any(task.bfloat16 for task in tasks):
        return asked  # "auto" is float32 on every machine: old fingerprints stand
    device = torch.device(objective.device)
    found = [pick_precision(asked, task, device) for task in tasks]
    return found[0] if len({*found}) == 1 else found


def _plain(value: Any) -> Any:
    if isinstance(value, Task):
        return value.name
    if isinstance(value, ReduceOnPlateau):
        return f"as torch counts: {value!r}"  # earlier versions reduced one report sooner
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value

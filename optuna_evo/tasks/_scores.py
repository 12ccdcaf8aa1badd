"""The metrics of a task on a whole split, from the outputs of a model.

Shape legend: n rows, c classes.
"""

import math
from typing import Final

import torch
from torch import Tensor

from optuna_evo.metrics import classification_metrics
from optuna_evo.metrics import regression_metrics
from optuna_evo.tasks._answers import answer_scores
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Task


__all__ = ["scores"]

# Targets that torch's cross entropy leaves out unless it is told otherwise.
_IGNORED: Final = -100


def scores(task: Task, outputs: Tensor, split: Split) -> dict[str, float]:
    """Return the metrics of `optuna_evo.metrics` that apply; none for a language model.

    Args:
        task: Its kind decides which metrics.
        outputs: Tensor (n, ...), the model's outputs for all rows of the split. Of a classifier
            logits (..., c), or torch's (n, c, ...), for targets (...), or one for each target:
            the logit of class 1, or its probability where that is what the task's loss takes.
        split: The rows.

    Raises:
        UsageError: If the shapes of outputs and targets do not go together.

    Example:
        >>> from optuna_evo import tasks
        >>> task = tasks.get("two_moons")
        >>> valid = task.load(None).valid
        >>> sorted(scores(task, task.build_model()(valid.inputs), valid))
        ['accuracy', 'auc', 'f1', 'matthews']
    """
    outputs = outputs.detach()
    if task.kind == "classification":
        boundary = _boundary(task, outputs, split.targets)
        return _classification(outputs.float().cpu() - boundary, split.targets.cpu())
    if task.kind == "regression":
        return regression_metrics(
            outputs.float().cpu().numpy(), split.targets.float().cpu().numpy()
        )
    if task.kind == "question_answering":
        return answer_scores(outputs.float().cpu(), split.extras)
    return {}


def _classification(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    if targets.ndim > 1 and outputs.shape[:-1] == targets.shape:
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
    elif outputs.ndim > 2 and outputs.shape[:1] + outputs.shape[2:] == targets.shape:
        outputs, targets = outputs.movedim(1, -1).flatten(0, -2), targets.flatten()
    if outputs.shape[:1] == targets.shape:
        counts = targets != _IGNORED
        outputs, targets = outputs[counts], targets[counts]
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        outputs = outputs.softmax(dim=1)
    return classification_metrics(outputs.numpy(), targets.float().numpy())


def _boundary(task: Task, outputs: Tensor, targets: Tensor) -> float:
    """Return above what one output means class 1: 0 of logits, 0.5 of probabilities.

    Probabilities cannot be told from logits by their values alone, but by the task's loss: on the
    boundary it is the same for both classes. Several outputs need none: the largest wins.
    """
    is_one_output = outputs.numel() == targets.numel() and outputs.shape[1:] in ((), (1,))
    if not is_one_output or not bool(((outputs >= 0) & (outputs <= 1)).all()):
        return 0.0
    for boundary in (0.0, 0.5):
        level = torch.full_like(outputs[:2], boundary)
        on_zeros, on_ones = (
            float(task.loss(level, torch.full_like(targets[:2], number))) for number in (0, 1)
        )
        if math.isclose(on_zeros, on_ones, rel_tol=1e-3):  # bfloat16 has 3 digits
            return boundary
    return 0.0

"""Losses and metrics: means over a batch, and the metrics of a whole split.

Means over a batch are computed in float32 whatever the outputs are in.
"""

from torch import Tensor
import torch.nn.functional as F

from optuna_evo.metrics import classification_metrics
from optuna_evo.metrics import regression_metrics
from optuna_evo.tasks._answers import answer_scores
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Task


__all__ = ["accuracy", "cross_entropy", "mean_squared_error", "scores", "variance_explained"]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy in nats of logits (..., classes) and classes (...)."""
    return F.cross_entropy(outputs.flatten(0, -2).float(), targets.flatten())


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of targets (...) that have the largest logit of outputs (..., classes)."""
    return (outputs.argmax(dim=-1) == targets).float().mean()


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference of outputs (b,) and targets (b,)."""
    return F.mse_loss(outputs.float(), targets)


def variance_explained(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - mean squared error, the share explained of targets with variance 1."""
    return 1 - mean_squared_error(outputs, targets)


def scores(task: Task, outputs: Tensor, split: Split) -> dict[str, float]:
    """Return the metrics of `optuna_evo.metrics` that apply; none for a language model.

    Args:
        task: Its kind decides which metrics.
        outputs: Tensor (n, ...), the model's outputs for all rows of the split.
        split: The rows.

    Example:
        >>> from optuna_evo import tasks
        >>> task = tasks.get("two_moons")
        >>> valid = task.load(None).valid
        >>> sorted(scores(task, task.build_model()(valid.inputs), valid))
        ['accuracy', 'auc', 'f1', 'matthews']
    """
    plain = outputs.detach().float().cpu()
    if task.kind == "classification":
        return classification_metrics(plain.softmax(dim=1).numpy(), split.targets.cpu().numpy())
    if task.kind == "regression":
        return regression_metrics(plain.numpy(), split.targets.cpu().numpy())
    if task.kind == "question_answering":
        return answer_scores(plain, split.extras)
    return {}

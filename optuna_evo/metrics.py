"""Metrics of whole sets of rows from plain arrays, by scikit-learn; nothing here imports torch.

    kind                  metrics (* is to be minimised)
    classification        accuracy, f1 (macro), auc (ROC, macro, one against the rest), matthews
    regression            mse*, mae*, r2
    question_answering    exact_match, f1 (of words), see `optuna_evo.tasks`

Shape legend: n rows, c classes.
"""

from collections.abc import Mapping
import math
from typing import Any
from typing import Final

from optuna_evo.errors import UsageError


__all__ = [
    "ALL_METRICS",
    "check_metric",
    "classification_metrics",
    "metric_names",
    "regression_metrics",
]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("accuracy", "f1", "auc", "matthews"),
    "regression": ("mse", "mae", "r2"),
    "question_answering": ("exact_match", "f1"),
}
ALL_METRICS: Final = tuple(dict.fromkeys(name for names in _NAMES.values() for name in names))
_TO_MINIMISE: Final = {"mse", "mae"}


def metric_names(kind: str) -> tuple[str, ...]:
    """Return the names of the metrics of a kind of task; a language model has none.

    Example:
        >>> metric_names("regression")
        ('mse', 'mae', 'r2')
    """
    return _NAMES.get(kind, ())


def check_metric(metric: str, kind: str, task: str) -> bool:
    """Return whether a higher value of the metric is better.

    Args:
        metric: Name of a metric.
        kind: Kind of the task.
        task: Name of the task, for the message.

    Raises:
        UsageError: If the metric does not fit the kind.
    """
    if metric not in metric_names(kind):
        allowed = ", ".join(metric_names(kind)) or "only the task's own (leave it out)"
        raise UsageError(
            f"`objective.metric` of the task {task!r} ({kind}) may be: {allowed}; got {metric!r}."
        )
    return metric not in _TO_MINIMISE


def classification_metrics(probabilities: Any, classes: Any) -> dict[str, float]:
    """Return the metrics of a classifier; those that are undefined are left out.

    Args:
        probabilities: Array (n, c), or any scores that increase with the probability of a class.
        classes: Array (n,) of class numbers in 0..c-1.

    Example:
        >>> import numpy as np
        >>> classification_metrics(np.eye(2), np.array([0, 1]))["f1"]
        1.0
    """
    from sklearn import metrics

    predicted = probabilities.argmax(axis=1)
    # An area needs rows of the class and rows of others; scikit-learn's own multi-class mode
    # raises where a class is missing, as one may be in a small validation set.
    there = [c for c in range(probabilities.shape[1]) if 0 < (classes == c).sum() < len(classes)]
    aucs = [metrics.roc_auc_score(classes == c, probabilities[:, c]) for c in there]
    values = {
        "accuracy": metrics.accuracy_score(classes, predicted),
        # macro: every class counts the same, so that a rare one is not ignored
        "f1": metrics.f1_score(classes, predicted, average="macro", zero_division=0),
        "auc": sum(aucs) / len(aucs) if aucs else math.nan,
        "matthews": metrics.matthews_corrcoef(classes, predicted),
    }
    return _finite(values)


def regression_metrics(predictions: Any, values: Any) -> dict[str, float]:
    """Return the metrics of a regressor from arrays (n,); those that are undefined are left out.

    Example:
        >>> import numpy as np
        >>> regression_metrics(np.array([1.0, 3.0]), np.array([1.0, 2.0]))["mse"]
        0.5
    """
    from sklearn import metrics

    return _finite(
        {
            "mse": metrics.mean_squared_error(values, predictions),
            "mae": metrics.mean_absolute_error(values, predictions),
            "r2": metrics.r2_score(values, predictions) if len(values) > 1 else math.nan,
        }
    )


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}

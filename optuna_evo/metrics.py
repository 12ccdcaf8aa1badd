"""Metrics of whole sets of rows from plain arrays, by scikit-learn; nothing here imports torch.

    kind                  metrics (* is to be minimised)
    classification        accuracy, f1 (macro), auc (ROC, macro, one against the rest), matthews
    regression            mse*, mae*, r2
    question_answering    exact_match, f1 (of words), see `optuna_evo.tasks`
    what trains           loss*, the mean of the task's own loss

Shape legend: n rows, c classes, k values of a row.
"""

from collections.abc import Mapping
import math
from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray

from optuna_evo.errors import UsageError


__all__ = [
    "ALL_METRICS",
    "LOSS",
    "check_metric",
    "classification_metrics",
    "metric_names",
    "regression_metrics",
]

_Array = NDArray[Any]
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("accuracy", "f1", "auc", "matthews"),
    "regression": ("mse", "mae", "r2"),
    "question_answering": ("exact_match", "f1"),
}
ALL_METRICS: Final = tuple(dict.fromkeys(name for names in _NAMES.values() for name in names))
LOSS: Final = "loss"
"""The mean loss of a task that trains, whatever its kind; to be minimised."""
_TO_MINIMISE: Final = {"mse", "mae", LOSS}


def metric_names(kind: str) -> tuple[str, ...]:
    """Return the names of the metrics of a kind of task; a language model has none.

    Example:
        >>> metric_names("regression")
        ('mse', 'mae', 'r2')
    """
    return _NAMES.get(kind, ())


def check_metric(metric: str, kind: str, task: str, *, trains: bool = False) -> bool:
    """Return whether a higher value of the metric is better.

    Args:
        metric: Name of a metric.
        kind: Kind of the task.
        task: Name of the task, for the message.
        trains: Whether it has a loss that it is trained on, which is a metric then.

    Raises:
        UsageError: If the metric does not fit the kind.
    """
    names = (*metric_names(kind), *([LOSS] if trains else []))
    if metric not in names:
        allowed = ", ".join(names) or "only the task's own (leave it out)"
        raise UsageError(
            f"`objective.metric` of the task {task!r} ({kind}) may be: {allowed}; got {metric!r}."
        )
    return metric not in _TO_MINIMISE


def classification_metrics(scores: Any, classes: Any) -> dict[str, float]:
    """Return the metrics of a classifier; those that are undefined are left out.

    Args:
        scores: Array (n, c), any scores that increase with the probability of a class; or (n,) or
            (n, 1), the logit of class 1, which is predicted where it is above 0.
        classes: Array (n,) or (n, 1) of class numbers in 0..c-1, as whole numbers, floats or
            truth values; or (n, c), 1 in the column of the class and 0 elsewhere.

    Raises:
        UsageError: If the shapes or the class numbers fit none of these.

    Example:
        >>> import numpy as np
        >>> classification_metrics(np.eye(2), np.array([0, 1]))["f1"]
        1.0
        >>> classification_metrics(np.array([-3.0, 0.5]), np.array([0, 1]))["accuracy"]
        1.0
    """
    from sklearn import metrics

    scores, classes = _scores_and_classes(np.asarray(scores), np.asarray(classes))
    predicted = scores.argmax(axis=1)
    # An area needs rows of the class and rows of others; scikit-learn's own multi-class mode
    # raises where a class is missing, as one may be in a small validation set.
    there = [c for c in range(scores.shape[1]) if 0 < (classes == c).sum() < len(classes)]
    aucs = [metrics.roc_auc_score(classes == c, scores[:, c]) for c in there]
    is_told_apart = len(np.union1d(classes, predicted)) > 1
    values = {
        "accuracy": metrics.accuracy_score(classes, predicted),
        # macro: every class counts the same, so that a rare one is not ignored
        "f1": metrics.f1_score(classes, predicted, average="macro", zero_division=0),
        "auc": sum(aucs) / len(aucs) if aucs else math.nan,
        # 0, as scikit-learn has it, but it warns
        "matthews": metrics.matthews_corrcoef(classes, predicted) if is_told_apart else 0.0,
    }
    return _finite(values)


def regression_metrics(predictions: Any, values: Any) -> dict[str, float]:
    """Return the metrics of a regressor; those that are undefined are left out.

    Args:
        predictions: Array (n,), or (n, k) of k values a row, which count alike.
        values: The true ones, of the same shape; (n,) and (n, 1) go together.

    Raises:
        UsageError: If the shapes do not go together.

    Example:
        >>> import numpy as np
        >>> regression_metrics(np.array([1.0, 3.0]), np.array([1.0, 2.0]))["mse"]
        0.5
    """
    from sklearn import metrics

    predictions, values = np.asarray(predictions), np.asarray(values)
    if not predictions.ndim or _plain(predictions.shape) != _plain(values.shape):
        raise _misfit(
            metric_names("regression"),
            predictions.shape,
            values.shape,
            "both (n,) or (n, 1), or both (n, k) for k values a row",
        )
    predictions, values = (a.reshape(len(a), -1) for a in (predictions, values))
    return _finite(
        {
            "mse": metrics.mean_squared_error(values, predictions),
            "mae": metrics.mean_absolute_error(values, predictions),
            "r2": metrics.r2_score(values, predictions) if len(values) > 1 else math.nan,
        }
    )


def _scores_and_classes(scores: _Array, classes: _Array) -> tuple[_Array, _Array]:
    """Return scores (n, c) and class numbers (n,) of any of the allowed shapes."""
    if scores.ndim == 2 and scores.shape[1] > 1 and classes.shape == scores.shape:
        classes = _classes_of_indicators(classes)
    if scores.ndim == 0 or scores.ndim > 2 or _plain(classes.shape) != scores.shape[:1]:
        raise _misfit(
            metric_names("classification"),
            scores.shape,
            classes.shape,
            "outputs (n, classes), or (n,) or (n, 1), the logit of class 1, and targets (n,)",
        )
    scores, classes = scores.reshape(len(scores), -1), classes.reshape(-1)
    if scores.shape[1] == 1:
        scores = np.concatenate([-scores, scores], axis=1)
    n_classes = scores.shape[1]
    is_class = np.isin(classes, np.arange(n_classes))
    if not is_class.all():
        raise UsageError(
            f"Targets of the metrics {', '.join(metric_names('classification'))} must be class "
            f"numbers from 0 to {n_classes - 1}, as the outputs have {n_classes} classes; got "
            f"{classes[~is_class][0]}."
        )
    return scores, classes.astype(np.int64)


def _classes_of_indicators(indicators: _Array) -> _Array:
    is_one = indicators == 1
    if not (is_one | (indicators == 0)).all() or not (is_one.sum(axis=1) == 1).all():
        raise UsageError(
            f"Targets of shape {indicators.shape} must have a 1 in the column of each row's class "
            f"and 0 elsewhere for the metrics {', '.join(metric_names('classification'))}."
        )
    return np.asarray(is_one.argmax(axis=1))


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] if shape[1:] == (1,) else shape


def _misfit(
    names: tuple[str, ...], outputs: tuple[int, ...], targets: tuple[int, ...], allowed: str
) -> UsageError:
    return UsageError(
        f"The metrics {', '.join(names)} take {allowed}; got outputs of shape {outputs} and "
        f"targets of shape {targets}."
    )


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}

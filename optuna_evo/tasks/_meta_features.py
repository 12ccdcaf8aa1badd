"""Meta-features: what is known about a task before training, sizes and scores of simple models.

Studies store these numbers, so that a new study can tell which old ones had similar data. The
landmarks are those of Pfahringer, Bensusan and Giraud-Carrier, "Meta-Learning by Landmarking
Various Learning Algorithms" (ICML 2000).

Shape legend: n rows, f features, t tokens of a row.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["mean_features", "meta_features"]

# Landmarks are fitted to so many rows and scored on as many others: a rough score in a second.
_N_ROWS = 512
_N_BAGS = 1_024  # columns that token numbers are hashed into (modulo), whatever the vocabulary


def meta_features(task: Task, splits: Splits) -> dict[str, float]:
    """Describe a task by a few numbers, the same for every call, within about a second.

    Args:
        task: The task; its model is built once, with default arguments.
        splits: Its rows. Scores are those of at most 512 evenly spread training rows on as many
            validation rows.

    Returns:
        `n_rows` of the training split and `n_parameters` of the model; `n_features`, the numbers
        per row, or for rows of tokens `sequence_length` and `n_tokens`, the different ones;
        `n_classes` and `class_entropy` (bits) of classes or next tokens; and the scores, accuracy
        or for regression the share of variance explained, of `landmark_chance` (the most common
        class, the mean), `landmark_neighbour` (one nearest neighbour), `landmark_stump` (a tree
        of one split) and `landmark_linear` (ridge), or for next tokens `landmark_bigram` (the
        most common one after the last). What does not apply is left out.

    Example:
        >>> from optuna_evo import tasks
        >>> digits = tasks.get("digits")
        >>> tasks.meta_features(digits, digits.load(None))["n_classes"]
        10.0
    """
    train, valid = _some_rows(splits.train), _some_rows(splits.valid)
    found: dict[str, Any] = {"n_rows": len(splits.train), "n_parameters": _n_parameters(task)}
    if _is_tokens(train.inputs):
        found["sequence_length"] = train.inputs.shape[-1]
        found["n_tokens"] = len(torch.unique(train.inputs))
    else:
        found["n_features"] = train.inputs[0].numel()
    is_next_token = task.kind == "language_model"
    if is_next_token or (train.targets.ndim == 1 and not train.targets.dtype.is_floating_point):
        found |= _classes(train.targets)
    if is_next_token:
        found |= _next_token_scores(train, valid)
    elif train.targets.ndim == 1:
        found |= _scores(train, valid)
    return {name: round(float(value), 6) for name, value in found.items()}


def mean_features(features: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means over several tasks; of counts (`n_...`) the geometric means."""
    names = sorted({name for each in features for name in each})
    return {name: _mean(name, [each[name] for each in features if name in each]) for name in names}


def _mean(name: str, values: Sequence[float]) -> float:
    if name.startswith("n_") or name == "sequence_length":
        return round(float(np.exp(np.mean(np.log(np.maximum(values, 1))))), 6)
    return round(float(np.mean(values)), 6)


def _some_rows(split: Split) -> Split:
    """Return evenly spread rows, on the CPU: of ordered rows they hold all classes."""
    n = min(len(split), _N_ROWS)
    rows = torch.linspace(0, len(split) - 1, n, dtype=torch.float64).long()
    rows = rows.to(split.inputs.device)
    return Split(split.inputs[rows].cpu(), split.targets[rows].cpu())


def _is_tokens(inputs: Tensor) -> bool:
    return not inputs.dtype.is_floating_point and inputs.ndim >= 2


def _n_parameters(task: Task) -> int:
    with torch.random.fork_rng(devices=[]):  # its weights are drawn from the global generator
        model = task.build_model()
    return sum(parameter.numel() for parameter in model.parameters())


def _classes(targets: Tensor) -> dict[str, float]:
    _, counts = torch.unique(targets, return_counts=True)
    shares = counts / counts.sum()
    return {
        "n_classes": len(counts),
        "class_entropy": -(shares * shares.log2()).sum().item(),
        "landmark_chance": shares.max().item(),
    }


def _scores(train: Split, valid: Split) -> dict[str, float]:
    """Fit each simple model to some rows and score it on others."""
    from sklearn.linear_model import Ridge
    from sklearn.linear_model import RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.tree import DecisionTreeRegressor

    is_regression = train.targets.dtype.is_floating_point
    x, x_new = _matrices(train.inputs, valid.inputs)
    y, y_new = train.targets.numpy(), valid.targets.numpy()
    # Ridge penalty: the mean squared norm of a row. With as many columns as rows a smaller one
    # would fit any targets.
    penalty = float((x**2).sum(axis=1).mean()) or 1.0
    if is_regression:
        models = (KNeighborsRegressor(1), DecisionTreeRegressor, Ridge(penalty))
    elif len(np.unique(y)) > 1:
        models = (KNeighborsClassifier(1), DecisionTreeClassifier, RidgeClassifier(penalty))
    else:
        return {}  # one class only
    neighbour, tree, linear = models
    named = {"neighbour": neighbour, "stump": tree(max_depth=1, random_state=0), "linear": linear}
    # R^2 has no lower bound: how much worse than the mean a model is must not dominate distances
    scores = {
        f"landmark_{name}": max(-1.0, model.fit(x, y).score(x_new, y_new))
        for name, model in named.items()
    }
    return scores | ({"landmark_chance": 0.0} if is_regression else {})


def _matrices(train: Tensor, valid: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows of numbers (n, f) of comparable size: standardised, or counts of tokens."""
    if _is_tokens(train):
        x, x_new = _token_counts(train), _token_counts(valid)
        # inverse document frequency: 0 for a token that all rows have
        weight = np.log((1 + len(x)) / (1 + (x > 0).sum(axis=0)))
        return _unit_rows(x * weight), _unit_rows(x_new * weight)
    x, x_new = (split.double().flatten(1).numpy() for split in (train, valid))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)  # a constant column stays one
    return (x - mean) / scale, (x_new - mean) / scale


def _token_counts(inputs: Tensor) -> NDArray[Any]:
    """Return the square roots (n, bags) of the counts of tokens."""
    tokens = inputs.flatten(1).long() % _N_BAGS  # (n, t)
    counts = torch.zeros(len(tokens), _N_BAGS, dtype=torch.float64)
    return counts.scatter_add_(1, tokens, torch.ones_like(tokens).double()).sqrt().numpy()


def _unit_rows(x: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths > 0, lengths, 1.0)


def _next_token_scores(train: Split, valid: Split) -> dict[str, float]:
    """Score two guesses: the most common token, and the most common one after each token."""
    last, following = train.inputs.flatten().numpy(), train.targets.flatten().numpy()
    base = int(following.max()) + 1
    pairs, counts = np.unique(last * base + following, return_counts=True)
    pairs = pairs[np.argsort(counts, kind="stable")]  # most common last: `dict` keeps the last
    best = dict(zip((pairs // base).tolist(), (pairs % base).tolist(), strict=True))
    tokens, totals = np.unique(following, return_counts=True)
    commonest = tokens[totals.argmax()]
    guesses = np.array([best.get(token, commonest) for token in valid.inputs.flatten().tolist()])
    targets = valid.targets.flatten().numpy()
    return {
        "landmark_chance": float(np.mean(targets == commonest)),
        "landmark_bigram": float(np.mean(targets == guesses)),
    }

"""Tasks on scikit-learn's other data sets, for small MLPs: no files, no network.

    wine           178 wines, 13 measures, 3 cultivars
    breast_cancer  569 tumours, 30 measures, benign or malignant
    diabetes       442 patients, 10 measures, progression after a year (normalised)

Half of the rows are for training, a quarter each for validation and tests; features are normalised
by the training rows.
"""

from collections.abc import Callable
import functools
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["breast_cancer", "diabetes", "wine"]


def _parts(name: str) -> list[Split]:
    from sklearn import datasets

    features, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, y = torch.from_numpy(features).float(), torch.from_numpy(targets)
    y = y.float() if name == "diabetes" else y.long()
    n_train = len(x) // 2
    n_valid = (len(x) - n_train) // 2
    parts = Split(x, y).parts(n_train, n_valid, len(x) - n_train - n_valid)
    mean, deviation = parts[0].inputs.mean(0), parts[0].inputs.std(0)
    middle, spread = parts[0].targets.float().mean(), parts[0].targets.float().std()

    def normal(targets: Tensor) -> Tensor:
        return (targets - middle) / spread if name == "diabetes" else targets

    return [Split((p.inputs - mean) / deviation, normal(p.targets)) for p in parts]


def _load(name: str, data_dir: Path | None = None) -> Splits:
    train, valid, _ = _parts(name)
    return Splits(train, valid, f"scikit-learn's load_{name}")


def _load_test(name: str, data_dir: Path | None = None) -> Split:
    return _parts(name)[2]


def _mlp(n_in: int, n_out: int, *, width: int = 32) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Linear(n_in, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, n_out),
    ]
    return nn.Sequential(*layers)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.squeeze(-1) - targets).square().mean()


def _explained(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1 - _squared_error(outputs, targets)


def _task(name: str, n_in: int, n_out: int) -> Task:
    is_regression = name == "diabetes"
    loss: Callable[[Any, Tensor], Tensor] = _squared_error if is_regression else cross_entropy
    return Task(
        name=name,
        kind="regression" if is_regression else "classification",
        build_model=functools.partial(_mlp, n_in, n_out),
        load=functools.partial(_load, name),
        load_test=functools.partial(_load_test, name),
        loss=loss,
        metric=_explained if is_regression else accuracy,
        batch_size=32,
    )


wine = _task("wine", 13, 3)
breast_cancer = _task("breast_cancer", 30, 2)
diabetes = _task("diabetes", 10, 1)

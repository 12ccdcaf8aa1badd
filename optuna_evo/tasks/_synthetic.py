"""Two synthetic tasks that train in well under a millisecond per step, for tests and first tries.

`quadratic`: linear regression on 16 features whose variances span a factor of 100, so the loss is
an ill-conditioned quadratic. `two_moons`: two interleaved half circles for a small MLP.
"""

from collections.abc import Callable
import functools
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch import Tensor

from optuna_evo.tasks._measures import accuracy
from optuna_evo.tasks._measures import cross_entropy
from optuna_evo.tasks._measures import mean_squared_error
from optuna_evo.tasks._measures import variance_explained
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Splits
from optuna_evo.tasks._task import Task


__all__ = ["quadratic", "two_moons"]

_SIZES = (512, 256, 256)
_N_FEATURES = 16
_NOISE = 0.1


class _Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(_N_FEATURES, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs).squeeze(-1)  # type: ignore[no-any-return]


def _quadratic_rows() -> Split:
    rng = np.random.default_rng(1)
    scales = np.geomspace(0.1, 1.0, _N_FEATURES)
    features = rng.standard_normal((sum(_SIZES), _N_FEATURES)) * scales
    # so that every feature contributes equally, and the directions of low curvature matter too
    weights = rng.standard_normal(_N_FEATURES) / scales
    values = features @ weights / np.sqrt(_N_FEATURES)
    values = values / values.std() + _NOISE * rng.standard_normal(sum(_SIZES))
    values = (values - values.mean()) / values.std()
    return Split(torch.from_numpy(features).float(), torch.from_numpy(values).float())


def _mlp(*, width: int = 32, dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, 2),
    )


def _two_moons_rows() -> Split:
    rng = np.random.default_rng(2)
    classes = np.arange(sum(_SIZES)) % 2
    angle = np.pi * rng.random(sum(_SIZES))
    x = np.where(classes == 0, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(classes == 0, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    points = np.stack([x, y], axis=1) + 2 * _NOISE * rng.standard_normal((sum(_SIZES), 2))
    return Split(torch.from_numpy(points).float(), torch.from_numpy(classes).long())


def _load(make: Callable[[], Split], data_dir: Path | None = None) -> Splits:
    train, valid, _ = make().parts(*_SIZES)
    return Splits(train, valid, "synthetic")


def _load_test(make: Callable[[], Split], data_dir: Path | None = None) -> Split:
    return make().parts(*_SIZES)[2]


quadratic = Task(
    name="quadratic",
    kind="regression",
    build_model=_Linear,
    load=functools.partial(_load, _quadratic_rows),
    load_test=functools.partial(_load_test, _quadratic_rows),
    loss=mean_squared_error,
    metric=variance_explained,
    batch_size=32,
)

two_moons = Task(
    name="two_moons",
    kind="classification",
    build_model=_mlp,
    load=functools.partial(_load, _two_moons_rows),
    load_test=functools.partial(_load_test, _two_moons_rows),
    loss=cross_entropy,
    metric=accuracy,
    batch_size=32,
)

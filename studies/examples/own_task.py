"""A task of your own: what is trained, on which data, and how it is measured.

Run it in this folder: optuna_evo study run own_task.toml
"""

from pathlib import Path

import torch
from torch import nn

from optuna_evo.tasks import accuracy
from optuna_evo.tasks import cross_entropy
from optuna_evo.tasks import partition
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task


def build_model(*, width: int = 32, dropout: float = 0.0) -> nn.Module:
    """Return a network with weights drawn from torch's generator, which the trainer seeds."""
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 2))


def rings() -> list[Split]:
    """Return training, validation and test points: inside or outside of a noisy circle?"""
    points = torch.randn(900, 2, generator=torch.Generator().manual_seed(0))
    inside = (points.norm(dim=1) < 1.2).long()
    return [Split(points[rows], inside[rows]) for rows in partition(900, 500, 200, 200)]


def load(data_dir: Path | None = None) -> Splits:
    """Return what a search may see; `data_dir` is the folder of --data-dir."""
    train, valid, _ = rings()
    return Splits(train, valid, "900 points drawn with seed 0")


def load_test(data_dir: Path | None = None) -> Split:
    """Return the rows that only the last table reads."""
    return rings()[2]


task = Task(
    name="rings",
    kind="classification",
    build_model=build_model,
    load=load,
    load_test=load_test,
    loss=cross_entropy,
    metric=accuracy,
    batch_size=50,
)

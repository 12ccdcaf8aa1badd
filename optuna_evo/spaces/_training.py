"""The training hyperparameters that every task has, with a classic optimizer."""

import dataclasses
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog


if TYPE_CHECKING:
    import optuna

__all__ = ["training_space"]


def training_space(
    trial: "optuna.trial.BaseTrial",
    *,
    optimizer: str = "adamw",
    lr: tuple[float, float] = (1e-4, 1e-2),
    batch_size: tuple[int, int] | None = (32, 256),
    dropout: tuple[float, float] | None = (0.1, 0.7),
    weight_decay: tuple[float, float] = (1e-5, 1e-3),
) -> TrainingConfig:
    """Suggest learning rate, weight decay, batch size and dropout.

    The default ranges are those of the study `hybrid_alexnet_mnist`.

    Args:
        trial: An Optuna trial.
        optimizer: Name of a genome in the catalog; its other settings stay.
        lr: Range of the learning rate, drawn on a logarithmic scale.
        batch_size: Range of the batch size, drawn on a logarithmic scale; None: the task's own.
        dropout: Range of the model's `dropout` argument; None: the model's own.
        weight_decay: Range of the decoupled weight decay, drawn on a logarithmic scale.

    Raises:
        ValueError: If there is no such optimizer.

    Example:
        >>> import optuna
        >>> config = training_space(optuna.create_study().ask(), optimizer="momentum")
    """
    if optimizer not in catalog:
        raise ValueError(f"`optimizer` must be one of {sorted(catalog)}, got {optimizer!r}.")
    genome = dataclasses.replace(
        catalog[optimizer],
        lr=trial.suggest_float("lr", *lr, log=True),
        weight_decay=trial.suggest_float("weight_decay", *weight_decay, log=True),
    )
    model = {} if dropout is None else {"dropout": trial.suggest_float("dropout", *dropout)}
    size = None if batch_size is None else trial.suggest_int("batch_size", *batch_size, log=True)
    return TrainingConfig(genome=genome, batch_size=size, model=model)

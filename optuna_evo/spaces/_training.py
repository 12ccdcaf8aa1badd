"""The training hyperparameters that every task has, with a classic optimizer."""

import dataclasses
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog
from optuna_evo.spaces._ranges import Range
from optuna_evo.spaces._ranges import suggest_decay
from optuna_evo.spaces._ranges import WholeRange


if TYPE_CHECKING:
    import optuna

__all__ = ["training_space"]


def training_space(
    trial: "optuna.trial.BaseTrial",
    *,
    optimizer: str = "adamw",
    lr: Range = (1e-4, 1e-2),
    batch_size: WholeRange = (32, 256),
    dropout: Range = (0.1, 0.7),
    weight_decay: Range = (1e-5, 1e-3),
) -> TrainingConfig:
    """Suggest learning rate, weight decay, batch size and dropout.

    The default ranges are those of the study `hybrid_alexnet_mnist`. A parameter that is `False`
    (in TOML `false`), None or empty is not searched.

    Args:
        trial: An Optuna trial.
        optimizer: Name of a genome in the catalog, or of a class of `torch.optim`, which begins
            with a capital letter; its other settings stay.
        lr: Range of the learning rate, drawn on a logarithmic scale; off: the optimizer's own.
        batch_size: Range of the batch size, drawn on a logarithmic scale; off: the task's own.
        dropout: Range of the model's `dropout` argument; off: the model's own. A study turns it
            off where the task's model takes no dropout.
        weight_decay: Range of the decoupled weight decay, drawn on a logarithmic scale, or on a
            linear one where it begins at 0; off: the optimizer's own.

    Raises:
        ValueError: If there is no such optimizer.

    Example:
        >>> import optuna
        >>> config = training_space(optuna.create_study().ask(), optimizer="momentum")
        >>> config = training_space(optuna.create_study().ask(), optimizer="NAdam")
    """
    if optimizer not in catalog and not optimizer[:1].isupper():
        raise ValueError(
            f"`optimizer` must be one of {sorted(catalog)}, or a class of torch.optim such as "
            f'"NAdam", got {optimizer!r}.'
        )
    settings: dict[str, Any] = {}
    if lr:
        settings["lr"] = trial.suggest_float("lr", *lr, log=True)
    if weight_decay:
        settings["weight_decay"] = suggest_decay(trial, *weight_decay)
    chosen: OptimizerConfig
    if optimizer in catalog:
        chosen = dataclasses.replace(catalog[optimizer], **settings)
    else:
        chosen = NamedOptimizer.of(optimizer, **settings)
    model = {"dropout": trial.suggest_float("dropout", *dropout)} if dropout else {}
    size = trial.suggest_int("batch_size", *batch_size, log=True) if batch_size else None
    return TrainingConfig(optimizer=chosen, batch_size=size, model=model)

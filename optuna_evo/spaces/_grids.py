"""Small grids over a training's hyperparameters, and the ranges that they span.

    space         lr                  batch size  epochs   more
    bert          1e-5, 2e-5, 3e-5    16, 32      3, 4, 5
    distilbert    5e-5, 1e-4, 5e-4    16, 32      3, 4, 5
    roberta       as bert
    cnn           1e-4, 1e-3          32, 64      10, 20   dropout 0.3, 0.5
    resnet        1e-4, 1e-3          32, 64      10, 20   weight decay 1e-5, 1e-4

`bert_continuous` and so on draw from the whole range between the smallest and the largest value.
The learning rates of the encoders are for pretrained weights (Devlin et al. 2019, appendix A.3);
fresh ones need ten to a hundred times as much: `space = { name = "bert", lr = [1e-4, 1e-3] }`.
"""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import Literal
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog


if TYPE_CHECKING:
    import optuna

__all__ = ["grid_space"]

Values = Sequence[float] | Literal[False] | None
WholeValues = Sequence[int] | Literal[False] | None


def grid_space(
    trial: "optuna.trial.BaseTrial",
    *,
    lr: Values,
    batch_size: WholeValues = (),
    epochs: Values = (),
    dropout: Values = (),
    weight_decay: Values = (),
    optimizer: str = "adamw",
    continuous: bool = False,
) -> TrainingConfig:
    """Suggest each hyperparameter from a few values, or from the range that they span.

    One that is `False` (in TOML `false`), None or empty is not searched.

    Args:
        trial: An Optuna trial.
        lr: Learning rates; on a logarithmic scale if continuous. Off: the optimizer's own.
        batch_size: Rows per step, whole numbers; on a logarithmic scale if continuous. Off: the
            task's own.
        epochs: Passes over the training rows. Off: the trainer's own.
        dropout: The model's `dropout`. Off: the model's own.
        weight_decay: Decoupled weight decay; on a logarithmic scale if continuous and above 0.
            Off: the optimizer's own.
        optimizer: Name of a genome in the catalog; its other settings stay.
        continuous: Whether values between the smallest and the largest are suggested too.

    Raises:
        ValueError: If there is no such optimizer.

    Example:
        >>> import optuna
        >>> trial = optuna.trial.FixedTrial({"lr": 2e-5, "batch_size": 16})
        >>> grid_space(trial, lr=[1e-5, 2e-5], batch_size=[16, 32]).batch_size
        16
    """
    if optimizer not in catalog:
        raise ValueError(f"`optimizer` must be one of {sorted(catalog)}, got {optimizer!r}.")
    suggest = functools.partial(_suggest, trial, continuous=continuous)
    changes = {"lr": suggest("lr", lr, log=True)} if lr else {}
    if weight_decay:
        changes["weight_decay"] = suggest("weight_decay", weight_decay, log=True)
    return TrainingConfig(
        genome=dataclasses.replace(catalog[optimizer], **changes),
        batch_size=suggest("batch_size", batch_size, log=True) if batch_size else None,
        epochs=suggest("epochs", epochs) if epochs else None,
        model={"dropout": suggest("dropout", dropout)} if dropout else {},
    )


def _suggest(
    trial: "optuna.trial.BaseTrial",
    name: str,
    values: Sequence[Any],
    *,
    continuous: bool,
    log: bool = False,
) -> Any:
    # categorical even for numbers: a grid of 16 and 32 does not mean 24
    if not continuous:
        return trial.suggest_categorical(name, list(values))
    low, high = min(values), max(values)
    if name == "batch_size":
        return trial.suggest_int(name, low, high, log=log)
    # a scale that begins at 0 cannot be logarithmic
    return trial.suggest_float(name, low, high, log=log and low != 0)


bert = functools.partial(grid_space, lr=(1e-5, 2e-5, 3e-5), batch_size=(16, 32), epochs=(3, 4, 5))
distilbert = functools.partial(bert, lr=(5e-5, 1e-4, 5e-4))
roberta = bert
resnet = functools.partial(
    grid_space, lr=(1e-4, 1e-3), batch_size=(32, 64), epochs=(10, 20), weight_decay=(1e-5, 1e-4)
)
cnn = functools.partial(resnet, weight_decay=(), dropout=(0.3, 0.5))

bert_continuous = functools.partial(bert, continuous=True)
distilbert_continuous = functools.partial(distilbert, continuous=True)
roberta_continuous = functools.partial(roberta, continuous=True)
resnet_continuous = functools.partial(resnet, continuous=True)
cnn_continuous = functools.partial(cnn, continuous=True)

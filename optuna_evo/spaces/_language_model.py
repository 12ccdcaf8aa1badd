"""The hyperparameters that may change while a language model trains."""

import dataclasses
from typing import TYPE_CHECKING

from optuna_evo.config import SegmentConfig
from optuna_evo.rules import catalog
from optuna_evo.spaces._ranges import Range
from optuna_evo.spaces._ranges import suggest_decay
from optuna_evo.spaces._ranges import WholeRange


if TYPE_CHECKING:
    import optuna

__all__ = ["language_model_space"]


def language_model_space(
    trial: "optuna.trial.BaseTrial",
    *,
    lr: Range = (1e-5, 1e-2),
    beta1: Range = (0.8, 0.99),
    beta2: Range = (0.9, 0.999),
    weight_decay: Range = (1e-4, 0.3),
    warmup_steps: WholeRange = (1, 100),
    clip_norm: Range = (0.1, 10.0),
    dropout: Range = (0.0, 0.3),
    sparsity: Range = (0.0, 0.5),
    batch_size: WholeRange = None,
) -> SegmentConfig:
    """Suggest AdamW's hyperparameters and what else may change from segment to segment.

    A range that is `False` (in TOML `false`), None or empty is not searched: AdamW keeps its usual
    value, clipping and sparsity are off, the rest is the task's and the model's own.

    Args:
        trial: An Optuna trial.
        lr: Range of the learning rate, on a logarithmic scale.
        beta1: Range of the decay of the gradient average, the momentum.
        beta2: Range of the decay of the average of squared gradients.
        weight_decay: Range of the decoupled weight decay, on a logarithmic scale; on a linear one
            where it begins at 0.
        warmup_steps: Range of the length of the linear warm-up, on a logarithmic scale; counted
            from fresh weights, so later segments no longer see it.
        clip_norm: Range of the bound on the gradient's norm, on a logarithmic scale.
        dropout: Range of the model's `dropout` argument.
        sparsity: Range of the share of weights that are held at zero.
        batch_size: Range of the batch size, on a logarithmic scale.

    Example:
        >>> import optuna
        >>> config = language_model_space(optuna.create_study().ask(), sparsity=None)
        >>> config.sparsity
        0.0
    """
    # The order of the suggestions must stay: samplers draw in it, so that another order would give
    # stored studies other trials.
    genome = catalog["adamw"]
    if lr:
        genome = dataclasses.replace(genome, lr=trial.suggest_float("lr", *lr, log=True))
    if beta1:
        genome = dataclasses.replace(genome, beta1=trial.suggest_float("beta1", *beta1))
    if beta2:
        genome = dataclasses.replace(genome, beta2=trial.suggest_float("beta2", *beta2))
    if weight_decay:
        decay = suggest_decay(trial, *weight_decay)
        genome = dataclasses.replace(genome, weight_decay=decay)
    if warmup_steps:
        steps = trial.suggest_int("warmup_steps", *warmup_steps, log=True)
        genome = dataclasses.replace(genome, use_warmup=True, warmup_steps=steps)
    return SegmentConfig(
        genome=genome,
        clip_norm=trial.suggest_float("clip_norm", *clip_norm, log=True) if clip_norm else None,
        model={"dropout": trial.suggest_float("dropout", *dropout)} if dropout else {},
        sparsity=trial.suggest_float("sparsity", *sparsity) if sparsity else 0.0,
        batch_size=trial.suggest_int("batch_size", *batch_size, log=True) if batch_size else None,
    )

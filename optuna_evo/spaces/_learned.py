"""Learned optimizers as a define-by-run Optuna space, alone and beside genomes."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import inspect
from typing import Any
from typing import Final
from typing import TYPE_CHECKING

from optuna_evo.config import ControllerConfig
from optuna_evo.config import MetaTrainingConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.spaces._genome import suggest_genome
from optuna_evo.spaces._ranges import Range
from optuna_evo.spaces._ranges import WholeRange


if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["genome_or_learned_space", "learned_optimizer_space", "suggest_learned_optimizer"]

KINDS: Final = ("mlp", "mlp_per_parameter", "lstm", "transformer", "graph", "memory", "hybrid")
_MIXES: Final = ("ADAM_TERM+SIGN_GRAD+GRAD+MOMENTUM", "SIGN_GRAD+MOMENTUM", "none")
_ESTIMATORS: Final = ("pes", "full_es", "truncated_backprop")
_SCHEDULES: Final = ("constant", "cosine", "warm-up and cosine")
_RULES: Final = ("genome", "controller", "learned")
_WIDTH_STEP: Final = 4  # so that every number of heads divides every width


def suggest_learned_optimizer(
    trial: "BaseTrial",
    *,
    kinds: str | Sequence[str] = KINDS,
    hidden_size: WholeRange = (4, 32),
    num_layers: WholeRange = (1, 3),
    num_heads: Sequence[int] = (1, 2, 4),
    sequence_length: WholeRange = (1, 8),
    memory_size: WholeRange = (1, 16),
    activations: Sequence[str] = ("tanh", "relu", "silu"),
    time_features: bool = True,
    mixes: Sequence[str] = _MIXES,
    bases: str | Sequence[str] = ("adam", "momentum", "lion"),
    base_lr: Range = (1e-3, 1.0),
    schedules: str | Sequence[str] = _SCHEDULES,
    estimators: str | Sequence[str] = _ESTIMATORS,
    pairs: WholeRange = (4, 32),
    truncation: WholeRange = (5, 50),
    perturbation: Range = (3e-3, 1e-1),
    outer_lr: Range = (1e-3, 3e-2),
) -> MetaTrainingConfig:
    """Suggest a controller, its base genome and how it is meta-trained.

    What a kind does not have is not asked for. A parameter whose range is `False` (in TOML
    `false`), None or empty is not searched and keeps the kind's default; of one choice nothing is
    asked.

    Args:
        trial: An Optuna trial.
        kinds: Kinds of controllers; "mlp_per_parameter" is the perceptron that sees parameters.
        hidden_size: Range of the width, multiples of 4.
        num_layers: Range of the number of layers, or of the graph's rounds of messages.
        num_heads: Numbers of heads of attention.
        sequence_length: Range of the steps that the Transformer looks back.
        memory_size: Range of the gradients that the memory holds.
        activations: Activations of the perceptrons "mlp".
        time_features: Whether it is searched if the controller sees how far a run is.
        mixes: Sets of directions that are mixed in: names joined by "+", or "none".
        bases: Names of base genomes in the catalog.
        base_lr: Range of the base's learning rate, drawn on a logarithmic scale.
        schedules: Schedules of the base: "constant", "cosine", "warm-up and cosine".
        estimators: Estimators of the meta-gradient.
        pairs: Range of the antithetic pairs, on a logarithmic scale.
        truncation: Range of the inner steps of an outer step, multiples of 5.
        perturbation: Range of the perturbations of evolution strategies, logarithmic.
        outer_lr: Range of the learning rate of meta-parameters, logarithmic.

    Raises:
        ValueError: If a name is unknown.

    Example:
        >>> import optuna
        >>> suggest_learned_optimizer(optuna.create_study().ask(), kinds="lstm").kind
        'lstm'
    """
    _check(kinds, KINDS, "kinds")
    _check(schedules or (), _SCHEDULES, "schedules")
    _check(bases, tuple(catalog), "bases")
    kind = str(_choice(trial, "kind", kinds))
    settings: dict[str, Any] = {}

    def whole(name: str, span: WholeRange, *, key: str = "", step: int = 1) -> None:
        if span:
            settings[key or name] = trial.suggest_int(name, *span, step=step)

    whole("hidden_size", hidden_size, step=_WIDTH_STEP)
    whole("num_layers", num_layers, key="num_rounds" if kind == "graph" else "")
    if kind == "transformer":
        if num_heads:
            settings["num_heads"] = _choice(trial, "num_heads", num_heads)
        whole("sequence_length", sequence_length)
    if kind == "memory":
        whole("memory_size", memory_size)
        settings["read"] = _choice(trial, "memory_read", ("attention", "priority"))
    if kind in ("mlp", "mlp_per_parameter") and activations:
        settings["activation"] = _choice(trial, "activation", activations)
    if kind == "mlp_per_parameter":
        settings["per_parameter"] = True
    elif time_features:
        settings["uses_total_steps"] = _choice(trial, "uses_total_steps", (True, False))
    if mixes and kind != "lstm":  # its direction is its own
        names = str(_choice(trial, "mixes", mixes))
        settings["mixes"] = [] if names == "none" else names.split("+")
    genome = _base(trial, bases, base_lr, schedules)
    outer: dict[str, Any] = {"estimator": _choice(trial, "estimator", estimators)}
    if pairs:
        outer["pairs"] = trial.suggest_int("pairs", *pairs, log=True)
    if truncation and outer["estimator"] != "full_es":
        outer["truncation"] = trial.suggest_int("truncation", *truncation, step=5)
    if perturbation and outer["estimator"] != "truncated_backprop":
        outer["perturbation"] = trial.suggest_float("perturbation", *perturbation, log=True)
    if outer_lr:
        outer["lr"] = trial.suggest_float("outer_lr", *outer_lr, log=True)
    kind = "mlp" if kind == "mlp_per_parameter" else kind
    return MetaTrainingConfig(kind=kind, settings=settings, genome=genome, **outer)


def learned_optimizer_space(trial: "BaseTrial", **options: Any) -> MetaTrainingConfig:
    """Suggest a learned optimizer; the same as `suggest_learned_optimizer`.

    Args:
        trial: An Optuna trial.
        options: Options of `suggest_learned_optimizer`.
    """
    return suggest_learned_optimizer(trial, **options)


# a study checks a spec's options by this
learned_optimizer_space.__signature__ = inspect.signature(suggest_learned_optimizer)  # type: ignore[attr-defined]


def genome_or_learned_space(
    trial: "BaseTrial",
    *,
    rules: str | Sequence[str] = _RULES,
    controllers: str | Sequence[str] = (),
    controller_lr: Range = (0.1, 10.0),
    genome: Mapping[str, Any] | None = None,
    learned: Mapping[str, Any] | None = None,
    horizon: int | None = None,
) -> TrainingConfig | MetaTrainingConfig:
    """Suggest a genome, a trained controller, or a controller that is meta-trained by the trial.

    Genomes have the parameters of `suggest_genome`, so that a study of them can be started from.

    Args:
        trial: An Optuna trial.
        rules: Some of "genome", "controller" and "learned". The last one goes with objectives
            that meta-train ("meta_loss"), the others with all that train optimizers.
        controllers: Names of the package's controllers, or folders; none: there are none to
            choose from.
        controller_lr: Range of what a controller's learning rate is multiplied by, logarithmic.
        genome: Options of `suggest_genome`.
        learned: Options of `suggest_learned_optimizer`.
        horizon: Steps of one training run; recorded in genomes.

    Raises:
        ValueError: If a name is unknown, or nothing is left to choose from.

    Example:
        >>> import optuna
        >>> trial = optuna.create_study().ask()
        >>> config = genome_or_learned_space(trial, rules=["genome", "learned"])
    """
    _check(rules, _RULES, "rules")
    known = [rules] if isinstance(rules, str) else list(rules)
    if not controllers:
        known = [rule for rule in known if rule != "controller"]
    if not known:
        raise ValueError('`rules` of "controller" needs `controllers`: names or folders.')
    rule = _choice(trial, "rule", known)
    if rule == "genome":
        options = {k: _plain(v) for k, v in (genome or {}).items()}
        return TrainingConfig(genome=suggest_genome(trial, horizon=horizon, **options))
    if rule == "learned":
        options = {k: _plain(v) for k, v in (learned or {}).items()}
        return suggest_learned_optimizer(trial, **options)
    name = str(_choice(trial, "controller", controllers))
    lr = trial.suggest_float("controller_lr", *controller_lr, log=True) if controller_lr else 1.0
    cosine = bool(trial.suggest_categorical("controller_cosine", (False, True)))
    return TrainingConfig(optimizer=ControllerConfig(controller=name, lr=lr, cosine=cosine))


def _base(
    trial: "BaseTrial",
    bases: str | Sequence[str],
    base_lr: Range,
    schedules: str | Sequence[str],
) -> Genome:
    base = catalog[str(_choice(trial, "base", bases))]
    changes: dict[str, Any] = {}
    if base_lr:
        changes["lr"] = trial.suggest_float("base_lr", *base_lr, log=True)
    if schedules:
        schedule = str(_choice(trial, "base_schedule", schedules))
        changes |= {"decay": None, "warmup_share": 0.0}
        changes["use_cosine_decay"] = "cosine" in schedule
        changes["use_warmup"] = "warm-up" in schedule
        changes["warmup_steps"] = 5  # runs of meta-training are short
    return dataclasses.replace(base, **changes)


def _choice(trial: "BaseTrial", name: str, choices: Any) -> Any:
    """Return one of the choices; where there is but one, nothing is asked."""
    found = [choices] if isinstance(choices, str) else list(choices)
    return found[0] if len(found) == 1 else trial.suggest_categorical(name, found)


def _check(names: str | Sequence[str], known: Sequence[str], what: str) -> None:
    found = [names] if isinstance(names, str) else list(names)
    if unknown := [name for name in found if name not in known]:
        raise ValueError(
            f"`{what}` must be some of {', '.join(known)}, got {str(unknown[0])[:40]!r}."
        )


def _plain(value: Any) -> Any:
    """Return ranges of a table as tuples: TOML and JSON know lists only."""
    return tuple(value) if isinstance(value, list) else value

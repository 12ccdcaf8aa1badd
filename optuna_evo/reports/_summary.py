"""A study at a glance, computed before anything is drawn."""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any
from typing import NamedTuple

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.config import EstimatorConfig
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.metrics import ALL_METRICS


__all__ = ["best_trials", "Generation", "generation_of", "StudySummary", "summarise"]

_GENERATION_SUFFIX = ":generation"


class Generation(NamedTuple):
    """The members of one generation: how many, and how good the finished ones are."""

    number: int
    n_trials: int
    n_pruned: int
    n_diverged: int
    best: float
    median: float


class StudySummary(NamedTuple):
    """A study at a glance.

    `n_reused` trials took the result of an equal one. `accuracies` maps each task to the best
    trial's accuracies, one for each seed. `generations` is empty for samplers without generations.
    `training` names what is set beside the genome, `notes` the best trial's metrics and weights.
    """

    name: str
    direction: str
    counts: Mapping[str, int]
    n_reused: int
    best: FrozenTrial | None
    equation: str
    training: str
    notes: str
    fingerprint: str
    accuracies: Mapping[str, list[float]]
    generations: list[Generation]


def summarise(
    study: optuna.Study, configure: Callable[[FrozenTrial], TrainingConfig | EstimatorConfig]
) -> StudySummary:
    """Summarise a study.

    Args:
        study: The study.
        configure: Its search space, which rebuilds what a trial trained with.
    """
    trials = study.get_trials(deepcopy=False)
    counts = {state.name.lower(): 0 for state in TrialState}
    for trial in trials:
        counts[trial.state.name.lower()] += 1
    ranked = best_trials(study, 1)
    best = ranked[0] if ranked else None
    config = configure(best) if best else None
    genome = config.genome if isinstance(config, TrainingConfig) else None
    return StudySummary(
        name=study.study_name,
        direction=study.direction.name.lower(),
        counts=counts,
        n_reused=sum(REUSED_FROM.is_in(trial.user_attrs) for trial in trials),
        best=best,
        equation=genome.equation() if genome else "",
        training=_training(config) if config else "",
        notes=_notes(best.user_attrs) if best else "",
        fingerprint=(genome or config).fingerprint() if config else "",
        accuracies=best.user_attrs.get("accuracies", {}) if best else {},
        generations=_generations(study, trials),
    )


def _training(config: TrainingConfig | EstimatorConfig) -> str:
    """Describe what a configuration sets beside its genome; empty if nothing."""
    if isinstance(config, EstimatorConfig):
        settings = [f"{key} {value:.4g}" for key, value in config.params.items()]
        return ", ".join([config.estimator, *settings])
    parts = [f"batch size {config.batch_size}"] if config.batch_size else []
    parts += [f"{config.epochs:.4g} epochs"] if config.epochs else []
    parts += [f"{key} {value:.4g}" for key, value in config.model.items()]
    if isinstance(config, SegmentConfig):
        parts += [f"gradient norm ≤ {config.clip_norm:.4g}"] if config.clip_norm else []
        parts += [f"sparsity {config.sparsity:.4g}"] if config.sparsity else []
    return ", ".join(parts)


def _notes(attrs: Mapping[str, Any]) -> str:
    """Name the metrics that a trial reached, and the weights its model started from."""
    parts = [f"{name} {attrs[name]:.4g}" for name in ALL_METRICS if name in attrs]
    return ", ".join([*parts, *([attrs["weights"]] if "weights" in attrs else [])])


def best_trials(study: optuna.Study, n: int) -> list[FrozenTrial]:
    """Return the `n` best complete trials, the best first, the earlier one of equals first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    finite = [t for t in trials if t.value is not None and math.isfinite(t.value)]
    sign = _sign(study)
    return sorted(finite, key=lambda t: (sign * (t.value or 0.0), t.number))[:n]


def generation_of(trial: FrozenTrial) -> int | None:
    """Return the generation that a sampler wrote on the trial, None if there is none."""
    for key, value in trial.system_attrs.items():
        if key.endswith(_GENERATION_SUFFIX) and isinstance(value, int):
            return value
    return None


def _generations(study: optuna.Study, trials: list[FrozenTrial]) -> list[Generation]:
    members: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        number = generation_of(trial)
        if number is not None and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            members.setdefault(number, []).append(trial)
    return [_generation(study, number, members[number]) for number in sorted(members)]


def _generation(study: optuna.Study, number: int, trials: list[FrozenTrial]) -> Generation:
    values = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    pick: Any = np.min if _sign(study) > 0 else np.max
    return Generation(
        number=number,
        n_trials=len(trials),
        n_pruned=sum(t.state == TrialState.PRUNED for t in trials),
        n_diverged=sum(DIVERGED.is_in(t.user_attrs) for t in trials),
        best=float(pick(values)) if values else math.nan,
        median=float(np.median(values)) if values else math.nan,
    )


def _sign(study: optuna.Study) -> int:
    """Return what to multiply values by so that sorting puts the best first."""
    return 1 if study.direction == StudyDirection.MINIMIZE else -1

"""A study at a glance, computed before anything is drawn."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.config import Config
from optuna_evo.config import EstimatorConfig
from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.metrics import ALL_METRICS
from optuna_evo.samplers import is_feasible
from optuna_evo.samplers import rank_of


__all__ = [
    "best_trials",
    "Generation",
    "generation_of",
    "settings_of",
    "StudySummary",
    "summarise",
]

_GENERATION_SUFFIX = ":generation"


class Generation(NamedTuple):
    """The members of one generation: how many, and how good the complete feasible ones are."""

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
    `training` names what is set beside the genome, or the parameters where there is none; `notes`
    the best trial's metrics and weights; `last_error` the last trial that failed, and why.
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
    last_error: str


def summarise(study: optuna.Study, configure: Callable[[FrozenTrial], Config]) -> StudySummary:
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
    optimizer = config.optimizer if isinstance(config, TrainingConfig) else None
    return StudySummary(
        name=study.study_name,
        direction=study.direction.name.lower(),
        counts=counts,
        n_reused=sum(REUSED_FROM.is_in(trial.user_attrs) for trial in trials),
        best=best,
        equation=optimizer.equation() if optimizer else "",
        training=settings_of(config, best.params) if best and config else "",
        notes=_notes(best.user_attrs) if best else "",
        fingerprint=(optimizer or config).fingerprint() if config else "",
        accuracies=best.user_attrs.get("accuracies", {}) if best else {},
        generations=_generations(study, trials),
        last_error=_last_error(trials),
    )


def _last_error(trials: Sequence[FrozenTrial]) -> str:
    """Say which trial failed last with a reason; empty if none did."""
    failed = [t for t in trials if t.state.is_finished() and ERROR.is_in(t.user_attrs)]
    return f"trial {failed[-1].number}: {ERROR.read(failed[-1].user_attrs)}" if failed else ""


def settings_of(config: Config, params: Mapping[str, Any]) -> str:
    """Say what a configuration sets beside its genome; the parameters where it has none."""
    if isinstance(config, EstimatorConfig):
        settings = [f"{key} {value:.4g}" for key, value in config.params.items()]
        return ", ".join([config.estimator, *settings])
    if not isinstance(config, TrainingConfig):
        width = max(map(len, params), default=0)
        shown = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in params.items()}
        return "\n".join(f"{key:{width}}  {value}" for key, value in shown.items())
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
    """Return the `n` best complete trials, the best first, the earlier one of equals first.

    As for `study.best_trial`, a trial that violates a constraint is none of them.
    """
    maximize = study.direction == StudyDirection.MAXIMIZE
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted((rank_of(trial, maximize=maximize), trial.number) for trial in trials)
    numbers = [n for rank, n in ranked if rank.violation == 0.0 and math.isfinite(rank.loss)]
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in numbers[:n]]


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
    complete = [t for t in trials if t.state == TrialState.COMPLETE and is_feasible(t)]
    values = [t.value for t in complete if t.value is not None]
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

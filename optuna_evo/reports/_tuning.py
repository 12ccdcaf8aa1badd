"""The course of a tuning study, computed from its trials for four views."""

from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.reports._summary import generation_of
from optuna_evo.samplers import cost_of
from optuna_evo.samplers import is_feasible
from optuna_evo.surrogates import MetaLearner


__all__ = ["MIN_TRIALS_TO_PREDICT", "tuning_course", "TuningCourse"]

_FOLDS = 5
MIN_TRIALS_TO_PREDICT = 15  # so that every fold learns from at least 12 trials
_BY_TASK = "accuracy_"
_BANDIT = "thompson"  # what HybridSampler writes for its bandit phase begins with this


class TuningCourse(NamedTuple):
    """A tuning study, trial by trial.

    Args:
        numbers: Numbers of the complete trials.
        values: Their values.
        losses: Their losses, on validation rows where recorded, else on training rows, else NaN.
        tasks: Accuracies by task, each with one for each trial, NaN where none was recorded; for
            studies that train on several tasks or value something else than an accuracy.
        is_bandit: Whether the bandit proposed them.
        generations: Values by generation, those of the genetic phase only.
        best_so_far: The best feasible value up to each trial; NaN before there is one.
        predicted: Cross-validated predictions of a meta-learner, on its own scale, higher is
            better; empty with too few trials.
        correlation: Spearman's rank correlation of predictions and values, positive if good; NaN
            without predictions.
        better: "higher" or "lower".
        spent: What had been spent on trials up to each, where cost counts; empty: it does not.
        cost: What it is: "seconds", or a user attribute.
    """

    numbers: list[int]
    values: list[float]
    losses: list[float]
    tasks: dict[str, list[float]]
    is_bandit: list[bool]
    generations: dict[int, list[float]]
    best_so_far: list[float]
    predicted: list[float]
    correlation: float
    better: str
    spent: list[float]
    cost: str

    @property
    def progress(self) -> list[float]:
        """What the best value is drawn against: what was spent, or the numbers of the trials."""
        return [float(f"{x:.6g}") for x in self.spent] or [float(n) for n in self.numbers]

    @property
    def progress_name(self) -> str:
        """What `progress` is, for an axis."""
        return self.cost if self.spent else "trial"


def tuning_course(
    study: optuna.Study, *, predict: bool = True, cost: str | None = None
) -> TuningCourse:
    """Compute the course of a study from its complete trials.

    Args:
        study: The study.
        predict: Whether a meta-learner predicts them, which takes seconds for 1,000 trials.
        cost: What trials cost, see `optuna_evo.spec.ObjectiveSpec`; None: all the same.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [t for t in complete if t.value is not None and math.isfinite(t.value)]
    values = [float(t.value) for t in trials if t.value is not None]
    maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
    is_bandit = [str(PROPOSED_BY.read(t.user_attrs, "")).startswith(_BANDIT) for t in trials]
    generations: dict[int, list[float]] = {}
    for trial, value, bandit in zip(trials, values, is_bandit, strict=True):
        generation = generation_of(trial)
        # a trial of the bandit may carry a generation, but it is no member of one
        if generation is not None and not bandit:
            generations.setdefault(generation, []).append(value)
    # a meta-learner minimises: of a maximised study it gets the negative values
    losses = [-v if maximize else v for v in values]
    predicted = _predicted(trials, losses) if predict else []
    pick = np.fmax if maximize else np.fmin  # these ignore NaN where there is another value
    counted = [v if is_feasible(t) else math.nan for t, v in zip(trials, values, strict=True)]
    course = pick.accumulate(np.array(counted))
    goodness = np.array(values) if maximize else -np.array(values)
    return TuningCourse(
        numbers=[t.number for t in trials],
        values=values,
        losses=[_loss(trial) for trial in trials],
        tasks=_accuracies(trials),
        is_bandit=is_bandit,
        generations=dict(sorted(generations.items())),
        best_so_far=[float(v) for v in course],
        predicted=predicted,
        correlation=_rank_correlation(predicted, goodness.tolist()) if predicted else math.nan,
        better="higher" if maximize else "lower",
        spent=[] if cost is None else _spent(study, trials, cost),
        cost=cost or "",
    )


def _spent(study: optuna.Study, trials: Sequence[FrozenTrial], cost: str) -> list[float]:
    """Return the cost of all trials up to each of these: pruned and failed ones cost as well."""
    every = study.get_trials(deepcopy=False)
    total = np.cumsum(np.nan_to_num([cost_of(trial, cost) for trial in every]))
    place = {trial.number: i for i, trial in enumerate(every)}
    return [float(total[place[trial.number]]) for trial in trials]


def _loss(trial: FrozenTrial) -> float:
    attrs = trial.user_attrs
    found = attrs.get("valid_loss", attrs.get("train_loss", math.nan))
    return float(found) if isinstance(found, int | float) else math.nan


def _accuracies(trials: Sequence[FrozenTrial]) -> dict[str, list[float]]:
    """Return what was recorded as `accuracy_TASK`."""
    keys = {key for t in trials for key in t.user_attrs if key.startswith(_BY_TASK)}
    return {
        key.removeprefix(_BY_TASK): [float(t.user_attrs.get(key, math.nan)) for t in trials]
        for key in sorted(keys)
    }


def _predicted(trials: Sequence[FrozenTrial], losses: Sequence[float]) -> list[float]:
    """Predict each trial by a learner trained on the other folds; higher is better.

    Fold k holds every fifth trial, so that each fold has trials of all phases of the search.
    """
    if len(trials) < MIN_TRIALS_TO_PREDICT:
        return []
    space = {name: d for trial in trials for name, d in trial.distributions.items()}
    predicted = np.empty(len(trials))
    folds = np.arange(len(trials)) % _FOLDS
    for fold in range(_FOLDS):
        seen = np.flatnonzero(folds != fold).tolist()
        unseen = np.flatnonzero(folds == fold).tolist()
        learned = MetaLearner().fit(
            [trials[i].params for i in seen], [losses[i] for i in seen], space
        )
        predicted[unseen] = -learned.predict([trials[i].params for i in unseen]).mean
    return [float(p) for p in predicted]


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    # undefined, and a warning of scipy's, where one side is constant
    if len(set(a)) < 2 or len(set(b)) < 2:
        return math.nan
    return float(spearmanr(a, b).statistic)

"""Small studies to start from: a bowl over two numbers and a category."""

from collections.abc import Callable
import math

import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import Trial


def bowl(center: float) -> Callable[[Trial], float]:
    """Return an objective with its minimum 0 at lr = center, depth = 3, kind = "b"."""

    def objective(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        depth = trial.suggest_int("depth", 1, 8)
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        far = abs(math.log(lr) - math.log(center)) / 3.0 + abs(depth - 3) / 4.0
        return far + {"a": 1.0, "b": 0.0, "c": 2.0}[kind]

    return objective


def old(
    name: str = "old",
    objective: Callable[[Trial], float] | None = None,
    *,
    direction: str = "minimize",
    n_trials: int = 30,
    storage: str | None = None,
) -> Study:
    """Return a finished study."""
    study = optuna.create_study(
        study_name=name, sampler=TPESampler(seed=0), direction=direction, storage=storage
    )
    study.optimize(objective or bowl(1e-3), n_trials=n_trials)
    return study


def started(
    sampler: BaseSampler, objective: Callable[[Trial], float], n_trials: int, **settings: str
) -> Study:
    """Return a study that was optimised with a sampler."""
    settings = {"study_name": "new"} | settings
    study = optuna.create_study(sampler=sampler, **settings)  # type: ignore[arg-type]
    study.optimize(objective, n_trials=n_trials)
    return study

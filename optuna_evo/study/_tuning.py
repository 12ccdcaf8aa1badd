"""The hybrid tuner in one call: genetic search, Thompson bandit, final training, picture."""

import math
from pathlib import Path
from typing import Any
from typing import NamedTuple

import optuna
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage

from optuna_evo.errors import UsageError
from optuna_evo.reports import draw_tuning_course
from optuna_evo.reports import tuning_course
from optuna_evo.search import Listener
from optuna_evo.spec import StudySpec
from optuna_evo.study._run import best_trial
from optuna_evo.study._run import run_study
from optuna_evo.study._run import train_best
from optuna_evo.study._stored import create_study


__all__ = ["smart_hyperparameter_tuning", "TuningResult"]


class TuningResult(NamedTuple):
    """What a tuning found.

    Args:
        best_params: Parameters of the best trial.
        best_score: Its validation accuracy.
        test_accuracy: Accuracy of the final training on the test split; NaN without one.
        study: The Optuna study with all trials.
    """

    best_params: dict[str, Any]
    best_score: float
    test_accuracy: float
    study: optuna.Study


def smart_hyperparameter_tuning(
    *,
    max_iters: int = 25,
    genetic_gens: int = 3,
    population_size: int = 10,
    task: str = "mnist_alexnet",
    space: dict[str, Any] | None = None,
    epochs: float = 1.0,
    final_epochs: float = 10.0,
    seed: int = 0,
    storage: BaseStorage | None = None,
    study_name: str = "smart_hyperparameter_tuning",
    device: str = "auto",
    data_dir: Path | None = None,
    picture: Path | None = None,
    listener: Listener | None = None,
) -> TuningResult:
    """Tune learning rate, batch size, dropout and weight decay of a task.

    A genetic phase of `population_size * genetic_gens` trials explores, a Thompson bandit of
    `max_iters` trials refines, trainings stop when their curve is flat, and the best configuration
    is trained once more on all rows but the test's. The same as
    `optuna_evo study run studies/hybrid_alexnet_mnist.toml`. Called again with the same storage
    and arguments it goes on where it stopped.

    Args:
        max_iters: Trials of the bandit, >= 0.
        genetic_gens: Generations of the genetic phase, >= 1.
        population_size: Trials of a generation, >= 2.
        task: A task with a model that takes `dropout`, or an own one as "module:attribute".
        space: Keyword arguments of `training_space`, such as `{"lr": (1e-5, 1e-3)}`.
        epochs: Passes over the training rows of a trial, > 0.
        final_epochs: Passes of the final training; 0: none.
        seed: Seed of sampler and trainings.
        storage: Where the study lives; None: in memory.
        study_name: Its name there.
        device: "auto", "cpu", "cuda", ….
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        picture: PNG file to write the course of the tuning to; None: none.
        listener: Follows reports and finished trials.

    Raises:
        UsageError: If an argument is out of range.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> from optuna_evo import smart_hyperparameter_tuning
        >>> result = smart_hyperparameter_tuning(max_iters=25, genetic_gens=3)
        >>> result.best_params, result.best_score, result.test_accuracy
    """
    if max_iters < 0:
        raise UsageError(f"`max_iters` must be at least 0, got {max_iters}.")
    sampler = {"population_size": population_size, "n_generations": genetic_gens}
    spec = StudySpec.from_dict(
        {
            "name": study_name,
            "tasks": [task],
            "n_trials": population_size * genetic_gens + max_iters,
            "seed": seed,
            "space": {"name": "training", **(space or {})},
            "sampler": {"name": "hybrid", **sampler},
            "pruner": {"name": "flatness", "window": 5, "tolerance": 0.005, "patience": 3},
            "trainer": {"epochs": epochs},
            "objective": {"name": "accuracy", "reports": 20},
            "final": {"epochs": final_epochs},
        }
    )
    stored = create_study(spec, storage or InMemoryStorage(), exist_ok=True)
    run_study(stored, device=device, data_dir=data_dir, listener=listener)
    best = best_trial(stored)
    accuracy = math.nan
    if final_epochs:
        accuracy = train_best(stored, device=device, data_dir=data_dir)
    if picture is not None:
        draw_tuning_course(tuning_course(stored.study), picture)
    return TuningResult(best.params, float(best.value or 0.0), accuracy, stored.study)

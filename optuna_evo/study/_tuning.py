"""The hybrid tuner in one call: genetic search, Thompson bandit, final training, picture."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any
import warnings

import optuna
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage
from rich.console import Console

from optuna_evo.errors import UsageError
from optuna_evo.reports import draw_tuning_course
from optuna_evo.reports import SearchProgress
from optuna_evo.reports import tuning_course
from optuna_evo.search import Listener
from optuna_evo.spec import shown
from optuna_evo.spec import StudySpec
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_space
from optuna_evo.study._parts import check_parts
from optuna_evo.study._parts import resolve_spec
from optuna_evo.study._run import best_trial
from optuna_evo.study._run import final_metrics
from optuna_evo.study._run import run_study
from optuna_evo.study._run import train_best
from optuna_evo.study._stored import create_study


__all__ = [
    "smart_hyperparameter_tuning",
    "train_model_with_params",
    "TrainedModel",
    "TuningResult",
]

PICTURE = Path("hybrid_tuning_results.png")
# What the parameters are called elsewhere, in the order of the tuples that are used there.
_NAMES = {
    "learning_rate": "lr",
    "batch_size": "batch_size",
    "dropout_rate": "dropout",
    "weight_decay": "weight_decay",
}


@dataclass(frozen=True)
class TuningResult:
    """What a tuning found; unpacks as `best_params, best_score, best_accuracy`.

    Args:
        best_params: Parameters of the best trial.
        best_score: Minus its loss on the validation rows, so that higher is better; NaN if the
            loss was not recorded.
        best_accuracy: Its validation accuracy in percent.
        test_accuracy: Accuracy of the final training on the test split, in 0..1; NaN without one.
        test_loss: Its mean loss there; NaN without one.
        study: The Optuna study with all trials; `study.best_value` is the accuracy in 0..1.

    Example:
        >>> best_params, best_score, best_accuracy = smart_hyperparameter_tuning(max_iters=25)
        >>> print(f"{-best_score:.4f} {best_accuracy:.2f}%")
    """

    best_params: dict[str, Any]
    best_score: float
    best_accuracy: float
    test_accuracy: float
    test_loss: float
    study: optuna.Study

    def __iter__(self) -> Iterator[Any]:
        """Yield the three that callers unpack."""
        return iter((self.best_params, self.best_score, self.best_accuracy))


@dataclass(frozen=True)
class TrainedModel:
    """What a training came to on test data; unpacks as `score, accuracy`.

    Args:
        score: Minus the mean loss, so that higher is better.
        accuracy: In percent.
        train_accuracies: In percent, after each epoch, on 1,000 of the rows trained on.
    """

    score: float
    accuracy: float
    train_accuracies: Sequence[float]

    @property
    def loss(self) -> float:
        """The mean loss."""
        return -self.score

    def __iter__(self) -> Iterator[float]:
        """Yield the two that callers unpack."""
        return iter((self.score, self.accuracy))


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
    picture: Path | str | None = PICTURE,
    listener: Listener | None = None,
    progress: bool = True,
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
        listener: Follows reports and finished trials, in place of the progress.
        progress: Whether a bar, or lines where there is no terminal, tell how far it is.

    Raises:
        UsageError: If an argument is out of range.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> from optuna_evo import smart_hyperparameter_tuning
        >>> best_params, best_score, best_accuracy = smart_hyperparameter_tuning(
        ...     max_iters=25, genetic_gens=3
        ... )
    """
    if max_iters < 0:
        raise UsageError(f"`max_iters` must be at least 0, got {max_iters}.")
    sampler = {"population_size": population_size, "n_generations": genetic_gens}
    spec = _spec(
        {
            "name": study_name,
            "tasks": [task],
            "n_trials": population_size * genetic_gens + max_iters,
            "seed": seed,
            "space": {"name": "training", **(space or {})},
            "sampler": {"name": "hybrid", **sampler},
            "pruner": {"name": "flatness", "window": 5, "tolerance": 0.005, "patience": 3},
            "trainer": {"epochs": epochs},
            "final": {"epochs": final_epochs},
        }
    )
    stored = create_study(spec, storage or InMemoryStorage(), exist_ok=True)
    with contextlib.ExitStack() as stack:
        if listener is None and progress:
            bar = SearchProgress(
                stored.study, n_trials=spec.n_trials, console=Console(stderr=True)
            )
            listener = stack.enter_context(bar)
        run_study(stored, device=device, data_dir=data_dir, listener=listener)
    best = best_trial(stored)
    accuracy, loss = math.nan, math.nan
    if final_epochs:
        accuracy = train_best(stored, device=device, data_dir=data_dir)
        loss = final_metrics(stored).get("loss", math.nan)
    if picture is not None:
        draw_tuning_course(tuning_course(stored.study), Path(picture))
    return TuningResult(
        best_params=best.params,
        best_score=-float(best.user_attrs.get("valid_loss", math.nan)),
        best_accuracy=100.0 * float(best.value or 0.0),
        test_accuracy=accuracy,
        test_loss=float(loss),
        study=stored.study,
    )


def train_model_with_params(
    params: Mapping[str, Any] | Sequence[float],
    max_epochs: float = 10.0,
    *,
    task: str = "mnist_alexnet",
    cosine: bool = True,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
) -> TrainedModel:
    """Train once with given hyperparameters on all rows but the test's, and measure those.

    Args:
        params: `best_params` of a tuning, also under the names learning_rate, batch_size,
            dropout_rate and weight_decay, or their values in this order.
        max_epochs: Passes over the rows, > 0.
        task: As in `smart_hyperparameter_tuning`.
        cosine: Whether the learning rate decays along a cosine.
        seed: Seed of the training.
        device: "auto", "cpu", "cuda", ….
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.

    Raises:
        UsageError: If a parameter is missing, unknown or out of range.
        DataError: If the data are not there and cannot be had.

    Example:
        >>> score, accuracy = train_model_with_params(best_params, max_epochs=10)
    """
    from optuna_evo.objectives import train_finally  # loads torch, which tables do without

    spec = _spec(
        {"name": "training", "tasks": [task], "seed": seed, "space": {"name": "training"}}
    )
    spec = resolve_spec(spec)
    check_parts(spec)
    trial = optuna.trial.FixedTrial(_named(params))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values need not be in the ranges of a search
            config = build_space(spec)(trial)
    except ValueError as error:
        raise UsageError(
            f"`params` must have {', '.join(_NAMES.values())}, got {sorted(trial.params)} of "
            f"{shown(params)}: {error}"
        ) from error
    objective: Any = build_objective(spec, device=device, data_dir=data_dir)
    if not max_epochs > 0:
        raise UsageError(f"`max_epochs` must be above 0, got {max_epochs}.")
    trained = train_finally(config, objective, epochs=max_epochs, cosine=cosine, seed=seed)
    return TrainedModel(
        score=-trained.metrics.get("loss", math.nan),
        accuracy=100.0 * trained.metric,
        train_accuracies=[100.0 * value for value in trained.train_metrics],
    )


def _named(params: Mapping[str, Any] | Sequence[float]) -> dict[str, Any]:
    """Return parameters by our names."""
    if isinstance(params, Mapping):
        named = {_NAMES.get(name, name): value for name, value in params.items()}
    else:
        named = dict(zip(_NAMES.values(), params, strict=False))
    if "batch_size" in named:
        named["batch_size"] = round(named["batch_size"])
    return named


def _spec(table: Mapping[str, Any]) -> StudySpec:
    return StudySpec.from_dict({"objective": {"name": "accuracy", "reports": 20}, **table})

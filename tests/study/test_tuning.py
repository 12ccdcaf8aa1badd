from pathlib import Path

from optuna.trial import TrialState
import pytest

from optuna_evo import smart_hyperparameter_tuning
from optuna_evo import train_model_with_params
from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.errors import UsageError
from optuna_evo.search import open_storage


SMALL = {
    "task": "digits",
    "max_iters": 3,
    "genetic_gens": 2,
    "population_size": 3,
    "epochs": 1.0,
    "final_epochs": 3.0,
    "device": "cpu",
}


def test_one_call_tunes_trains_measures_and_draws(tmp_path: Path) -> None:
    picture = tmp_path / "course.png"
    result = smart_hyperparameter_tuning(**SMALL, picture=picture)  # type: ignore[arg-type]
    assert set(result.best_params) == {"lr", "weight_decay", "dropout", "batch_size"}
    best_params, best_score, best_accuracy = result
    assert best_accuracy == 100 * result.study.best_value > 30
    assert best_score == -result.study.best_trial.user_attrs["valid_loss"] < 0
    assert best_params == result.best_params and 0 < result.test_loss < 2.3
    assert 0.5 < result.test_accuracy <= 1.0
    proposed = [PROPOSED_BY.read(t.user_attrs) for t in result.study.get_trials()]
    assert proposed[0] == "genetic 0: design" and proposed[-1].startswith("thompson")
    assert len(proposed) == 9 and picture.exists()


def test_a_training_with_given_parameters_unpacks_as_score_and_accuracy() -> None:
    by_names = {"learning_rate": 0.01, "batch_size": 32, "weight_decay": 1e-4, "dropout_rate": 0.2}
    options = {"task": "digits", "max_epochs": 3, "device": "cpu"}
    score, accuracy = trained = train_model_with_params(by_names, **options)  # type: ignore[arg-type]
    assert score == -trained.loss < 0 and 80 < accuracy <= 100
    assert len(trained.train_accuracies) == 3 and 80 < trained.train_accuracies[-1] <= 100
    in_order = train_model_with_params((0.01, 32, 0.2, 1e-4), **options)  # type: ignore[arg-type]
    assert list(in_order) == [score, accuracy]
    with pytest.raises(UsageError, match="`params` must have lr, batch_size"):
        train_model_with_params({"lr": 0.1}, **options)  # type: ignore[arg-type]


def test_the_course_is_drawn_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = SMALL | {"max_iters": 0, "genetic_gens": 1, "population_size": 2, "final_epochs": 0}
    smart_hyperparameter_tuning(**small)  # type: ignore[arg-type]
    assert (tmp_path / "hybrid_tuning_results.png").exists()


def test_a_second_call_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")

    class Stop:
        def started(self, trial_number: int) -> None:
            pass

        def reported(self, trial_number: int, report: int, n_reports: int) -> None:
            if trial_number == 4:
                raise KeyboardInterrupt

        def finished(self, trial: object) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        smart_hyperparameter_tuning(**SMALL, storage=storage, listener=Stop())  # type: ignore[arg-type]
    quiet = {"picture": None, "progress": False}
    result = smart_hyperparameter_tuning(**SMALL, **quiet, storage=storage)  # type: ignore[arg-type]
    whole = smart_hyperparameter_tuning(**SMALL, **quiet)  # type: ignore[arg-type]
    complete = result.study.get_trials(states=(TrialState.COMPLETE,))
    assert [t.params for t in complete] == [t.params for t in whole.study.get_trials()]
    assert list(result) == list(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_iters": -1}, "`max_iters` must be at least 0, got -1"),
        ({"genetic_gens": 0}, "n_generations"),
        ({"task": "imagenet"}, "got 'imagenet'"),
        ({"epochs": 0.0}, "`trainer.epochs` must be greater than 0"),
    ],
)
def test_arguments_out_of_range_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        smart_hyperparameter_tuning(**(SMALL | change))  # type: ignore[arg-type]

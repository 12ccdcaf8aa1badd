from pathlib import Path

from optuna.trial import TrialState
import pytest

from optuna_evo import smart_hyperparameter_tuning
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
    assert result.best_score == result.study.best_value > 0.3
    assert 0.5 < result.test_accuracy <= 1.0
    proposed = [PROPOSED_BY.read(t.user_attrs) for t in result.study.get_trials()]
    assert proposed[0] == "genetic 0: random" and proposed[-1].startswith("thompson")
    assert len(proposed) == 9 and picture.exists()


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
    result = smart_hyperparameter_tuning(**SMALL, storage=storage)  # type: ignore[arg-type]
    whole = smart_hyperparameter_tuning(**SMALL)  # type: ignore[arg-type]
    complete = result.study.get_trials(states=(TrialState.COMPLETE,))
    assert [t.params for t in complete] == [t.params for t in whole.study.get_trials()]
    assert result[:3] == whole[:3]


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

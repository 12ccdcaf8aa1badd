"""How a study goes, read from its trials and heartbeats."""

from collections.abc import Iterator
import datetime
from pathlib import Path

import optuna
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest
from rich.console import Console

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import WORKER
from optuna_evo.search import open_storage
from optuna_evo.workers import status_panel
from optuna_evo.workers import study_status
from optuna_evo.workers import StudyStatus


pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")
NOW = datetime.datetime(2026, 1, 1, 12)
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    yield optuna.create_study(study_name="s", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


def ended(at: float, seconds: float, **options: object) -> FrozenTrial:
    """Return a trial that ended so many seconds after NOW."""
    state = options.pop("state", TrialState.COMPLETE)
    value = 1.0 if state == TrialState.COMPLETE else None
    trial = create_trial(state=state, value=value, **options)  # type: ignore[arg-type]
    trial.datetime_complete = NOW + at * SECOND
    trial.datetime_start = trial.datetime_complete - seconds * SECOND
    return trial


def text(status: StudyStatus) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(status_panel(status))
    return capture.get()


def test_speed_is_that_of_the_last_ten_minutes_of_work(study: optuna.Study) -> None:
    study.add_trial(ended(-10_000, 1, user_attrs={"optimizer_steps": 10**9}))
    study.add_trials([ended(30 * k, 30, user_attrs={"optimizer_steps": 60}) for k in range(21)])
    status = study_status(study, 100)
    assert status.trials_per_minute == pytest.approx(60 * 21 / 600)
    assert status.steps_per_second == pytest.approx(60 * 21 / 600)
    assert status.seconds_left is None  # nobody works on it
    assert status.n_finished == 22 and status.best == 1.0
    assert "22 of 100 trials, best 1.0000" in text(status)


def test_a_study_without_trials_has_no_speed(study: optuna.Study) -> None:
    status = study_status(study, 5)
    assert status.trials_per_minute is None and status.workers == []
    assert "no trials" in text(status) and "speed not known yet" in text(status)


def test_failures_are_counted_by_cause_whatever_their_numbers(study: optuna.Study) -> None:
    for error in ("size 3 is not 4\nmore", "size 7 is not 8", "[/red]\x1b[31m", None):
        attrs = {} if error is None else {ERROR.key: error}
        study.add_trial(ended(0, 1, state=TrialState.FAIL, user_attrs=attrs))
    study.add_trial(ended(0, 1, user_attrs={DIVERGED.key: True}))
    status = study_status(study, 5)
    assert status.failures[0] == ("size … is not …", 2) and len(status.failures) == 3
    assert status.n_diverged == 1
    shown = text(status)
    assert "[/red]" in shown and "\x1b[31m" not in shown and "its worker died" in shown


def test_workers_are_alive_while_their_heartbeat_is_young(study: optuna.Study) -> None:
    for name in ("host:1", "host:1", "host:2", "host:3"):
        study.ask().set_user_attr(WORKER.key, name)
    storage = study._storage
    for trial in study.get_trials()[:3]:
        storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    with storage._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        old = "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00' WHERE trial_id = 3"
        connection.exec_driver_sql(old)
    first, third, second = study_status(study, 5).workers
    assert (first.name, first.trials, first.is_alive) == ("host:1", (0, 1), True)
    assert first.silent_s is not None and first.silent_s < 60
    assert (third.name, third.is_alive, third.silent_s) == ("host:3", True, None)
    assert (second.name, second.is_alive) == ("host:2", False)
    assert "2 workers alive, 1 silent" in text(study_status(study, 5))


def test_the_time_left_is_known_while_a_worker_is_alive(study: optuna.Study) -> None:
    study.add_trial(ended(0, 1))
    trial = study.ask()
    trial.set_user_attr(WORKER.key, "host:1")
    frozen = ended(0, 1)
    frozen.datetime_complete = datetime.datetime.now()
    frozen.datetime_start = frozen.datetime_complete - 10 * SECOND
    study.add_trial(frozen)
    status = study_status(study, 12)
    assert status.seconds_left == pytest.approx(10 * 10, rel=0.2)

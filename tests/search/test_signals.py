"""What becomes of the trials when a search is asked to end."""

from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
import signal
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.config import TrainingConfig
from optuna_evo.search import _signals
from optuna_evo.search import search
from tests.search.test_search import complete
from tests.search.test_search import new_study
from tests.search.test_search import Slope
from tests.search.test_search import SlopeObjective
from tests.search.test_search import space


class _Signalled(Slope):
    """Gets signals at one step of the training."""

    def __init__(self, lrs: Sequence[float], at: int, signals: Sequence[int]) -> None:
        super().__init__(lrs)
        self.at, self.signals = at, signals

    def advance(self) -> list[float]:
        values = super().advance()
        if self.step == self.at:
            for number in self.signals:
                signal.raise_signal(number)
        return values


class _SignalledObjective(SlopeObjective):
    def __init__(self, nth: int, at: int, *signals: int) -> None:
        super().__init__()
        self.nth, self.at, self.signals = nth, at, signals

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int) -> Slope:
        super().start(configs, repetition=repetition)
        lrs = self.started[-1][0]
        signals = self.signals if len(self.started) == self.nth else ()
        return _Signalled(lrs, self.at, signals)


@pytest.fixture(autouse=True)
def hears_ctrl_c() -> Iterator[None]:
    """Undo that a shell has its background processes ignore Ctrl-C, which the search respects."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.get_trials(deepcopy=False)]


def test_ctrl_c_finishes_trials_that_are_about_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = new_study(tmp_path)
    objective = _SignalledObjective(1, 2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="What was finished is stored"):
        search(study, space=space, objective=objective, n_trials=5, batch_size=2)
    assert states(study) == [TrialState.COMPLETE] * 2
    assert [r.getMessage().split(",")[0] for r in caplog.records] == [
        "Stopping after the trials that are being trained"
    ]


def test_ctrl_c_gives_trials_back_that_would_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_signals, "CHEAP_S", 0.0)
    study = new_study(tmp_path)
    objective = _SignalledObjective(2, 2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="2 went back to the queue"):
        search(study, space=space, objective=objective, n_trials=5, batch_size=2)
    assert states(study).count(TrialState.COMPLETE) == 2
    assert states(study)[-2:] == [TrialState.WAITING] * 2
    search(study, space=space, objective=SlopeObjective(), n_trials=5, batch_size=2)
    whole = new_study()
    search(whole, space=space, objective=SlopeObjective(), n_trials=4, batch_size=2)
    assert {t.params["lr"] for t in complete(study)} >= {t.params["lr"] for t in complete(whole)}


def test_the_first_report_is_not_waited_for(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="1 went back"):
        search(study, space=space, objective=_SignalledObjective(1, 1, signal.SIGINT), n_trials=5)
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]


def test_a_second_ctrl_c_ends_at_once_and_the_trial_is_taken_up_again(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    objective = _SignalledObjective(1, 2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="Stopped at once"):
        search(study, space=space, objective=objective, n_trials=2)
    search(study, space=space, objective=SlopeObjective(), n_trials=2)
    assert states(study).count(TrialState.COMPLETE) == 2
    assert TrialState.RUNNING not in states(study)


def test_sigterm_gives_trials_back_and_then_does_what_it_did_before(tmp_path: Path) -> None:
    study, seen = new_study(tmp_path), list[int]()

    def before(number: int, _: Any) -> None:
        seen.append(number)

    previous = signal.signal(signal.SIGTERM, before)
    try:
        with pytest.raises(SystemExit) as end:
            objective = _SignalledObjective(2, 3, signal.SIGTERM)
            search(study, space=space, objective=objective, n_trials=5, batch_size=2)
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert end.value.code == 143 and seen == [signal.SIGTERM]
    assert states(study).count(TrialState.WAITING) == 2
    assert states(study).count(TrialState.COMPLETE) == 2
    assert TrialState.RUNNING not in states(study)


def test_a_signal_while_trials_are_asked_for_waits_until_they_are(tmp_path: Path) -> None:
    class Asking(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            if trial.number == 1:
                signal.raise_signal(signal.SIGTERM)

    study = new_study(tmp_path, sampler=Asking(seed=1))
    with pytest.raises(SystemExit):
        search(study, space=space, objective=SlopeObjective(), n_trials=5, batch_size=3)
    assert states(study) == [TrialState.FAIL] * 3 + [TrialState.WAITING] * 3


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    search(new_study(), space=space, objective=SlopeObjective(), n_trials=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

from collections.abc import Mapping
from collections.abc import Sequence
import math
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.attributes import WORKER
from optuna_evo.config import TrainingConfig
from optuna_evo.rules import catalog
from optuna_evo.search import _leases as leases
from optuna_evo.search import open_storage
from optuna_evo.search import search


class Slope:
    """Each member climbs by `lr` a step; above 1 it diverges at step 2."""

    def __init__(self, lrs: Sequence[float]) -> None:
        self.step = 0
        self.lrs = list(lrs)

    def advance(self) -> list[float]:
        self.step += 1
        return [math.nan if lr > 1 and self.step > 1 else lr * self.step for lr in self.lrs]

    def drop(self, alive: Sequence[bool]) -> None:
        self.lrs = [lr for lr, stays in zip(self.lrs, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        return [{"lr_seen": lr} for lr in self.lrs]


class SlopeObjective:
    n_reports = 4
    penalty = -1.0

    def __init__(self) -> None:
        self.started: list[tuple[list[float], int]] = []

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int) -> Slope:
        lrs = [config.genome.lr for config in configs]
        self.started.append((lrs, repetition))
        return Slope(lrs)

    def value(self, reported: Sequence[float]) -> float:
        return sum(reported) / len(reported)


def space(trial: optuna.trial.BaseTrial) -> TrainingConfig:
    from dataclasses import replace

    lr = trial.suggest_float("lr", 0.1, 2.0)
    return TrainingConfig(genome=replace(catalog["sgd"], lr=lr))


def new_study(folder: Path | None = None, **options: Any) -> optuna.Study:
    storage = open_storage(f"sqlite:///{folder / 'a.db'}") if folder else None
    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=1))
    options.setdefault("pruner", optuna.pruners.NopPruner())
    return optuna.create_study(direction="maximize", storage=storage, study_name="s", **options)


def complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_search_ends_with_exactly_its_trials_whatever_the_batch(batch_size: int) -> None:
    study = new_study()
    done = search(
        study, space=space, objective=SlopeObjective(), n_trials=10, batch_size=batch_size
    )
    assert done == len(complete(study)) == 10
    assert search(study, space=space, objective=SlopeObjective(), n_trials=10) == 0


def test_every_step_is_reported_and_the_mean_is_the_value() -> None:
    study = new_study()
    study.enqueue_trial({"lr": 0.5})
    search(study, space=space, objective=SlopeObjective(), n_trials=1)
    (trial,) = complete(study)
    assert trial.intermediate_values == {1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0}
    assert trial.value == 1.25
    assert trial.user_attrs["lr_seen"] == 0.5
    assert FINGERPRINT.read(trial.user_attrs) == space(trial).genome.fingerprint()


def test_a_diverged_trial_gets_the_penalty_at_once_and_the_others_go_on() -> None:
    study = new_study()
    for lr in (0.5, 1.5, 0.25):
        study.enqueue_trial({"lr": lr})
    search(study, space=space, objective=SlopeObjective(), n_trials=3, batch_size=3)
    assert [t.value for t in study.get_trials()] == [1.25, -1.0, 0.625]
    assert DIVERGED.read(study.get_trials()[1].user_attrs) is True
    assert max(study.get_trials()[1].intermediate_values) == 2


def test_a_poor_trial_is_pruned_after_the_whole_batch_has_reported() -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.4)
    study = new_study(pruner=pruner)
    for lr in (0.3, 0.5):
        study.enqueue_trial({"lr": lr})
    search(study, space=space, objective=SlopeObjective(), n_trials=2, batch_size=2)
    poor, good = study.get_trials()
    assert (poor.state, good.state) == (TrialState.PRUNED, TrialState.COMPLETE)
    assert len(poor.intermediate_values) == 1 and poor.value == 0.3


class _StopsFlat(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self.is_flat(study, trial)

    def is_flat(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return trial.last_step == 2 and study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_a_trial_that_is_flat_is_complete_with_its_value() -> None:
    study = new_study(pruner=_StopsFlat())
    study.enqueue_trial({"lr": 0.5})
    search(study, space=space, objective=SlopeObjective(), n_trials=1)
    (trial,) = complete(study)
    assert len(trial.intermediate_values) == 2 and trial.value == 0.75


def test_n_more_and_timeout_end_a_call_early() -> None:
    study = new_study()
    assert search(study, space=space, objective=SlopeObjective(), n_trials=9, n_more=2) == 2
    assert search(study, space=space, objective=SlopeObjective(), n_trials=9, timeout=-1) == 0


def test_a_repeated_trial_trains_with_other_seeds() -> None:
    study, objective = new_study(), SlopeObjective()
    study.enqueue_trial({"lr": 0.5}, user_attrs={REPETITION.key: 2})
    study.enqueue_trial({"lr": 0.25})
    search(study, space=space, objective=objective, n_trials=2, batch_size=2)
    assert objective.started == [([0.5], 2), ([0.25], 0)]


class _FailsOn(SlopeObjective):
    def __init__(self, numbers: set[int], error: BaseException) -> None:
        super().__init__()
        self.numbers, self.error = numbers, error

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int) -> Slope:
        run = super().start(configs, repetition=repetition)
        if len(self.started) - 1 in self.numbers:
            raise self.error
        return run


def test_a_failing_trial_says_why_and_the_search_goes_on() -> None:
    study = new_study()
    objective = _FailsOn({0, 2}, RuntimeError("no such layer"))
    search(study, space=space, objective=objective, n_trials=3)
    failed = study.get_trials(states=(TrialState.FAIL,))
    assert [ERROR.read(t.user_attrs) for t in failed] == ["RuntimeError: no such layer"] * 2
    assert len(complete(study)) == 3


def test_three_failures_in_a_row_end_the_search() -> None:
    study = new_study()
    objective = _FailsOn(set(range(9)), RuntimeError("no such layer"))
    with pytest.raises(RuntimeError, match="no such layer"):
        search(study, space=space, objective=objective, n_trials=3)
    assert len(study.get_trials()) == 3


def test_an_interrupted_batch_goes_back_to_the_queue(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    objective = _FailsOn({0}, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        search(study, space=space, objective=objective, n_trials=2, batch_size=2)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert len(waiting) == 2
    search(study, space=space, objective=objective, n_trials=2)
    assert [t.params for t in complete(study)] == [t.params for t in waiting]


DYING_WORKER = """
import os, sys
sys.path.insert(0, "tests/..")
import optuna
from optuna_evo.search import _leases as leases
from optuna_evo.search import open_storage
study = optuna.load_study(study_name="s", storage=open_storage(sys.argv[1]))
trial = leases.ask(study)
trial.suggest_float("lr", 0.1, 2.0)
os.kill(os.getpid(), 9)
"""


def test_the_trial_of_a_killed_worker_is_taken_up_again(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    subprocess.run([sys.executable, "-c", DYING_WORKER, url], check=False)
    (dead,) = study.get_trials(states=(TrialState.RUNNING,))
    search(study, space=space, objective=SlopeObjective(), n_trials=1)
    (trial,) = complete(study)
    assert trial.params == dead.params
    assert study.get_trials()[0].state == TrialState.FAIL


def test_a_living_workers_trial_is_left_alone_and_counted(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    trial = leases.ask(study)
    assert leases.reclaim(study) == 0
    assert search(study, space=space, objective=SlopeObjective(), n_trials=1) == 0
    assert study.get_trials()[trial.number].state == TrialState.RUNNING


def test_a_trial_carries_its_worker_from_its_first_moment(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    trial = leases.ask(study)
    (queued,) = study.get_trials()
    assert queued.user_attrs[WORKER.key] == leases.this_worker()
    assert trial.number == queued.number


def test_what_the_sampler_took_is_written_on_the_trial() -> None:
    class Slow(optuna.samplers.RandomSampler):
        def sample_independent(self, *args: Any) -> Any:
            time.sleep(0.02)
            return super().sample_independent(*args)

    study = new_study(sampler=Slow(seed=1))
    search(study, space=space, objective=SlopeObjective(), n_trials=2)
    assert all(SAMPLER_SECONDS.read(t.user_attrs) >= 0.02 for t in complete(study))


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.COMPLETE])
def test_a_trial_that_ends_while_it_is_given_back_has_one_copy_if_it_was_lost(
    monkeypatch: pytest.MonkeyPatch, state: TrialState
) -> None:
    study = optuna.create_study()
    trial = leases.ask(study)
    storage = study._storage
    change_state = storage.set_trial_state_values

    def just_after_another_worker(trial_id: int, new_state: TrialState) -> bool:
        if trial_id == trial._trial_id:
            values = [1.0] if state == TrialState.COMPLETE else None
            change_state(trial._trial_id, state, values)
        return change_state(trial_id, new_state)

    monkeypatch.setattr(storage, "set_trial_state_values", just_after_another_worker)
    assert not leases.release(study, trial.number)
    copy_state = TrialState.WAITING if state == TrialState.FAIL else TrialState.FAIL
    assert [t.state for t in study.get_trials()] == [state, copy_state]
    assert not leases.release(study, trial.number) and len(study.get_trials()) == 2

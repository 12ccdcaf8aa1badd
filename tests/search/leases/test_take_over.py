"""A trial is taken over while its worker is deep in a long report."""

from collections.abc import Sequence
import multiprocessing
import os
from pathlib import Path
from unittest import mock

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.objectives import SegmentRun
from optuna_evo.search import _leases as leases
from optuna_evo.search import open_storage
from optuna_evo.search import search
from tests.search import lineages
from tests.search.leases.workers import check
from tests.search.leases.workers import Genome
from tests.search.leases.workers import opened
from tests.search.leases.workers import SAMPLERS
from tests.search.leases.workers import SIZE
from tests.search.leases.workers import Sleep
from tests.search.leases.workers import SleepObjective
from tests.search.leases.workers import space
from tests.search.leases.workers import work


PROCESSES = multiprocessing.get_context("forkserver")


def take_over(url: str, log: Path, number: int, n_trials: int) -> None:
    """Give a trial back, as that of a silent worker, and train what waits."""
    with opened(url) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        assert leases.release(study, number)
    work(url, log, "ga", n_trials)


def take_over_segment(url: str, folder: Path, number: int) -> None:
    storage = open_storage(url)
    study = optuna.load_study(study_name="moons", storage=storage)
    assert leases.release(study, number)
    storage.close()
    lineages.run(url, folder, n_more=1)


def in_another_process(function: object, *args: object) -> None:
    process = PROCESSES.Process(target=function, args=args)  # type: ignore[arg-type]
    process.start()
    process.join()
    assert process.exitcode == 0


class Long(SleepObjective):
    """In the second report of trial 0, that trial is taken over and ended by another process."""

    def __init__(self, log: Path, url: str) -> None:
        super().__init__(0.0, log)
        self.url, self.is_done = url, False

    def start(self, configs: Sequence[Genome], *, repetition: int) -> Sleep:
        run = super().start(configs, repetition=repetition)
        advance, objective = run.advance, self

        def long() -> list[float]:
            values = advance()
            if run.step == 2 and not objective.is_done:
                objective.is_done = True
                in_another_process(take_over, objective.url, objective.log, 0, 3)
            return values

        run.advance = long  # type: ignore[method-assign]
        return run


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2])
def test_its_new_worker_alone_tells_it_and_the_old_one_goes_on(
    tmp_path: Path, batch_size: int
) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with opened(url) as storage:
        study = optuna.create_study(
            study_name="s",
            storage=storage,
            sampler=SAMPLERS["ga"](),
            pruner=optuna.pruners.NopPruner(),
        )
        objective = Long(tmp_path / "log", url)
        n_told = search(
            study, space=space, objective=objective, n_trials=SIZE, batch_size=batch_size
        )
        trials = study.get_trials()
    check(trials, SIZE, n_kills=1)
    assert trials[0].state == TrialState.FAIL and trials[0].intermediate_values.keys() == {1}
    by_others = sum(t.user_attrs.get("trained_by") not in (None, os.getpid()) for t in trials)
    assert n_told + by_others == SIZE and by_others >= 1


@pytest.mark.slow
def test_a_segment_is_taken_over_and_its_lineage_ends_as_if_it_had_not(tmp_path: Path) -> None:
    whole = run_lineage(tmp_path / "whole", None)
    assert run_lineage(tmp_path / "disturbed", 4) == whole


def run_lineage(folder: Path, nth: int | None) -> object:
    """Run a small lineage; its n-th segment is taken over just before it ends."""
    url, advance, n_calls = f"sqlite:///{folder}.db", SegmentRun.advance, 0
    lineages.make(url, n_trials=8)

    def long(run: SegmentRun) -> list[float]:
        nonlocal n_calls
        n_calls += 1
        values = advance(run)
        if n_calls == nth:
            in_another_process(take_over_segment, url, folder, nth - 1)
        return values

    with mock.patch.object(SegmentRun, "advance", long):
        lineages.run(url, folder)
    lineages.check(lineages.trials(url), 0 if nth is None else 1)
    return lineages.ends(url, folder)

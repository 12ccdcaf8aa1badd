"""Successive halving over optimizer steps, with both trainers."""

from dataclasses import replace
from typing import Any

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import TrialState
import pytest

from optuna_evo import tasks
from optuna_evo.config import TrainingConfig
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import FitnessObjective
from optuna_evo.objectives import FitnessRun
from optuna_evo.rules import catalog
from optuna_evo.search import search


MOONS = tasks.get("two_moons")
STEPS, REPORTS = 64, 8


def space(trial: optuna.trial.BaseTrial) -> TrainingConfig:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    return TrainingConfig(genome=replace(catalog["adamw"], lr=lr))


def halved(objective: Any) -> optuna.Study:
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    )
    search(study, space=space, objective=objective, n_trials=16, batch_size=8)
    return study


def curve(trainer: str) -> CurveObjective:
    return CurveObjective(task=MOONS, seed=0, steps=STEPS, reports=REPORTS, trainer=trainer)


def fitness(trainer: str) -> FitnessObjective:
    return FitnessObjective(
        tasks=[MOONS], seeds=range(2), steps=STEPS, reports=REPORTS, trainer=trainer
    )


@pytest.mark.parametrize("objective", [curve, fitness])
def test_both_trainers_prune_the_same_members_at_the_same_steps(objective: Any) -> None:
    stacked, alone = (
        halved(objective(kind)).get_trials() for kind in ("population", "sequential")
    )
    ends = [[(t.state, t.last_step) for t in trials] for trials in (stacked, alone)]
    assert ends[0] == ends[1]
    assert [t.value for t in stacked] == pytest.approx([t.value for t in alone], abs=1e-4)


def test_halving_saves_most_steps_and_keeps_the_best_of_its_batch() -> None:
    trials = halved(curve("auto")).get_trials()
    spent = sum(trial.user_attrs["optimizer_steps"] for trial in trials)
    assert spent < 0.5 * STEPS * len(trials)
    states = [trial.state for trial in trials]
    assert states.count(TrialState.PRUNED) >= 8 and TrialState.COMPLETE in states


def test_cells_side_by_side_end_where_cells_one_by_one_end() -> None:
    members = [TrainingConfig(genome=catalog[name]) for name in ("adamw", "momentum")]
    by_steps = fitness("sequential")
    by_cells = replace(by_steps, reports=None)
    reported = [[run.advance() for _ in range(o.n_reports)] for o, run in
                ((o, o.start(members)) for o in (by_steps, by_cells))]  # fmt: skip
    ends = [
        [o.value(values) for values in zip(*columns, strict=True)]
        for o, columns in zip((by_steps, by_cells), reported, strict=True)
    ]
    assert ends[0] == pytest.approx(ends[1]) and len(reported[0]) == REPORTS
    assert isinstance(by_cells.start(members), FitnessRun)

"""Nothing is trained twice, and a search cannot tell the difference."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo import tasks
from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import OBJECTIVE
from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.config import TrainingConfig
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import FitnessObjective
from optuna_evo.rules import catalog
from optuna_evo.search import Curves
from optuna_evo.search import search
from tests.search.test_search import new_study
from tests.search.test_search import Slope
from tests.search.test_search import SlopeObjective
from tests.search.test_search import space


class Repeatable(SlopeObjective):
    """`SlopeObjective` that says what it is; `started` lists what was really trained."""

    def __init__(self, name: str = "slope") -> None:
        super().__init__()
        self.name = name

    def start(self, configs: Sequence[TrainingConfig], *, repetition: int) -> Slope:
        return super().start(configs, repetition=repetition)

    def fingerprint(self) -> str:
        return self.name


def run(study: optuna.Study, lrs: Sequence[float], objective: Any, **options: Any) -> None:
    repetition = options.pop("repetition", 0)
    for lr in lrs:
        attrs = {REPETITION.key: repetition} if repetition else {}
        study.enqueue_trial({"lr": lr}, user_attrs=attrs)
    n = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))) + len(lrs)
    search(study, space=space, objective=objective, n_trials=n, **options)


def ends(study: optuna.Study) -> list[tuple[TrialState, Any, dict[int, float]]]:
    return [(t.state, t.value, t.intermediate_values) for t in study.get_trials()]


@pytest.mark.parametrize("lengths", [(3, 1), (1, 3)])
def test_of_two_curves_of_one_configuration_the_longer_one_is_known(
    lengths: tuple[int, int],
) -> None:
    study, config = new_study(), TrainingConfig(genome=catalog["sgd"])
    attrs = {FINGERPRINT.key: config.fingerprint(), OBJECTIVE.key: "slope"}
    for n in lengths:
        curve = dict.fromkeys(range(n), 0.5)
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.PRUNED, intermediate_values=curve, user_attrs=attrs
            )
        )
    curves = Curves(study)
    curves.update()
    found = curves.find(config, "slope", 0)
    assert found is not None and len(found.intermediate_values) == 3


def test_a_known_configuration_gets_its_result_without_training() -> None:
    study, objective = new_study(), Repeatable()
    run(study, [0.5, 0.25], objective)
    run(study, [0.5], objective)
    assert objective.started == [([0.5], 0), ([0.25], 0)]
    first, _, again = ends(study)
    assert first == again and first[1] == 1.25
    assert REUSED_FROM.read(study.get_trials()[2].user_attrs) == 0
    assert study.get_trials()[2].user_attrs["lr_seen"] == 0.5
    assert not REUSED_FROM.is_in(study.get_trials()[1].user_attrs)


def test_a_replayed_trial_says_which_part_proposed_it() -> None:
    study, objective = new_study(), Repeatable()
    for proposer in ("portfolio", "prior"):
        study.enqueue_trial({"lr": 0.5}, user_attrs={PROPOSED_BY.key: proposer})
    search(study, space=space, objective=objective, n_trials=2)
    first, second = study.get_trials()
    assert REUSED_FROM.read(second.user_attrs) == 0
    assert (PROPOSED_BY.read(first.user_attrs), PROPOSED_BY.read(second.user_attrs)) == (
        "portfolio",
        "prior",
    )
    assert SAMPLER_SECONDS.read(first.user_attrs) != SAMPLER_SECONDS.read(second.user_attrs)


def test_another_worker_finds_the_result_in_the_study() -> None:
    study = new_study()
    run(study, [0.5], Repeatable())
    later = Repeatable()
    run(study, [0.5, 0.5], later, batch_size=2)
    assert later.started == []
    assert [REUSED_FROM.read(t.user_attrs) for t in study.get_trials()] == [None, 0, 0]


def test_equals_in_one_batch_train_once() -> None:
    study, objective = new_study(), Repeatable()
    run(study, [0.5, 0.25, 0.5], objective, batch_size=3)
    assert objective.started == [([0.5, 0.25], 0)]
    assert [t.value for t in study.get_trials()] == [1.25, 0.625, 1.25]
    assert [REUSED_FROM.read(t.user_attrs) for t in study.get_trials()] == [None, None, 0]


def test_a_diverged_training_is_known_too() -> None:
    study, objective = new_study(), Repeatable()
    run(study, [1.5], objective)
    run(study, [1.5], objective)
    assert len(objective.started) == 1
    assert [(t.value, DIVERGED.read(t.user_attrs)) for t in study.get_trials()] == [
        (-1.0, True)
    ] * 2


def test_other_repetitions_and_other_objectives_train() -> None:
    study, objective, other = new_study(), Repeatable(), Repeatable("longer")
    run(study, [0.5], objective)
    run(study, [0.5], objective, repetition=1)
    run(study, [0.5], other)
    assert objective.started == [([0.5], 0), ([0.5], 1)]
    assert other.started == [([0.5], 0)]


def test_an_objective_without_a_fingerprint_trains_always() -> None:
    study, objective = new_study(), SlopeObjective()
    run(study, [0.5, 0.5], objective)
    assert len(objective.started) == 2


class _PrunesAt(optuna.pruners.BasePruner):
    """Prune the trials of `numbers` at step 2."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return trial.number in self.numbers and trial.last_step == 2


def test_a_pruned_trial_is_pruned_again_without_training() -> None:
    study, objective = new_study(pruner=_PrunesAt(0, 1)), Repeatable()
    run(study, [0.5, 0.5], objective)
    assert len(objective.started) == 1
    assert ends(study)[0] == ends(study)[1] and ends(study)[1][0] == TrialState.PRUNED


def test_a_trial_that_outlives_the_known_curve_is_trained_after_all() -> None:
    study, objective = new_study(pruner=_PrunesAt(0)), Repeatable()
    run(study, [0.5], objective)
    run(study, [0.5, 0.5, 0.25], objective, batch_size=3)
    assert objective.started == [([0.5], 0), ([0.25], 0), ([0.5], 0)]
    curve = {1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0}
    assert ends(study)[1] == ends(study)[2] == (TrialState.COMPLETE, 1.25, curve)
    assert [REUSED_FROM.read(t.user_attrs) for t in study.get_trials()] == [None, None, 1, None]


def test_a_complete_curve_may_be_pruned_now() -> None:
    study, objective = new_study(pruner=_PrunesAt(1)), Repeatable()
    run(study, [0.5, 0.5], objective)
    assert len(objective.started) == 1
    assert ends(study)[1] == (TrialState.PRUNED, 1.0, {1: 0.5, 2: 1.0})


def test_each_finished_trial_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    study, added = new_study(), list[int]()
    run(study, [0.1, 0.2, 0.3], Repeatable())
    study.ask().report(1.0, 1)
    curves = Curves(study)
    monkeypatch.setattr(curves, "_add", lambda trial: added.append(trial.number))
    curves.update()
    study.tell(3, 1.0)
    curves.update()
    assert added == [0, 1, 2, 3]


def test_objectives_differ_by_task_seed_and_budget_only() -> None:
    moons, digits = tasks.get("two_moons"), tasks.get("digits")
    curve = CurveObjective(task=moons, seed=0).fingerprint()
    assert curve == CurveObjective(task=moons, seed=0, penalty=-9.0, device="cuda").fingerprint()
    fitness = [
        FitnessObjective(tasks=[moons], seeds=range(2), steps=10),
        FitnessObjective(tasks=[digits], seeds=range(2), steps=10),
        FitnessObjective(tasks=[moons], seeds=range(1, 3), steps=10),
        FitnessObjective(tasks=[moons], seeds=range(2), steps=11),
    ]
    assert len({curve, *(objective.fingerprint() for objective in fitness)}) == 5

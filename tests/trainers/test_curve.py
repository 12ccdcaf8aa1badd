from dataclasses import replace

import pytest

from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo.catalog import catalog
from optuna_evo.config import TrainingConfig
from optuna_evo.trainers import CurveObjective
from optuna_evo.trainers import train_finally


MOONS = tasks.get("two_moons")
ADAM = TrainingConfig(genome=replace(catalog["adam"], lr=0.05))


def objective(**options: object) -> CurveObjective:
    return CurveObjective(task=MOONS, seed=3, reports=4, **options)  # type: ignore[arg-type]


def test_the_last_report_is_what_one_training_gives() -> None:
    run = objective(steps=21).start([ADAM])
    values = [run.advance(1)[0] for _ in range(4)]
    (whole,) = trainers.start([ADAM], MOONS, seed=3, total_steps=21).advance(21)
    assert values[-1] == whole and objective().value(values) == whole
    assert run.records()[0]["optimizer_steps"] == 21


def test_epochs_are_as_many_steps_as_the_batch_size_makes_them() -> None:
    n_train = len(MOONS.load(None).train)
    small, large = (replace(ADAM, batch_size=b) for b in (16, 64))
    o = objective(epochs=2.0)
    assert o.total_steps(small) == 2 * n_train // 16
    run = o.start([small, large])
    run.advance(2)
    steps = [record["optimizer_steps"] for record in run.records()]
    assert steps == [n_train // 16, n_train // 64]
    assert [record["share_trained"] for record in run.records()] == [0.5, 0.5]


def test_members_are_dropped_and_the_others_go_on_alike() -> None:
    other = replace(ADAM, genome=catalog["sgd"])
    both, alone = objective(steps=8).start([other, ADAM]), objective(steps=8).start([ADAM])
    both.advance(2), alone.advance(2)
    both.keep([False, True])
    assert both.advance(2) == alone.advance(2)


def test_the_final_training_sees_all_rows_but_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = trainers.start

    def spy(configs, task, **options):  # type: ignore[no-untyped-def]
        sizes.append(len(task.load(None).train))
        return original(configs, task, **options)

    monkeypatch.setattr("optuna_evo.trainers._curve.start", spy)
    accuracy = train_finally(ADAM, objective(), epochs=20, cosine=True, seed=0)
    splits = MOONS.load(None)
    assert sizes == [len(splits.train) + len(splits.valid)]
    assert accuracy > 0.85

from dataclasses import replace

import pytest

from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo.config import TrainingConfig
from optuna_evo.curves import EarlyStopping
from optuna_evo.curves import ReduceOnPlateau
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import CurveRun
from optuna_evo.objectives import train_finally
from optuna_evo.rules import catalog


MOONS = tasks.get("two_moons")
ADAM = TrainingConfig(genome=replace(catalog["adam"], lr=0.05))


def objective(**options: object) -> CurveObjective:
    return CurveObjective(task=MOONS, seed=3, reports=4, **options)  # type: ignore[arg-type]


def reports(run: CurveRun, n: int) -> list[float]:
    """Return the last of `n` reports."""
    return [run.advance() for _ in range(n)][-1]


def test_the_last_report_is_what_one_training_gives() -> None:
    run = objective(steps=21).start([ADAM])
    values = [run.advance()[0] for _ in range(4)]
    cohort = trainers.start([ADAM], MOONS, seed=3, total_steps=21)
    cohort.train(21)
    (whole,) = cohort.evaluate()
    assert values[-1] == whole and objective().value(values) == whole
    assert run.records()[0]["optimizer_steps"] == 21


def test_epochs_are_as_many_steps_as_the_batch_size_makes_them() -> None:
    n_train = len(MOONS.load(None).train)
    small, large = (replace(ADAM, batch_size=b) for b in (16, 64))
    o = objective(epochs=2.0)
    assert o.total_steps(small) == 2 * n_train // 16
    run = o.start([small, large])
    reports(run, 2)
    steps = [record["optimizer_steps"] for record in run.records()]
    assert steps == [n_train // 16, n_train // 64]
    assert [record["share_trained"] for record in run.records()] == [0.5, 0.5]


def test_members_are_dropped_and_the_others_go_on_alike() -> None:
    other = replace(ADAM, genome=catalog["sgd"])
    both, alone = objective(steps=8).start([other, ADAM]), objective(steps=8).start([ADAM])
    reports(both, 2), reports(alone, 2)
    both.drop([False, True])
    assert reports(both, 2) == reports(alone, 2)


def test_a_configuration_may_say_its_own_epochs() -> None:
    n_train = len(MOONS.load(None).train)
    o = objective(epochs=2.0)
    assert o.total_steps(replace(ADAM, batch_size=16, epochs=3)) == 3 * n_train // 16


def test_trainings_of_one_length_run_together_and_keep_their_places() -> None:
    configs = [replace(ADAM, batch_size=b) for b in (64, 16, 64)]
    configs[2] = replace(configs[2], genome=catalog["sgd"])
    together = objective(epochs=1.0).start(configs)
    alone = [objective(epochs=1.0).start([config]) for config in configs]
    assert reports(together, 4) == [reports(run, 4)[0] for run in alone]


def test_every_training_is_recorded_with_all_metrics_of_its_kind() -> None:
    run = objective(steps=200).start([ADAM])
    values = [run.advance()[0] for _ in range(4)]
    record = run.records()[0]
    assert record["accuracy"] == pytest.approx(values[-1])
    assert record["reports"] == 4 and record["seconds"] > 0
    assert all(0.8 < record[name] <= 1 for name in ("accuracy", "f1", "auc"))


def test_the_metric_that_is_named_is_the_one_reported() -> None:
    run = objective(steps=40, metric="auc").start([ADAM])
    (value,) = reports(run, 4)
    assert value == run.records()[0]["auc"] != run.records()[0]["accuracy"]


def test_the_loss_is_recorded_and_may_be_the_objective() -> None:
    run, by_loss = objective(steps=40).start([ADAM]), objective(steps=40, metric="loss")
    reports(run, 4)
    assert not by_loss.higher_is_better and by_loss.value([0.3, 0.4]) == 0.4
    other = by_loss.start([ADAM])
    (value,) = reports(other, 4)
    assert value == run.records()[0]["valid_loss"] == other.records()[0]["valid_loss"]
    outputs = trainers.start([ADAM], MOONS, seed=3, total_steps=40)
    outputs.train(40)
    (loss,) = outputs.evaluate(measure=MOONS.loss)
    assert value == pytest.approx(loss, rel=1e-5)


def test_early_stopping_and_plateaus_follow_the_loss_where_it_is_the_metric() -> None:
    options = {"early_stopping": EarlyStopping(patience=1), "metric": "loss"}
    o = objective(steps=20, **options)
    assert o.value([0.5, 0.2, 0.3]) == 0.2 and o.is_enough([0.5, 0.2, 0.3])
    assert not o.is_enough([0.5, 0.2])


def test_training_rows_are_measured_after_each_epoch() -> None:
    few = objective(epochs=3.0)
    run = few.start([replace(ADAM, batch_size=16), replace(ADAM, batch_size=64)])
    reports(run, 4)
    records = run.records()
    assert [len(record["train_metrics"]) for record in records] == [3, 3]
    assert records[0]["train_metrics"][-1] > 0.8
    assert "train_metrics" not in reports_of_half_an_epoch()


def reports_of_half_an_epoch() -> dict[str, object]:
    run = objective(epochs=0.5).start([ADAM])
    reports(run, 4)
    return dict(run.records()[0])


def test_with_early_stopping_the_best_report_counts() -> None:
    o = objective(steps=20, early_stopping=EarlyStopping(patience=1))
    assert o.value([0.5, 0.9, 0.7]) == 0.9
    assert o.is_enough([0.5, 0.9, 0.7]) and not objective().is_enough([0.5, 0.9, 0.7])
    wild = replace(ADAM, genome=replace(catalog["adam"], lr=0.3))
    run = o.start([wild])
    values = [run.advance()[0] for _ in range(4)]
    assert max(values) > values[-1]  # or nothing is shown
    assert run.records()[0]["accuracy"] == pytest.approx(max(values))


def test_on_a_plateau_the_learning_rate_is_reduced() -> None:
    frozen = replace(ADAM, genome=replace(catalog["sgd"], lr=1e-12))
    o = objective(steps=8, reduce_on_plateau=ReduceOnPlateau(factor=0.1, patience=0))
    run = o.start([frozen, ADAM])
    for _ in range(4):
        run.advance()
    assert run.records()[0]["lr_scale"] == 0.01


def test_the_final_training_sees_all_rows_but_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = trainers.start

    def spy(configs, task, **options):  # type: ignore[no-untyped-def]
        sizes.append(len(task.load(None).train))
        return original(configs, task, **options)

    monkeypatch.setattr("optuna_evo.objectives._final.start", spy)
    trained = train_finally(ADAM, objective(), epochs=20, cosine=True, seed=0)
    splits = MOONS.load(None)
    assert sizes == [len(splits.train) + len(splits.valid)]
    assert trained.metric == pytest.approx(trained.metrics["accuracy"]) and trained.metric > 0.85
    assert 0 < trained.metrics["loss"] < 0.5
    assert len(trained.train_metrics) == 20 and trained.train_metrics[-1] > 0.85

"""The sequential trainer: the contract, every task, precision, and the streams below it."""

from dataclasses import replace
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo import TrainingConfig
from optuna_evo.trainers._hardware import pick_precision
from optuna_evo.trainers._streams import rows_from
from optuna_evo.trainers._streams import Streams
from tests.trainers.contract import ADAMW
from tests.trainers.contract import advance
from tests.trainers.contract import same
from tests.trainers.contract import TrainerContract


CPU = torch.device("cpu")
IMAGES = ["mnist", "fashion_mnist", "cifar10"]
# without instructions for it, a step in bfloat16 takes minutes
IN_BFLOAT16 = pytest.mark.skipif(
    pick_precision("auto", tasks.get("mnist"), CPU) != "bfloat16", reason="no bfloat16 here"
)


class TestSequential(TrainerContract):
    start = staticmethod(trainers.start)


@pytest.mark.parametrize("name", ["char_lm", "digits", "quadratic", "two_moons"])
def test_a_task_without_files_trains_and_repeats_itself(name: str) -> None:
    _train_twice(name, None)


@pytest.mark.data
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=IN_BFLOAT16)])
def test_a_task_on_real_files_trains_and_repeats_itself(
    name: str, precision: str, data_folder: Path
) -> None:
    _train_twice(name, data_folder, precision=precision)


def _train_twice(name: str, folder: Path | None, precision: str = "auto") -> None:
    task = tasks.get(name)
    runs = [
        trainers.start([ADAMW], task, seed=1, total_steps=6, data_dir=folder, precision=precision)
        for _ in range(2)
    ]
    before = runs[0].evaluate(task.load(folder).valid, measure=task.loss)
    values = [advance(run, 6) for run in runs]
    assert values[0] == values[1] and same(*(run.state_dicts()[0] for run in runs))
    assert runs[0].evaluate(task.load(folder).valid, measure=task.loss)[0] < before[0]


def test_training_is_the_plain_loop_of_any_tutorial() -> None:
    task = tasks.get("digits")
    run = trainers.start([ADAMW], task, seed=5, total_steps=30)
    streams, train = Streams.of(5, "digits", 30), task.load(None).train
    with torch.random.fork_rng():
        torch.manual_seed(streams.weights)
        model = task.build_model()
    optimizer = EvolvedOptimizer(model.parameters(), catalog["adamw"])
    for step in range(30):
        rows = rows_from(64 * step, 64, n_rows=len(train), seed=streams.order, device=CPU)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train.inputs[rows]), train.targets[rows]).backward()
        optimizer.step()
    advance(run, 30)
    assert same(run.state_dicts()[0], model.state_dict())


@pytest.mark.data
@IN_BFLOAT16
def test_bfloat16_learns_what_float32_learns(data_folder: Path) -> None:
    task, options = tasks.get("mnist"), {"seed": 0, "total_steps": 60, "data_dir": data_folder}
    accuracies = [
        advance(trainers.start([ADAMW], task, precision=precision, **options), 60)[0]
        for precision in ("float32", "bfloat16")
    ]
    assert min(accuracies) > 0.9 and abs(accuracies[0] - accuracies[1]) < 0.02


def test_weights_stay_float32_under_bfloat16() -> None:
    run = trainers.start([ADAMW], tasks.get("digits"), seed=0, total_steps=5, precision="bfloat16")
    advance(run, 5)
    assert {weight.dtype for weight in run.state_dicts()[0].values()} == {torch.float32}


@pytest.mark.parametrize("name", ["digits", "mnist"])
@pytest.mark.parametrize("able", [False, True])
def test_auto_takes_bfloat16_where_task_and_hardware_are_for_it(
    name: str, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    expected = "bfloat16" if able and name == "mnist" else "float32"
    assert pick_precision("auto", tasks.get(name), CPU) == expected


def test_every_row_is_seen_once_an_epoch_and_in_a_new_order() -> None:
    rows = [rows_from(10 * s, 10, n_rows=50, seed=1, device=CPU).tolist() for s in range(10)]
    first, second = sum(rows[:5], []), sum(rows[5:], [])
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


@pytest.mark.parametrize("batch_size", [1, 7, 50, 64, 120])
def test_batches_are_full_and_in_one_order_whatever_their_size(batch_size: int) -> None:
    n_steps = 300 // batch_size
    batches = [
        rows_from(step * batch_size, batch_size, n_rows=50, seed=1, device=CPU)
        for step in range(n_steps)
    ]
    order = torch.cat([rows_from(i, 1, n_rows=50, seed=1, device=CPU) for i in range(300)])
    assert torch.equal(torch.cat(batches), order[: n_steps * batch_size])


def test_streams_differ_by_seed_and_task_and_grow_with_the_run() -> None:
    streams = Streams.of(0, "mnist", 100)
    assert Streams.of(0, "mnist", 500).steps[:100] == streams.steps
    assert len({*streams.steps, *streams.augmentation, streams.weights, streams.order}) == 202
    assert not set(Streams.of(1, "mnist", 100).steps) & set(streams.steps)
    assert not set(Streams.of(0, "digits", 100).steps) & set(streams.steps)


@pytest.mark.gpu
def test_a_gpu_learns_digits_and_leaves_its_generator_alone() -> None:
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    config = TrainingConfig(genome=catalog["adamw"], model={"dropout": 0.2})
    run = trainers.start([config], tasks.get("digits"), seed=0, total_steps=400, device="cuda")
    assert advance(run, 400)[0] > 0.9
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_spike_is_no_divergence_and_an_exploded_run_is() -> None:
    """RMSprop's first steps at its defaults throw the loss far up; it comes back."""
    spiky = TrainingConfig(genome=replace(catalog["rmsprop"], lr=0.03))
    run = trainers.start([spiky], tasks.get("digits"), seed=0, total_steps=150)
    assert advance(run, 150)[0] > 0.5
    exploding = TrainingConfig(genome=replace(catalog["sgd"], lr=1e6))
    run = trainers.start([exploding], tasks.get("digits"), seed=0, total_steps=150)
    assert math.isnan(advance(run, 150)[0])

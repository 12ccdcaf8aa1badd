"""Meta-training goes on bit for bit, is the same for any number of workers, and improves."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from optuna_evo.errors import CheckpointError
from optuna_evo.errors import MetaTrainingError
from optuna_evo.errors import UsageError
from optuna_evo.learned import load_controller
from optuna_evo.learned import provenance_of
from optuna_evo.meta_training import flat_parameters
from optuna_evo.meta_training import meta_train
from optuna_evo.meta_training import MetaTraining
from optuna_evo.meta_training import OuterRecord
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import state_folder
from optuna_evo.meta_training._states import latest
from tests.meta_training.small import small_spec


MIXTURE = [
    {"name": "quadratics", "size": 4, "weight": 2.0},
    {"name": "quadratics", "size": 6, "reparametrise": {"low": 0.1, "high": 10.0}},
]


class Recorder:
    """A listener that stops a meta-training after some outer steps, as a kill would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.records: list[OuterRecord] = []
        self.scores: list[tuple[int, float, float]] = []
        self._stop_after = stop_after

    def stepped(self, record: OuterRecord) -> None:
        self.records.append(record)
        if record.number == self._stop_after:
            raise KeyboardInterrupt

    def selected(self, number: int, score: float, base_score: float) -> None:
        self.scores.append((number, score, base_score))


def weights_of(folder: Path) -> Tensor:
    return flat_parameters(load_controller(folder))


@pytest.mark.parametrize("estimator", ["pes", "full_es", "truncated_backprop"])
def test_a_stopped_meta_training_goes_on_bit_for_bit(estimator: str, tmp_path: Path) -> None:
    stacks = 1 if estimator == "truncated_backprop" else 2
    spec = small_spec(outer={"estimator": estimator, "stacks": stacks}, families=MIXTURE)
    whole = meta_train(spec, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        meta_train(spec, tmp_path / "cut", listener=Recorder(stop_after=6))
    recorder = Recorder()
    cut = meta_train(spec, tmp_path / "cut", listener=recorder)
    assert recorder.records[0].number == 5  # from the state after 4
    assert torch.equal(weights_of(whole), weights_of(cut))
    assert not state_folder(cut).exists()


def test_a_limit_leaves_a_controller_and_a_state_to_go_on_from(tmp_path: Path) -> None:
    spec = small_spec()
    whole = meta_train(spec, tmp_path / "whole")
    part = meta_train(spec, tmp_path / "part", outer_steps=3)
    early = weights_of(part)
    assert state_folder(part).exists()
    meta_train(spec, part)
    assert torch.equal(weights_of(part), weights_of(whole))
    assert not torch.equal(early, weights_of(whole))


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    spec = small_spec(families=MIXTURE)
    alone = meta_train(spec, tmp_path / "alone")
    together = meta_train(spec, tmp_path / "together", workers=2)
    assert torch.equal(weights_of(alone), weights_of(together))
    meta_train(spec, tmp_path / "mixed", workers=2, outer_steps=5)
    mixed = meta_train(spec, tmp_path / "mixed")
    assert torch.equal(weights_of(alone), weights_of(mixed))


def test_meta_training_improves_on_its_base_where_it_was_not_trained(tmp_path: Path) -> None:
    recorder = Recorder()
    spec = small_spec(
        outer={"steps": 40, "pairs": 8, "lr": 0.02}, selection={"every": 20, "tasks": 64}
    )
    out = meta_train(spec, tmp_path / "out", listener=recorder, command="the command")
    _, score, base = recorder.scores[-1]
    assert score < 0.9 * base
    made = provenance_of(out)
    assert made["command"] == "the command" and made["seed"] == 0 and made["date"]
    assert made["figures"]["selection_loss"] == min(s for _, s, _ in recorder.scores)
    assert made["figures"]["outer_steps"] == 40


def test_the_best_state_measured_is_kept_not_the_last() -> None:
    training = MetaTraining(small_spec())
    training.select()
    best = flat_parameters(training.controller())
    for _ in range(2):
        training.update({n: _away(found) for n, found in training.evaluate().items()})
    training.best_score = 0.0  # nothing is better
    training.select()
    assert torch.equal(flat_parameters(training.controller()), best)
    assert not torch.equal(flat_parameters(training.controller(best=False)), best)


def _away(scalars: Tensor) -> Tensor:
    return scalars * torch.tensor([-1.0, 1.0])


def _nan(scalars: Tensor) -> Tensor:
    return torch.full_like(scalars, math.nan)


def test_a_step_that_is_not_finite_is_skipped_and_counted() -> None:
    training = MetaTraining(small_spec())
    training.step()
    before = training.theta
    record = training.update({n: _nan(x) for n, x in training.evaluate().items()})
    assert record.was_skipped and record.n_skipped == 1
    assert torch.equal(training.theta, before)
    record = training.step()
    assert not record.was_skipped and record.n_skipped == 1
    assert not torch.equal(training.theta, before)


def test_three_in_a_row_end_it_with_advice() -> None:
    training = MetaTraining(small_spec())
    training.step()
    for _ in range(2):
        training.update({n: _nan(x) for n, x in training.evaluate().items()})
    with pytest.raises(MetaTrainingError, match=r"3 outer steps in a row .* lower outer\.lr"):
        training.update({n: _nan(x) for n, x in training.evaluate().items()})


class Exploding(Quadratics):
    """Quadratics whose gradients are not finite."""

    name = "exploding"

    def loss(self, arrays: Any, weights: Tensor, batch: Any, split: Any) -> Tensor:
        return super().loss(arrays, weights, batch, split) * (
            math.nan if split == "train" and batch is not None else 1.0
        )


def test_tasks_that_diverge_end_it_and_the_last_good_state_stays(tmp_path: Path) -> None:
    name = f"{__name__}:Exploding"
    spec = small_spec(families=[{"name": name, "size": 4}])
    with pytest.raises(MetaTrainingError):
        meta_train(spec, tmp_path / "out")
    assert bool(weights_of(tmp_path / "out").isfinite().all())


def test_one_diverged_training_does_not_stop_the_others() -> None:
    training = MetaTraining(small_spec())
    training.step()
    scalars = training.evaluate()
    number = min(scalars)
    scalars[number][0, 0, 1] = 0.0  # type: ignore[index]
    record = training.update(scalars)
    assert record.n_diverged == 1 and not record.was_skipped


def test_a_state_of_another_spec_is_refused(tmp_path: Path) -> None:
    meta_train(small_spec(), tmp_path / "out", outer_steps=2)
    with pytest.raises(CheckpointError, match="of another spec"):
        meta_train(small_spec(seed=1), tmp_path / "out")


@pytest.mark.parametrize("what", ["truncated", "gone", "empty"])
def test_a_damaged_state_is_named_in_one_line(what: str, tmp_path: Path) -> None:
    meta_train(small_spec(), tmp_path / "out", outer_steps=2)
    state = latest(state_folder(tmp_path / "out"))
    assert state is not None
    path = state / "shared.safetensors"
    if what == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if what == "truncated" else b"")
    with pytest.raises(CheckpointError, match="missing, truncated or damaged") as caught:
        meta_train(small_spec(), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_what_exists_is_not_overwritten_and_workers_need_stacks(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists: remove it"):
        meta_train(small_spec(), tmp_path / "there")
    with pytest.raises(UsageError, match="1 to 2 workers, got 3"):
        meta_train(small_spec(), tmp_path / "new", workers=3)


def test_it_starts_from_a_controller_that_was_trained_elsewhere(tmp_path: Path) -> None:
    first = meta_train(small_spec(), tmp_path / "first")
    again = MetaTraining(small_spec(seed=5), start=load_controller(first))
    assert torch.equal(again.theta, weights_of(first))


@pytest.mark.gpu
@pytest.mark.parametrize("estimator", ["pes", "truncated_backprop"])
def test_on_a_gpu_it_does_what_it_does_on_a_cpu(estimator: str, tmp_path: Path) -> None:
    stacks = 1 if estimator == "truncated_backprop" else 2
    spec = small_spec(outer={"estimator": estimator, "stacks": stacks}, families=MIXTURE)
    thetas = []
    for device in ("cpu", "cuda"):
        training = MetaTraining(spec, device=device)
        for _ in range(3):
            training.step()
        training.select()
        thetas.append(training.theta)
    torch.testing.assert_close(*thetas, rtol=1e-2, atol=1e-2)
    cut = meta_train(spec, tmp_path / "cut", device="cuda", outer_steps=4)
    meta_train(spec, cut, device="cuda")
    assert bool(weights_of(cut).isfinite().all())

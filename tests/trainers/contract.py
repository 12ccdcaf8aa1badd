"""What every trainer does. A test file names its `start` and inherits the checks.

class TestSequential(TrainerContract):
    start = staticmethod(trainers.start)
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any
from typing import ClassVar
from typing import Protocol

import pytest
import torch
from torch import Tensor

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo import TrainingConfig
from optuna_evo.config import NamedOptimizer
from optuna_evo.tasks import Task
from optuna_evo.trainers import Cohort


ADAMW = TrainingConfig(genome=catalog["adamw"])
SGD = TrainingConfig(genome=catalog["sgd"], batch_size=16)
DROPOUT = TrainingConfig(genome=catalog["published_2025"], model={"dropout": 0.5})
NAMED = TrainingConfig(optimizer=NamedOptimizer.of("NAdam", lr=0.01))
EXPLODING = TrainingConfig(genome=Genome(terms=[("GRAD", 1.0)], lr=1e4))
TWO_MOONS = tasks.get("two_moons")
QUADRATIC = tasks.get("quadratic")


class Start(Protocol):
    """The signature of `trainers.start`."""

    def __call__(
        self, configs: Sequence[TrainingConfig], task: Task, *, seed: int, total_steps: int,
        **options: Any,
    ) -> Cohort: ...  # fmt: skip


def advance(cohort: Cohort, n_steps: int) -> list[float]:
    """Train and measure on the validation split."""
    cohort.train(n_steps)
    return list(cohort.evaluate())


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Tell whether two models have equal weights, bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first | second)


class TrainerContract:
    """Checks on cheap tasks."""

    start: ClassVar[Start]
    # What neighbours may change: nothing, or the rounding of sums.
    rounding: ClassVar[float] = 0.0

    def agree(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
        names = first | second
        return all((first[n] - second[n]).abs().max() <= self.rounding for n in names)

    def trained(
        self, configs: Sequence[TrainingConfig], *, seed: int = 3, n_steps: int = 40
    ) -> Cohort:
        run = self.start(configs, TWO_MOONS, seed=seed, total_steps=n_steps)
        advance(run, n_steps)
        return run

    def test_the_same_seed_gives_the_same_bits_whatever_ran_before(self) -> None:
        first = self.trained([ADAMW, DROPOUT])
        torch.rand(7)
        self.trained([SGD], seed=8)
        again = self.trained([ADAMW, DROPOUT])
        assert first.losses() == again.losses()
        assert all(map(same, first.state_dicts(), again.state_dicts()))

    def test_another_seed_gives_other_weights(self) -> None:
        weights = [self.trained([ADAMW], seed=seed).state_dicts()[0] for seed in (3, 4)]
        assert not same(*weights)

    def test_pieces_do_what_one_piece_does(self) -> None:
        whole, pieces = (
            self.start([DROPOUT, SGD], TWO_MOONS, seed=0, total_steps=40) for _ in range(2)
        )
        advance(whole, 40)
        last = [advance(pieces, n) for n in (7, 23, 10)][-1]
        assert pieces.step == whole.step == 40
        assert last == advance(whole, 0) and pieces.losses() == whole.losses()
        assert all(map(same, whole.state_dicts(), pieces.state_dicts()))

    def test_members_start_equal_and_see_the_same_rows(self) -> None:
        run = self.start([ADAMW, ADAMW, SGD], TWO_MOONS, seed=0, total_steps=40)
        first, second, third = run.state_dicts()
        assert same(first, second) and same(first, third)
        advance(run, 40)
        first, second, third = run.state_dicts()
        assert same(first, second) and not same(first, third)

    def test_a_member_trains_as_if_it_were_alone(self) -> None:
        together = self.trained([SGD, DROPOUT, ADAMW])
        alone = self.trained([DROPOUT])
        assert self.agree(together.state_dicts()[1], alone.state_dicts()[0])
        assert abs(together.losses()[1] - alone.losses()[0]) <= self.rounding

    def test_drop_does_not_disturb_survivors(self) -> None:
        run = self.start([SGD, DROPOUT, ADAMW], TWO_MOONS, seed=3, total_steps=40)
        advance(run, 20)
        run.drop([False, True, True])
        values = advance(run, 20)
        assert run.members == [1, 2] and len(values) == len(run.losses()) == 2
        untouched = self.trained([SGD, DROPOUT, ADAMW]).state_dicts()[1:]
        assert all(map(self.agree, run.state_dicts(), untouched))

    def test_optimizers_of_torch_train_beside_genomes_as_they_train_alone(self) -> None:
        run = self.start([ADAMW, NAMED, SGD, DROPOUT], TWO_MOONS, seed=3, total_steps=40)
        run.train(20)
        run.drop([True, True, False, True])
        run.scale_lr([1.0, 0.5, 1.0])
        values = advance(run, 20)
        alone = self.start([NAMED], TWO_MOONS, seed=3, total_steps=40)
        alone.train(20)
        alone.scale_lr([0.5])
        assert [values[1]] == advance(alone, 20)
        assert same(run.state_dicts()[1], alone.state_dicts()[0])
        assert same(run.checkpoints()[1].model, alone.checkpoints()[0].model)

    def test_the_curves_are_means_of_all_losses_of_each_live_member(self) -> None:
        run = self.start([SGD, DROPOUT, ADAMW], TWO_MOONS, seed=3, total_steps=40)
        steps: list[list[float]] = []
        one = self.start([SGD, DROPOUT, ADAMW], TWO_MOONS, seed=3, total_steps=40, loss_window=1)
        for _ in range(12):
            one.train(1)
            steps.append(list(one.losses()))
        assert run.curves(4) == [[], [], []]
        run.train(12)
        run.drop([True, False, True])
        first, last = run.curves(4)
        assert first == pytest.approx(
            [sum(s[0] for s in steps[i : i + 3]) / 3 for i in (0, 3, 6, 9)]
        )
        assert last == pytest.approx(
            [sum(s[2] for s in steps[i : i + 3]) / 3 for i in (0, 3, 6, 9)]
        )

    def test_a_run_may_lose_all_its_members(self) -> None:
        run = self.start([SGD, ADAMW], TWO_MOONS, seed=0, total_steps=40)
        run.drop([False, False])
        assert advance(run, 20) == run.losses() == run.state_dicts() == []

    def test_drop_wants_one_entry_for_each_live_member(self) -> None:
        run = self.start([SGD, ADAMW], TWO_MOONS, seed=0, total_steps=40)
        with pytest.raises(ValueError, match="each of 2 live members, got 3"):
            run.drop([True, True, False])

    def test_a_diverging_member_measures_nan_and_leaves_the_others_alone(self) -> None:
        run = self.start([ADAMW, EXPLODING], QUADRATIC, seed=0, total_steps=60)
        values = advance(run, 60)
        assert math.isfinite(values[0]) and math.isnan(values[1])
        assert math.isfinite(run.losses()[0]) and math.isnan(run.losses()[1])
        alone = self.start([ADAMW], QUADRATIC, seed=0, total_steps=60)
        assert abs(advance(alone, 60)[0] - values[0]) <= self.rounding
        assert self.agree(alone.state_dicts()[0], run.state_dicts()[0])

    def test_a_diverged_member_trains_no_more(self) -> None:
        run = self.start([EXPLODING], QUADRATIC, seed=0, total_steps=200)
        advance(run, 100)
        before = run.state_dicts()[0]
        advance(run, 100)
        after = run.state_dicts()[0]
        assert all(torch.equal(before[k].nan_to_num(), after[k].nan_to_num()) for k in before)

    def test_the_global_random_generators_are_left_as_they_were(self) -> None:
        torch.manual_seed(11)
        expected = torch.rand(3)
        torch.manual_seed(11)
        self.trained([DROPOUT])
        assert torch.equal(torch.rand(3), expected)

    def test_the_number_of_threads_is_left_as_it_was(self) -> None:
        before = torch.get_num_threads()
        self.trained([DROPOUT])
        assert torch.get_num_threads() == before

    def test_search_never_loads_the_test_split(self) -> None:
        def forbidden(data_dir: object) -> Any:
            raise AssertionError("the test split was loaded")

        task = dataclasses.replace(TWO_MOONS, load_test=forbidden)
        run = self.start([ADAMW], task, seed=0, total_steps=10)
        assert 0.0 <= advance(run, 10)[0] <= 1.0

    def test_test_rows_are_measured_when_they_are_given(self) -> None:
        run = self.trained([ADAMW, SGD], n_steps=200)
        split = TWO_MOONS.load_test(None)
        assert run.evaluate(split)[0] > 0.85 > run.evaluate(split, measure=TWO_MOONS.loss)[0]
        assert len(run.evaluate(split)) == 2

    def test_outputs_are_those_that_the_metric_is_measured_on(self) -> None:
        run = self.start([ADAMW, SGD], TWO_MOONS, seed=3, total_steps=40)
        run.train(40)
        valid = TWO_MOONS.load(None).valid
        measured = [TWO_MOONS.metric(o, valid.targets).item() for o in run.outputs(valid)]  # type: ignore[arg-type]
        assert measured == pytest.approx(self.trained([ADAMW, SGD]).evaluate(valid))

    def test_a_diverged_member_has_no_outputs(self) -> None:
        run = self.start([ADAMW, EXPLODING], QUADRATIC, seed=0, total_steps=60)
        run.train(60)
        outputs = run.outputs(QUADRATIC.load(None).valid)
        assert outputs[0] is not None and outputs[0].shape == (256,) and outputs[1] is None

    def test_scaling_the_learning_rate_is_training_with_another(self) -> None:
        run = self.start([ADAMW, SGD], TWO_MOONS, seed=3, total_steps=40)
        run.scale_lr([1.0, 0.5])
        run.train(40)
        slower = dataclasses.replace(
            SGD, genome=dataclasses.replace(SGD.genome, lr=SGD.genome.lr / 2)
        )
        expected = self.trained([ADAMW, slower]).state_dicts()
        for ours, theirs in zip(run.state_dicts(), expected, strict=True):
            torch.testing.assert_close(dict(ours), dict(theirs))

    def test_measuring_changes_nothing(self) -> None:
        run = self.start([DROPOUT], TWO_MOONS, seed=3, total_steps=40)
        for _ in range(40):
            advance(run, 1)
            run.evaluate(TWO_MOONS.load_test(None))
        assert same(run.state_dicts()[0], self.trained([DROPOUT]).state_dicts()[0])

    def test_losses_are_those_of_the_window(self) -> None:
        run = self.start([ADAMW], TWO_MOONS, seed=0, total_steps=6, loss_window=2)
        assert math.isnan(run.losses()[0])
        single = self.start([ADAMW], TWO_MOONS, seed=0, total_steps=6, loss_window=1)
        steps = []
        for _ in range(6):
            advance(single, 1)
            steps += single.losses()
        advance(run, 6)
        assert run.losses()[0] == pytest.approx(sum(steps[-2:]) / 2)

    def test_schedules_span_the_whole_run(self) -> None:
        run = self.start([DROPOUT], TWO_MOONS, seed=0, total_steps=300)
        advance(run, 299)
        before = run.state_dicts()[0]
        advance(run, 1)
        after = run.state_dicts()[0]
        moved = max((after[k] - before[k]).abs().max().item() for k in before)
        assert moved < 1e-6  # the cosine has come down to nothing

    @pytest.mark.parametrize("n_steps", [-1, 11])
    def test_steps_beyond_the_run_are_refused(self, n_steps: int) -> None:
        run = self.start([ADAMW], TWO_MOONS, seed=0, total_steps=10)
        with pytest.raises(ValueError, match=f"between 0 and 10.*got {n_steps}"):
            advance(run, n_steps)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"seed": -1}, "`seed` must be at least 0, got -1"),
            ({"total_steps": 0}, "`total_steps` must be at least 1, got 0"),
            ({"loss_window": 0}, "`loss_window` must be at least 1, got 0"),
            ({"precision": "float16"}, "`precision` must be one of .* got 'float16'"),
            ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
            ({"model": {"dropuot": 0.1}}, r"takes \['width', 'dropout'\], got {'dropuot': 0.1}"),
        ],
    )
    def test_bad_arguments_are_refused(self, changes: dict[str, Any], message: str) -> None:
        of_config = {key: changes[key] for key in {"batch_size", "model"} & set(changes)}
        config = dataclasses.replace(ADAMW, **of_config)
        arguments: dict[str, Any] = {"seed": 0, "total_steps": 10}
        arguments |= {key: value for key, value in changes.items() if key not in of_config}
        with pytest.raises(ValueError, match=message):
            self.start([config], TWO_MOONS, **arguments)

    def test_digits_are_learned(self) -> None:
        run = self.start([ADAMW, SGD], tasks.get("digits"), seed=0, total_steps=400)
        accuracies = advance(run, 400)
        assert accuracies[0] > 0.9
        assert run.losses()[0] < 0.2

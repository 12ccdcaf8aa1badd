"""Fine-tuning, few-shot adaptation, elastic weight consolidation and replay, in small."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned import ColumnController
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.meta_training import adapt_few_shot
from optuna_evo.meta_training import EWC
from optuna_evo.meta_training import fine_tune
from optuna_evo.meta_training import flat_parameters
from optuna_evo.meta_training import meta_gradients
from optuna_evo.meta_training import MetaSpec
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import Replayed
from optuna_evo.meta_training import Reservoir
from optuna_evo.meta_training import roll
from optuna_evo.meta_training import set_parameters
from optuna_evo.meta_training import task_seeds


FAMILY = Quadratics(size=4)
SPEC = MetaSpec.from_dict(
    {
        "name": "small",
        "controller": {"name": "mlp"},
        "families": [{"name": "quadratics"}],
        "outer": {"steps": 8, "pairs": 4, "truncation": 5, "perturbation": 0.03, "lr": 0.03},
        "horizon": {"low": 10, "high": 10},
    }
)


def controller() -> Controller:
    return MLPController(hidden_size=4, num_layers=1)


def loss(controller: Controller) -> float:
    tasks = FAMILY.sample(task_seeds("test", 16))
    rule = ControllerRule(controller)
    found = roll(tasks, rule, marks=[10], total_steps=10, splits=["test"])
    return float(found["test"].log().mean())


def test_fine_tuning_starts_from_a_controller_and_improves_it() -> None:
    first = controller()
    tuned = fine_tune(SPEC, first, [FAMILY])
    again = fine_tune(SPEC, tuned, [FAMILY])
    assert loss(again) < loss(tuned) < loss(first) == loss(controller())
    assert torch.equal(flat_parameters(tuned), flat_parameters(fine_tune(SPEC, first, [FAMILY])))


def test_fine_tuning_a_column_leaves_the_frozen_controller() -> None:
    first = fine_tune(SPEC, controller(), [FAMILY])
    column = fine_tune(SPEC, ColumnController(column=first, hidden_size=2), [FAMILY])
    assert isinstance(column, ColumnController) and loss(column) != loss(first)
    frozen = torch.cat([b.flatten() for b in column.column.buffers()])
    assert torch.equal(frozen, flat_parameters(first))


def test_the_meta_gradient_of_each_task_is_that_of_finite_differences() -> None:
    first = controller()
    random = torch.Generator().manual_seed(0)
    theta = flat_parameters(first)
    theta = theta + 0.1 * torch.randn(theta.shape, generator=random)
    set_parameters(first, theta)
    along = torch.randn(theta.shape, generator=random)
    given = {"steps": 4, "second_order": True}
    ours = meta_gradients(first, FAMILY, [0, 1, 2], **given)
    alone = torch.cat([meta_gradients(first, FAMILY, [seed], **given) for seed in range(3)])
    torch.testing.assert_close(ours, alone, rtol=1e-3, atol=1e-5)
    assert float((ours[0] - ours[1]).norm()) > 0.01 * float(ours.norm())
    # the mean over steps of log losses is what is differentiated
    ends = []
    for sign in (1, -1):
        set_parameters(first, theta + sign * 1e-2 * along)
        tasks = FAMILY.sample([0, 1, 2])
        marks = [1, 2, 3, 4]
        found = roll(tasks, ControllerRule(first), marks=marks, total_steps=4, splits=["valid"])
        ends.append((found["valid"] + 1e-4).log().mean(0))
    torch.testing.assert_close(
        (ours @ along).double(), (ends[0] - ends[1]) / 2e-2, rtol=2e-2, atol=1e-3
    )


def test_the_importance_is_the_mean_square_of_meta_gradients() -> None:
    first = controller()
    ewc = EWC.of(first, FAMILY, range(6), steps=4, strength=3.0, even=0.0)
    squares = meta_gradients(first, FAMILY, range(6), steps=4).square().mean(0)
    torch.testing.assert_close(ewc.importance, squares / squares.mean())
    theta, lr = ewc.anchor + torch.linspace(-1, 1, len(ewc.anchor)), 0.1
    leaf = ewc(theta, lr).requires_grad_()
    penalty = 1.5 * (ewc.importance * (leaf - ewc.anchor).square()).sum()
    whole = lr * penalty + 0.5 * (leaf - theta).square().sum()
    (gradient,) = torch.autograd.grad(whole, leaf)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-5)


def test_a_stiff_spring_holds_the_meta_parameters() -> None:
    first = fine_tune(SPEC, controller(), [FAMILY])
    other = [Quadratics(size=4, noise=1.0)]
    spring = EWC.of(first, FAMILY, range(6), steps=5, strength=100.0)
    free, held = (fine_tune(SPEC, first, other, penalty=p) for p in (None, spring))

    def moved(controller: Controller) -> Tensor:
        return (flat_parameters(controller) - spring.anchor).square() * spring.importance

    assert float(moved(held).sum()) < 0.5 * float(moved(free).sum())


def test_a_reservoir_holds_each_task_of_a_stream_as_often() -> None:
    counts = torch.zeros(20)
    for seed in range(600):
        reservoir = Reservoir(5, seed=seed)
        for task in range(20):
            reservoir.add(task)
        assert len({*reservoir.tasks}) == 5
        counts[reservoir.tasks] += 1
    chi_square = float(((counts - 150).square() / 150).sum())
    assert chi_square < 43.8  # 19 degrees of freedom, p = 0.001


def test_only_tasks_of_the_reservoir_are_replayed() -> None:
    replayed = Replayed(family=FAMILY, tasks=[7, 9])
    drawn, kept = replayed.sample(range(50)), FAMILY.sample([7, 9] * 25)
    assert torch.equal(drawn.arrays["w"], kept.arrays["w"])
    mixed = fine_tune(SPEC, controller(), [replayed, Quadratics(noise=1.0)], shares=[0.5, 0.5])
    assert loss(mixed) < loss(controller())


def test_few_shot_adaptation_moves_a_tenth_of_the_controller_and_helps() -> None:
    first = controller()
    adapted = adapt_few_shot(first, FAMILY, range(3), steps=6, truncation=2)
    changed = flat_parameters(adapted) != flat_parameters(first)
    assert 0 < int(changed.sum()) <= 0.1 * len(changed)
    assert loss(adapted) < loss(first) == loss(controller())
    named = adapt_few_shot(first, FAMILY, range(2), steps=4, names=["net.2.bias"])
    assert int((flat_parameters(named) != flat_parameters(first)).sum()) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: adapt_few_shot(c, FAMILY, []), "at least one support run"),
        (lambda c: adapt_few_shot(c, FAMILY, [0], share=0.0), "fits into a share of 0.0"),
        (lambda c: adapt_few_shot(c, FAMILY, [0], names=["x"]), "There is no parameter 'x'"),
        (lambda c: EWC(torch.zeros(2), torch.ones(3)), r"of shape \(2,\), got \(3,\)"),
        (lambda c: EWC(torch.zeros(2), torch.ones(2), strength=0), "strength > 0"),
        (lambda c: Reservoir(0), "`capacity` must be at least 1, got 0"),
        (lambda c: Replayed(family=FAMILY, tasks=[]), "no task to replay"),
    ],
)
def test_a_wrong_argument_is_one_line(make: Callable[[Controller], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(controller())

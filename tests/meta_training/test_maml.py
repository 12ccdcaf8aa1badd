"""MAML and Meta-SGD: gradients are the derivatives of what they compute, for any module."""

from collections.abc import Callable
import copy

import pytest
import torch
from torch import nn
from torch import Tensor
from torch.func import functional_call

from optuna_evo.errors import UsageError
from optuna_evo.meta_training import FewShotTasks
from optuna_evo.meta_training import MAML
from optuna_evo.meta_training import MetaSGD
from optuna_evo.meta_training import sinusoids


mse = nn.functional.mse_loss


class Tied(nn.Module):
    """Two layers with one weight, a 0-d parameter and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.shift = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x)) + self.shift
        outputs: Tensor = self.scale * self.second(hidden)
        return outputs


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(x.unsqueeze(0)).squeeze(0)
        return outputs


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4)),
    "tied": Tied,
    "batch norm": lambda: nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4)
    ),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4)),
        nn.Conv1d(1, 2, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8, 4),
    ),
    "attention": Attention,
}
LEARNERS: dict[str, Callable[[nn.Module], MAML]] = {
    "one step": lambda model: MAML(model, mse, inner_lr=0.3),
    "three steps": lambda model: MAML(model, mse, inner_lr=0.2, inner_steps=3),
    "one at a time": lambda model: MAML(model, mse, inner_lr=0.3, vectorized=False),
    "rates of tensors": lambda model: MetaSGD(model, mse, inner_lr=0.3, inner_steps=2),
    "rates of parameters": lambda model: MetaSGD(model, mse, inner_lr=0.3, per="parameter"),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(3)
    return MODELS[name]().double()


def episodes(seed: int = 0, n_tasks: int = 3) -> FewShotTasks:
    generator = torch.Generator().manual_seed(seed)
    return FewShotTasks(*torch.randn(4, n_tasks, 6, 4, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("model", MODELS)
def test_the_meta_gradient_is_that_of_finite_differences(model: str, learner: str) -> None:
    maml, tasks = LEARNERS[learner](built(model)), episodes()
    maml(tasks).backward()
    learned = [p for p in maml.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(1)
    along = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in learned]
    ours = sum(
        float((p.grad * a).sum())
        for p, a in zip(learned, along, strict=True)
        if p.grad is not None
    )
    size, ends = 1e-5, []
    for sign in (1, -2):
        with torch.no_grad():
            for p, a in zip(learned, along, strict=True):
                p += sign * size * a
            ends.append(float(maml(tasks)))
    assert ours == pytest.approx((ends[0] - ends[1]) / (2 * size), rel=1e-5)


def test_the_first_order_gradient_is_that_of_the_adapted_weights_and_another_one() -> None:
    model, tasks = built("mlp"), episodes(n_tasks=1)
    gradients = {}
    for first_order in (False, True):
        maml = MAML(copy.deepcopy(model), mse, inner_lr=0.3, first_order=first_order)
        maml(tasks).backward()
        gradients[first_order] = [p.grad for p in maml.parameters()]
    adapted = MAML(model, mse, inner_lr=0.3).adapt(
        tasks.support_inputs[0], tasks.support_targets[0]
    )
    mse(adapted(tasks.query_inputs[0]), tasks.query_targets[0]).backward()
    torch.testing.assert_close(gradients[True], [p.grad for p in adapted.parameters()])
    for a, b in zip(gradients[True], gradients[False], strict=True):
        assert a is not None and b is not None
        assert (a - b).norm() > 0.01 * b.norm()


def test_adapting_is_gradient_descent_and_leaves_the_model_alone() -> None:
    model, tasks = built("tied"), episodes()
    before = copy.deepcopy(model.state_dict())
    inputs, targets = tasks.support_inputs[0], tasks.support_targets[0]
    adapted = MAML(model, mse, inner_lr=0.1).adapt(inputs, targets, steps=4)
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD([p for p in twin.parameters() if p.requires_grad], lr=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        mse(twin(inputs), targets).backward()
        optimizer.step()
    torch.testing.assert_close(dict(adapted.state_dict()), dict(twin.state_dict()))
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)
    assert all(p.grad is None for p in model.parameters())


def test_tasks_at_once_are_tasks_one_after_the_other() -> None:
    model, tasks = built("batch norm"), episodes()
    losses = [
        MAML(model, mse, inner_lr=0.3, vectorized=vectorized).query_losses(tasks)
        for vectorized in (True, False)
    ]
    torch.testing.assert_close(*losses)
    assert float(model.get_buffer("1.num_batches_tracked")) == 0


def test_zero_steps_ask_the_model_as_it_is() -> None:
    model, tasks = built("mlp"), episodes()
    losses = MAML(model, mse).query_losses(tasks, steps=0)
    outputs = functional_call(model, {}, (tasks.query_inputs,))
    torch.testing.assert_close(losses, (outputs - tasks.query_targets).square().mean((1, 2)))


def test_meta_sgd_learns_rates_that_differ_between_tensors() -> None:
    torch.manual_seed(0)
    learner = MetaSGD(nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 1)), mse)
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-2)
    for step in range(20):
        optimizer.zero_grad()
        learner(sinusoids(10, seed=step)).backward()
        optimizer.step()
    rates = torch.stack([r.detach() for r in learner.rates().values()])
    assert len(rates) == 4 and float(rates.max()) > 1.01 * float(rates.min()) > 0


def test_ten_shots_of_a_sinusoid_after_maml_beat_joint_training() -> None:
    maml, joint = trained("maml", 400), trained("joint", 400)
    tasks = sinusoids(100, seed=10**6)
    ours, theirs = (float(m.query_losses(tasks, steps=5).detach().mean()) for m in (maml, joint))
    assert ours < 0.75 * theirs


def trained(way: str, n_steps: int) -> MAML:
    torch.manual_seed(0)
    layers = [nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)]
    maml = MAML(nn.Sequential(*layers), mse, inner_lr=0.01)
    optimizer = torch.optim.Adam(maml.parameters(), lr=3e-3)
    for step in range(n_steps):
        optimizer.zero_grad()
        tasks = sinusoids(25, seed=step)
        losses = maml.query_losses(tasks, steps=0 if way == "joint" else None)
        losses.mean().backward()
        optimizer.step()
    return maml


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: MAML(m, mse, inner_lr=0.0), "`inner_lr` must be > 0, got 0.0"),
        (
            lambda m: MAML(m, mse, inner_steps=0),
            "`inner_steps` must be a whole number >= 1, got 0",
        ),
        (lambda m: MAML(m.requires_grad_(False), mse), "none to adapt"),
        (lambda m: MetaSGD(m, mse, per="layer"), "`per` must be 'tensor' or 'parameter'"),
        (lambda m: MAML(m, mse).query_losses(episodes(), steps=-1), "`steps` must be"),
        (
            lambda m: MAML(m, mse)(episodes()._replace(query_inputs=torch.zeros(2, 6, 4))),
            r"the same B >= 1 tasks, got \[2, 3\]",
        ),
    ],
)
def test_a_wrong_argument_is_one_line(make: Callable[[nn.Module], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(built("mlp"))

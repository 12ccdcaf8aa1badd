"""Every scheduler of torch drives an evolved rule as it drives torch's own AdamW."""

from collections.abc import Callable
import copy
import inspect
from typing import Any

import pytest
import torch
from torch import nn
from torch import Tensor
from torch.optim import lr_scheduler
from torch.optim import swa_utils

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from tests.optimizers.rules import TrustRatio
from tests.optimizers.test_evolved import assert_equal
from tests.optimizers.test_evolved import parameters
from tests.optimizers.test_evolved import run
from tests.optimizers.test_evolved import set_gradients


N_STEPS = 12
ADAMW = catalog["adamw"]
SIGN = Genome(terms=[("SIGN_GRAD", 1.0)])
Make = Callable[[torch.optim.Optimizer], Any]
SCHEDULERS: dict[str, Make] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=6),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=8),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, N_STEPS),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 1e-3, 0.1, step_size_up=3),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], o
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.05, anneal_epochs=4),
}
CYCLES: dict[str, Callable[..., Any]] = {
    "OneCycleLR": lambda o, **k: lr_scheduler.OneCycleLR(o, 0.1, N_STEPS, **k),
    "CyclicLR": lambda o, **k: lr_scheduler.CyclicLR(o, 1e-3, 0.1, step_size_up=3, **k),
}


def scheduled(
    build: Callable[[list[nn.Parameter]], torch.optim.Optimizer], make: Make
) -> tuple[list[Tensor], torch.optim.Optimizer]:
    params = parameters()
    optimizer = build(params)
    scheduler = make(optimizer)
    for step in range(N_STEPS):
        run(optimizer, params, range(step, step + 1))
        by_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        scheduler.step(*[1.0] if by_loss else [])
    return [p.detach() for p in params], optimizer


def test_no_scheduler_of_torch_is_left_out() -> None:
    there = {
        name
        for name, kind in inspect.getmembers(lr_scheduler, inspect.isclass)
        if issubclass(kind, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert there - {"LRScheduler"} <= SCHEDULERS.keys()


@pytest.mark.parametrize("way", [{}, {"foreach": True}, {"foreach": False}, {"capturable": True}])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduled_rule_trains_as_adamw_does(name: str, way: dict[str, bool]) -> None:
    # a capturable step reads rates from tensors, which schedulers fill
    lr: Any = torch.tensor(ADAMW.lr, dtype=torch.float64) if way.get("capturable") else ADAMW.lr
    ours, optimizer = scheduled(
        lambda ps: EvolvedOptimizer([{"params": ps, "lr": copy.deepcopy(lr)}], ADAMW, **way),
        SCHEDULERS[name],
    )
    theirs, peer = scheduled(lambda ps: torch.optim.AdamW(ps, lr=ADAMW.lr), SCHEDULERS[name])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(peer.param_groups[0]["lr"])
    assert optimizer.param_groups[0]["betas"] == pytest.approx(peer.param_groups[0]["betas"])


@pytest.mark.parametrize("name", ["momentum", "lion", "published_2025"])
@pytest.mark.parametrize("cycle", CYCLES)
def test_the_momentum_of_a_rule_that_reads_m_is_cycled(cycle: str, name: str) -> None:
    genome = catalog[name]
    assert "beta1" in genome.rule.betas
    outcomes = [
        scheduled(
            lambda ps: EvolvedOptimizer(ps, genome, total_steps=N_STEPS),
            lambda o, on=on: CYCLES[cycle](  # type: ignore[misc]
                o, cycle_momentum=on, base_momentum=0.3, max_momentum=0.6
            ),
        )
        for on in (True, False)
    ]
    assert 0.3 <= outcomes[0][1].param_groups[0]["betas"][0] <= 0.6 < genome.rule.beta1
    assert not all(map(torch.equal, outcomes[0][0], outcomes[1][0]))


@pytest.mark.parametrize("genome", [SIGN, catalog["rmsprop"], catalog["sgd"]])
@pytest.mark.parametrize("cycle", CYCLES)
def test_a_cycle_leaves_a_rule_without_m_its_numbers(cycle: str, genome: Genome) -> None:
    assert "beta1" not in genome.rule.betas
    outcomes = [
        scheduled(
            lambda ps: EvolvedOptimizer(ps, genome),
            lambda o, on=on: CYCLES[cycle](o, cycle_momentum=on),  # type: ignore[misc]
        )[0]
        for on in (True, False)
    ]
    assert_equal(*outcomes)


@pytest.mark.parametrize("cycle", CYCLES)
def test_the_momentum_of_another_rule_is_its_own(cycle: str) -> None:
    optimizer = EvolvedOptimizer(parameters(), TrustRatio())
    with pytest.raises(ValueError, match="momentum or beta1 with `cycle_momentum`"):
        CYCLES[cycle](optimizer)
    CYCLES[cycle](optimizer, cycle_momentum=False)


@pytest.mark.parametrize("cycle", CYCLES)
def test_a_cycle_goes_on_from_a_saved_state(cycle: str) -> None:
    uninterrupted, _ = scheduled(lambda ps: EvolvedOptimizer(ps, ADAMW), CYCLES[cycle])
    params = parameters()
    first, second = (EvolvedOptimizer(params, ADAMW) for _ in range(2))
    before, after = CYCLES[cycle](first), CYCLES[cycle](second)
    for step in range(N_STEPS):
        optimizer, scheduler = (first, before) if step < 5 else (second, after)
        run(optimizer, params, range(step, step + 1))
        scheduler.step()
        if step == 4:
            second.load_state_dict(first.state_dict())
            after.load_state_dict(before.state_dict())
    assert_equal([p.detach() for p in params], uninterrupted)


def test_averages_of_weights_are_those_beside_adamw() -> None:
    averaged = []
    for build in (
        lambda ps: EvolvedOptimizer(ps, ADAMW),
        lambda ps: torch.optim.AdamW(ps, lr=ADAMW.lr),
    ):
        torch.manual_seed(0)
        model = nn.Linear(3, 2).double()
        means = [
            swa_utils.AveragedModel(model),
            swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)),
        ]
        params = list(model.parameters())
        optimizer = build(params)
        for step in range(4):
            set_gradients(params, step)
            optimizer.step()
            for mean in means:
                mean.update_parameters(model)
        averaged.append([p.detach() for mean in means for p in mean.parameters()])
    torch.testing.assert_close(averaged[0], averaged[1])

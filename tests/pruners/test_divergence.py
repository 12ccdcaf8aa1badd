"""The rule of divergence, and the pruner that applies it."""

from collections.abc import Sequence
import subprocess
import sys

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.curves import has_diverged
from optuna_evo.pruners import DivergencePruner


NAN, INF = float("nan"), float("inf")
HEALTHY = [
    [],
    [0.5],
    [1e30],
    [2.3, 1.9, 0.4],
    [2.3, 0.001, 0.5],
    [2.3, 4.0, 9.0],
    [-3.0, -3.5, 20.0],
    [0.0, 0.0, 5.0],
    [NAN, 2.0, 1.0],
    [NAN, 2.0],
]
DIVERGED = [
    [NAN],
    [INF],
    [-INF],
    [2.3, NAN],
    [2.3, 0.1, INF],
    [2.3, 0.4, 31.0],
    [-3.0, -3.5, 40.0],
]


def pruned(values: Sequence[float], direction: str = "minimize", **options: object) -> bool:
    study = optuna.create_study(direction=direction, pruner=DivergencePruner(**options))
    trial = study.ask()
    for step, value in enumerate(values):
        trial.report(value, step)
    return trial.should_prune()


@pytest.mark.parametrize("values", HEALTHY, ids=str)
def test_a_healthy_run_goes_on(values: list[float]) -> None:
    assert not has_diverged(values)
    assert not pruned(values)


@pytest.mark.parametrize("values", DIVERGED, ids=str)
def test_a_diverged_run_is_stopped(values: list[float]) -> None:
    assert has_diverged(values)
    assert pruned(values)


@pytest.mark.parametrize("values", [*HEALTHY, *DIVERGED], ids=str)
def test_maximising_is_minimising_the_negative(values: list[float]) -> None:
    negative = [-value for value in values]
    assert has_diverged(negative, direction="maximize") == has_diverged(values)
    assert pruned(negative, "maximize") == pruned(values)


@pytest.mark.parametrize("values", [*HEALTHY, *DIVERGED], ids=str)
def test_first_best_and_last_decide_alone(values: list[float]) -> None:
    finite = [value for value in values[:-1] if abs(value) < INF]
    short = [finite[0], min(finite), values[-1]] if finite else values[-1:]
    assert has_diverged(short) == has_diverged(values)


def test_an_accuracy_that_falls_to_chance_is_no_divergence() -> None:
    assert not pruned([0.1, 0.9, 0.1], "maximize")


def test_the_factor_sets_how_far_a_value_may_rise() -> None:
    assert pruned([1.0, 4.0], factor=2.0)
    assert not pruned([1.0, 4.0], factor=4.0)
    assert not pruned([1.0, 1e12], factor=None)
    assert pruned([1.0, INF], factor=None)


def test_an_explosion_is_seen_from_the_warmup_step_on_but_nan_at_once() -> None:
    values = [1.0, 1e6, 1e6]
    assert pruned(values, n_warmup_steps=2)
    assert not pruned(values, n_warmup_steps=3)
    assert pruned([NAN], n_warmup_steps=3)


def test_steps_reported_out_of_order_are_put_in_order() -> None:
    trial = optuna.create_study(pruner=DivergencePruner()).ask()
    for step, value in [(5, 0.5), (0, 100.0)]:
        trial.report(value, step)
    assert not trial.should_prune()


def test_it_spares_a_study_the_steps_of_diverging_trials() -> None:
    def objective(trial: optuna.Trial) -> float:
        lr, x = trial.suggest_float("lr", 0.1, 3.0), 1.0
        for step in range(500):
            x -= lr * 2 * x
            trial.report(x**2, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x**2

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler, pruner=DivergencePruner())
    study.optimize(objective, n_trials=20)
    for trial in study.trials:
        diverges = abs(1 - 2 * trial.params["lr"]) > 1
        assert (trial.state == TrialState.PRUNED) == diverges
        assert not diverges or len(trial.intermediate_values) < 400


@pytest.mark.parametrize(
    ("options", "message"),
    [({"factor": 0.0}, "factor"), ({"factor": NAN}, "factor"), ({"n_warmup_steps": -1}, "warmup")],
)
def test_a_wrong_argument_is_named_in_the_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DivergencePruner(**options)


def test_a_wrong_direction_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="direction"):
        has_diverged([1.0], direction="down")


def test_the_rule_needs_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, optuna_evo.curves\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'optuna', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

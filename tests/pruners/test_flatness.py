"""A run ends early when its curve is flat, keeps its value, and only then."""

from collections.abc import Sequence
import math
import sys

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.pruners import FlatnessPruner
from optuna_evo.pruners import slope_is_flat


def _flat_at(values: Sequence[float], direction: str = "minimize", **kwargs: float) -> int | None:
    """Return the step at which a run that reports these values is stopped."""
    study = optuna.create_study(direction=direction, pruner=FlatnessPruner(**kwargs))
    trial = study.ask()
    for step, value in enumerate(values):
        trial.report(value, step)
        if trial.should_prune():
            return step
    return None


def _falling(n: int) -> list[float]:
    return [1.0 - step / n for step in range(n)]


def test_a_run_without_reports_is_never_flat() -> None:
    study = optuna.create_study(pruner=FlatnessPruner())
    assert not study.ask().should_prune()


def test_a_steady_fall_is_never_flat() -> None:
    assert _flat_at(_falling(50)) is None


def test_a_plateau_is_flat_soon_after_the_fall_ends() -> None:
    stopped = _flat_at([*_falling(10), *[0.0] * 30])
    assert stopped is not None
    assert 15 < stopped < 30


def test_a_curve_that_gets_worse_is_flat() -> None:
    assert _flat_at([*_falling(10), *[0.1 + step / 20 for step in range(20)]]) is not None


def test_maximising_mirrors_minimising() -> None:
    curve = [*_falling(10), *[0.0] * 30]
    assert _flat_at([-v for v in curve], "maximize") == _flat_at(curve)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_the_value_does_not_matter(scale: float) -> None:
    curve = [*_falling(10), *[0.0] * 30]
    assert _flat_at([scale * v + 3.0 * scale for v in curve]) == _flat_at(curve)


def test_noise_on_a_falling_curve_does_not_stop_it() -> None:
    rng = np.random.default_rng(0)
    curve = np.exp(-np.arange(60) / 30) + 0.01 * rng.standard_normal(60)
    assert _flat_at(list(curve)) is None


def test_smoothing_sees_through_an_alternating_plateau() -> None:
    curve = [*_falling(10), *[0.02 * (-1) ** step for step in range(60)]]
    assert _flat_at(curve, smoothing=0.8) is not None


def test_patience_asks_for_more_flat_reports() -> None:
    curve = [*_falling(10), *[0.0] * 60]
    early, late = _flat_at(curve, patience=1), _flat_at(curve, patience=10)
    assert early is not None
    assert late == early + 9


def test_no_stop_during_the_warmup() -> None:
    assert _flat_at([0.5] * 40, n_warmup_steps=30) == 30


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_left_to_other_pruners(bad: float) -> None:
    assert not slope_is_flat([1.0, *[0.5] * 20, bad])


def test_an_old_nan_does_not_hide_a_plateau() -> None:
    assert slope_is_flat([math.nan, 1.0, *[0.5] * 40])


def test_a_flat_run_is_complete_with_its_value() -> None:
    pruner = FlatnessPruner()
    study = optuna.create_study(pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        for step in range(1_000):
            trial.report(0.5**step, step)
            if trial.should_prune() and pruner.is_flat(study, trial):
                return 0.5**step
        raise AssertionError("the run was never stopped")

    study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE
    assert study.best_value < 0.01


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"window": 1}, "`window` must be at least 2"),
        ({"tolerance": -0.1}, "`tolerance` must be at least 0"),
        ({"patience": 0}, "`patience` must be at least 1"),
        ({"smoothing": 1.0}, r"`smoothing` must be in \[0, 1\)"),
        ({"n_warmup_steps": -1}, "`n_warmup_steps` must be at least 0"),
    ],
)
def test_a_wrong_argument_is_named(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlatnessPruner(**kwargs)


@pytest.mark.parametrize("scale", [1e-290, 1.0, 1e290, sys.float_info.max])
def test_flatness_has_no_unit_not_even_a_huge_one(scale: float) -> None:
    falling = [scale * (1.0 - 0.02 * step) for step in range(40)]
    flat = [scale * value for value in (1.0, 0.5, 0.3)] + [0.25 * scale] * 30
    with np.errstate(all="raise", under="ignore"):
        assert slope_is_flat(flat) and not slope_is_flat(falling)
        assert not slope_is_flat([scale, -scale] * 20)

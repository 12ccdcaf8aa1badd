"""Early stopping and reduce-on-plateau as functions of a curve."""

import math

import pytest
import torch

from optuna_evo.curves import EarlyStopping
from optuna_evo.curves import ReduceOnPlateau


@pytest.mark.parametrize(
    ("values", "is_over"),
    [
        ([], False),
        ([0.5, 0.6, 0.7], False),
        ([0.5, 0.7, 0.6], False),
        ([0.5, 0.7, 0.6, 0.7], True),
        ([0.5, 0.7, 0.6, 0.65, 0.8], False),
        ([0.5, math.nan, math.nan], True),
    ],
)
def test_a_training_stops_when_its_best_is_two_reports_old(
    values: list[float], is_over: bool
) -> None:
    stopping = EarlyStopping(patience=2)
    assert stopping.is_over(values, higher_is_better=True) is is_over
    assert stopping.is_over([-v for v in values], higher_is_better=False) is is_over


def test_an_improvement_below_the_least_is_none() -> None:
    assert EarlyStopping(patience=1, min_delta=0.1).is_over([0.5, 0.59], higher_is_better=True)
    assert not EarlyStopping(patience=1, min_delta=0.1).is_over([0.5, 0.61], higher_is_better=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_learning_rate_is_reduced_where_torch_reduces_it(seed: int) -> None:
    values = torch.rand(60, generator=torch.Generator().manual_seed(seed)).tolist()
    policy = ReduceOnPlateau(factor=0.5, patience=2, min_delta=0.05, min_scale=0.01)
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        sgd, "max", 0.5, patience=2, threshold=0.05, threshold_mode="abs", min_lr=0.01
    )
    for n, value in enumerate(values, start=1):
        scheduler.step(value)
        ours = policy.scale(values[:n], higher_is_better=True)
        assert ours == pytest.approx(sgd.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "early_stopping.patience` must be at least 1, got 0"),
        (lambda: ReduceOnPlateau(patience=-1), "on_plateau.patience` must be at least 0, got -1"),
        (lambda: ReduceOnPlateau(factor=1.5), "factor` must be between 0 and 1, got 1.5"),
        (lambda: ReduceOnPlateau(min_scale=2), r"min_scale` must be in \[0, 1\], got 2"),
    ],
)
def test_values_out_of_range_are_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()

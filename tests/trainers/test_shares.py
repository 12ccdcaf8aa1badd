"""A course of losses in a few numbers."""

import math

import numpy as np
import pytest
import torch

from optuna_evo.trainers._shares import means_of_shares


@pytest.mark.parametrize(("n", "points"), [(1, 4), (7, 3), (10, 5), (40, 32), (3, 3)])
def test_each_number_is_the_mean_of_its_share_and_no_step_is_lost(n: int, points: int) -> None:
    losses = torch.rand(2, n, dtype=torch.float64)
    found = means_of_shares(losses, points)
    k = min(n, points)
    for row, means in zip(losses.numpy(), found, strict=True):
        shares = [row[n * i // k : n * (i + 1) // k] for i in range(k)]
        assert means == pytest.approx([share.mean() for share in shares])
        assert sum(len(share) for share in shares) == n
    assert np.mean(found[0]) == pytest.approx(float(losses[0].mean())) or n % k


def test_a_share_with_a_loss_that_is_not_finite_is_nan_and_no_other_is() -> None:
    losses = torch.tensor([[1.0, math.inf, 3.0, -math.inf, math.nan, 2.0]])
    assert [math.isnan(m) for m in means_of_shares(losses, 3)[0]] == [True, True, True]
    (means,) = means_of_shares(torch.tensor([[1.0, 3.0, math.inf, 1.0]]), 2)
    assert means[0] == 2.0 and math.isnan(means[1])


def test_nothing_has_no_means() -> None:
    assert means_of_shares(torch.empty(2, 0), 4) == [[], []]
    assert means_of_shares(torch.empty(0, 4), 4) == []

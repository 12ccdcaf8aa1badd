"""The rule of divergence on losses of single steps; the pruner's tests have reported values."""

import math
import random

import pytest
import torch

from optuna_evo.curves import has_diverged
from optuna_evo.curves import RECENT_LOSSES
from optuna_evo.curves import recent_losses
from optuna_evo.trainers._divergence import diverged


NAN, INF = math.nan, math.inf


def judged(losses: list[float], *, is_over: bool = False) -> bool:
    return has_diverged(losses, window=recent_losses(len(losses), is_over=is_over))


def synthetic(seed: int) -> list[float]:
    """A loss that falls with noise; one in three explodes, one in three spikes, some hold NaN."""
    rng = random.Random(seed)
    losses = [2.3 * math.exp(-i / 40) * rng.lognormvariate(0, 0.3) for i in range(120)]
    start, height = rng.randrange(120), 10 ** rng.uniform(0, 4)
    length = (0, rng.randrange(1, 10), 120)[seed % 3]
    for i in range(start, min(120, start + length)):
        losses[i] *= height
    if seed % 7 == 0:
        losses[rng.randrange(120)] = rng.choice([NAN, INF])
    return losses


@pytest.mark.parametrize("length", [1, 24])
def test_a_spike_is_no_divergence_while_it_is_shorter_than_the_window(length: int) -> None:
    losses = [2.3] * 30 + [1e4] * length + [2.0] * (25 - length)
    assert not any(judged(losses[:n]) for n in range(1, len(losses) + 1))


def test_a_run_that_stays_far_above_its_start_has_diverged_when_the_window_is_full() -> None:
    losses = [2.3, 2.2] + [50.0] * 60
    verdicts = [judged(losses[:n]) for n in range(1, len(losses) + 1)]
    assert verdicts == [False] * (RECENT_LOSSES + 1) + [True] * (60 - RECENT_LOSSES + 1)


def test_whether_a_run_that_is_over_diverged_is_decided_by_half_of_its_losses() -> None:
    short = [0.7, 0.6, 1e5, 1e6]
    assert judged(short, is_over=True) and not judged(short)
    assert not judged([0.7, 1e5, 1e4, 0.6], is_over=True)
    assert judged([2.3] * 50 + [60.0] * 25, is_over=True)


@pytest.mark.parametrize("losses", [[NAN], [2.3, NAN, 1.0], [2.3, INF], [-INF, 1.0]], ids=str)
def test_what_is_not_finite_stays_in_the_weights(losses: list[float]) -> None:
    is_spike = losses == [2.3, INF]  # its weights may be finite still: a NaN follows if not
    assert judged(losses) is not is_spike


def test_a_window_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="`window` must be at least 1, got 0"):
        has_diverged([1.0], window=0)


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 25, 26, 60, 119])
def test_cohorts_decide_for_all_members_at_once_by_the_same_rule(n: int, is_over: bool) -> None:
    curves = [synthetic(seed)[:n] for seed in range(200)]
    expected = [judged(losses, is_over=is_over) for losses in curves]
    found = diverged(torch.tensor(curves, dtype=torch.float64).view(200, n), is_over=is_over)
    assert found == expected
    assert n < 60 or 10 < sum(expected) < 100  # or nothing is shown

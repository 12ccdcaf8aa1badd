"""Two verdicts, each with three answers, neither deciding the other."""

import math

import numpy as np
import pytest

from optuna_evo.evaluation import better
from optuna_evo.evaluation import holm
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import Paired
from optuna_evo.evaluation import paired
from optuna_evo.evaluation import valid


LOSSES = [0.20, 0.22, 0.21, 0.19, 0.20, 0.23, 0.18, 0.21, 0.20, 0.22]


def test_valid_is_an_interval_beyond_the_target() -> None:
    interval = Interval.bootstrap(LOSSES)
    for target, answer in ((0.25, "yes"), (0.206, "open"), (0.15, "no")):
        found = valid(LOSSES, target)
        assert (found.answer, found.interval, found.diverged) == (answer, interval, 0)
        accuracies = [1 - loss for loss in LOSSES]
        assert valid(accuracies, 1 - target, minimize=False).answer == answer
    assert valid(LOSSES, 0.25) and not valid(LOSSES, 0.206)
    assert valid(LOSSES, interval.high).answer == "yes"
    assert valid(LOSSES, math.nextafter(interval.high, 0)).answer == "open"


def test_one_training_decides_nothing() -> None:
    assert valid([0.1], 0.2).answer == "open"


def test_what_diverges_is_not_valid_unless_allowed() -> None:
    values = [*LOSSES, math.nan, math.inf]
    assert valid(values, 0.25).answer == "no" and valid(values, 0.25).diverged == pytest.approx(
        1 / 6
    )
    allowed = valid(values, 0.25, most_diverged=0.2)
    assert allowed.answer == "yes" and allowed.interval == Interval.bootstrap(LOSSES)
    assert valid([math.nan], 0.25, most_diverged=1.0).answer == "no"
    with pytest.raises(ValueError, match="at least one"):
        valid([], 0.25)


def comparison(mean: float, half: float, p_value: float) -> Paired:
    return Paired(Interval(mean, mean - half, mean + half), p_value, (mean,), "seed")


@pytest.mark.parametrize(
    ("mean", "half", "p_value", "answer"),
    [
        (-0.2, 0.1, 0.01, "yes"),
        (0.2, 0.1, 0.01, "no"),
        (-0.2, 0.3, 0.01, "open"),
        (-0.2, 0.1, 0.06, "open"),
        (-0.2, 0.1, 0.05, "yes"),
    ],
)
def test_better_takes_an_interval_and_a_test(
    mean: float, half: float, p_value: float, answer: str
) -> None:
    found = better(comparison(mean, half, p_value))
    assert (found.answer, found.p_value, bool(found)) == (answer, p_value, answer == "yes")
    other = {"yes": "no", "no": "yes", "open": "open"}
    assert better(comparison(mean, half, p_value), minimize=False).answer == other[answer]


def test_a_corrected_p_value_stands_in_for_the_own_one() -> None:
    one = comparison(-0.2, 0.1, 0.02)
    corrected = holm([one.p_value, 0.01, 0.4])
    assert better(one).answer == "yes" and better(one, p_value=corrected[0]).answer == "yes"
    assert corrected[0] == pytest.approx(0.04)
    corrected = holm([one.p_value] * 3)
    assert better(one, p_value=corrected[0]).answer == "open"


def test_the_verdicts_do_not_decide_each_other() -> None:
    rng = np.random.default_rng(0)
    theirs = {("a", seed): 0.5 + 0.1 * rng.normal() for seed in range(10)}
    ours = {cell: loss - 0.1 + 0.01 * rng.normal() for cell, loss in theirs.items()}
    assert better(paired(ours, theirs)) and valid(list(ours.values()), 0.2).answer == "no"
    assert better(paired(theirs, ours)).answer == "no" and valid(list(theirs.values()), 0.9)


def test_two_equal_optimizers_seldom_seem_different() -> None:
    rng, false = np.random.default_rng(3), 0
    for _ in range(300):
        theirs = {("a", seed): float(rng.normal()) for seed in range(10)}
        ours = {cell: loss + float(rng.normal()) for cell, loss in theirs.items()}
        false += better(paired(ours, theirs)).answer != "open"
    assert 0 < false / 300 < 0.07


def test_one_per_cent_is_found_with_thirty_seeds() -> None:
    rng = np.random.default_rng(3)
    theirs = {("a", seed): float(rng.normal()) for seed in range(30)}
    ours = {cell: loss - 0.01 + 0.01 * float(rng.normal()) for cell, loss in theirs.items()}
    assert better(paired(ours, theirs))

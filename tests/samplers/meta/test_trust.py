"""Whether sources are of use, by the order of results."""

import numpy as np
from numpy.typing import NDArray
import pytest

from optuna_evo.samplers._meta._trust import order_evidence
from optuna_evo.samplers._meta._trust import Trust
from optuna_evo.samplers._meta._trust import trust


Array = NDArray[np.float64]
EQUAL = np.array([0.5, 0.5])


def judged(results: Array, *means: Array) -> Trust:
    return trust(np.stack(means, axis=1), results, np.full(len(means), 1.0 / len(means)))


def test_nothing_is_known_before_two_results() -> None:
    for n in (0, 1):
        assert trust(np.zeros((n, 2)), np.zeros(n), EQUAL).useful == Trust.before(EQUAL).useful


def test_a_control_that_is_worse_speaks_for_a_source_and_a_better_one_against_it() -> None:
    means = np.array([-1.5, 1.0])
    before = Trust.before(np.ones(1)).useful
    assert judged(np.array([0.1, 0.9]), means).useful > before
    against = judged(np.array([0.9, 0.1]), means)
    assert against.useful < 0.5
    assert against.opposite > against.useful
    assert against.balance.sum() < 0


def test_a_tie_where_a_source_promised_a_difference_speaks_against_it_however_turned() -> None:
    evidence = order_evidence(np.array([[-1.5, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5]))
    assert evidence[0] < -0.3
    assert evidence[1] == 0.0
    turned = order_evidence(np.array([[1.5], [-1.0]]), np.array([0.5, 0.5]))
    assert turned[0] == pytest.approx(evidence[0])


def test_shares_go_to_the_source_that_orders_the_results() -> None:
    rng = np.random.default_rng(0)
    results = rng.standard_normal(12)
    found = judged(results, results, rng.standard_normal(12))
    assert found.shares[0] > 0.9
    assert found.useful > 0.95


def test_values_without_meaning_are_not_trusted_in_the_long_run() -> None:
    rng = np.random.default_rng(1)
    useful = [judged(rng.standard_normal(40), rng.standard_normal(40)).useful for _ in range(40)]
    assert np.mean(np.array(useful) < 0.5) > 0.8


def test_the_order_of_trials_and_the_scale_of_results_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    results, means = rng.standard_normal(9), rng.standard_normal((9, 2))
    found = trust(means, results, EQUAL)
    mixed = rng.permutation(9)
    again = trust(means[mixed], np.exp(5.0 * results[mixed]), EQUAL)
    assert again.useful == pytest.approx(found.useful)
    np.testing.assert_allclose(again.shares, found.shares)


def test_a_source_without_a_share_gets_none() -> None:
    results = np.array([0.0, 1.0, 2.0])
    means = np.stack([results, results], axis=1)
    np.testing.assert_array_equal(trust(means, results, np.array([0.0, 1.0])).shares, [0.0, 1.0])

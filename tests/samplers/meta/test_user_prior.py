"""What a user believes: checked in one line, followed at first, outgrown by evidence."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
import pytest

from optuna_evo.errors import UsageError
from optuna_evo.samplers import check_priors
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers._meta._user_prior import draw_prior
from optuna_evo.samplers._meta._user_prior import log_density
from optuna_evo.samplers._meta._user_prior import read_priors
from optuna_evo.surrogates import SpaceEncoding
from tests.samplers.meta.old_studies import bowl
from tests.samplers.meta.old_studies import started


SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"rate": {"center": 1.0}}, "no such parameter; there are dropout, kind, lr"),
        ({"lr": {"center": 1.0}}, r"in the range \[1e-05, 0.1\]"),
        ({"lr": {"center": 1e-3, "spread": 1.0}}, "a factor above 1"),
        ({"lr": {"center": 1e-3, "spread": -1}}, "positive number"),
        ({"lr": {"centre": 1e-3}}, "must be a table such as"),
        ({"lr": 1e-3}, "must be a table such as"),
        ({"lr": {"spread": 2}}, "needs a `center`"),
        ({"dropout": {"center": "high"}}, "must be a number"),
        ({"kind": {"center": "d"}}, "'d' is not a choice; there are 'a', 'b', 'c'"),
        ({"kind": {"weights": {"a": 0}}}, "table of positive numbers"),
        ({"kind": {"center": "a", "spread": 2}}, "a category has no `spread`"),
    ],
)
def test_a_wrong_belief_is_refused_in_one_line(priors: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        check_priors(priors, SPACE)
    assert "\n" not in str(error.value)


def test_the_sampler_refuses_a_center_outside_the_range_when_it_sees_it() -> None:
    sampler = MetaPriorSampler(priors={"lr": {"center": 1.0}}, seed=0)
    with pytest.raises(UsageError, match="Prior of 'lr'"):
        started(sampler, bowl(1e-3), 1)


def test_draws_follow_the_belief() -> None:
    priors = read_priors(
        {
            "lr": {"center": 1e-3, "spread": 2},
            "dropout": {"center": 0.1, "spread": 0.02},
            "kind": {"weights": {"a": 98}},
        }
    )
    units = draw_prior(priors, SpaceEncoding(SPACE), 2_000, np.random.default_rng(0))
    assert units.mean(axis=0)[:2] == pytest.approx([0.5, 0.2], abs=0.01)
    # ln 2 of a range of ln 10^4
    assert units.std(axis=0)[:2] == pytest.approx([0.0753, 0.04], rel=0.05)
    assert (units[:, 2] == 0).mean() == pytest.approx(0.98, abs=0.01)


def test_the_density_is_highest_at_the_center() -> None:
    priors = read_priors({"lr": {"center": 1e-3}, "kind": {"center": "b"}})
    units = np.array([[0.5, 0.0, 1.0], [0.6, 0.0, 1.0], [0.5, 0.0, 2.0], [np.nan, 0.0, 1.0]])
    density = log_density(priors, SpaceEncoding(SPACE), units)
    assert density[0] == density[3] == 0.0
    assert (density[1:3] < 0.0).all()


def test_a_right_belief_helps_from_the_first_trial() -> None:
    priors = {"lr": {"center": 1e-3, "spread": 1.5}, "kind": {"center": "b"}}
    informed, cold = (
        [started(MetaPriorSampler(priors=p, seed=s), bowl(1e-3), 6).best_value for s in range(8)]
        for p in (priors, None)
    )
    assert np.mean(informed) < 0.7 * np.mean(cold)


def test_a_wrong_belief_is_outgrown() -> None:
    priors = {"lr": {"center": 1e-5, "spread": 1.2}, "kind": {"weights": {"c": 20}}}
    study = started(MetaPriorSampler(priors=priors, seed=0), bowl(1e-2), 40)
    assert study.trials[0].params["lr"] < 2e-5
    assert study.best_value < 0.1

"""Lengths grow with the parameters that a configuration has, in every process that is fitted."""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.samplers import _belief
from optuna_evo.samplers import _cost
from optuna_evo.samplers import _feasibility
from optuna_evo.samplers._ga import _screen
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import Observation
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rank import Rank
from optuna_evo.surrogates import fit_kernel
from optuna_evo.surrogates import n_active


FLAT: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution("ab"),
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(0.0, 1.0),
}


def drawn(n: int, *, conditional: bool) -> list[dict[str, Any]]:
    """Return configurations of three parameters, of which two have one of x and y each."""
    rng = np.random.default_rng(0)
    rows = [{"kind": "ab"[k % 2], "x": rng.random(), "y": rng.random()} for k in range(n)]
    if conditional:
        for k, row in enumerate(rows):
            row.pop("xy"[k % 2])
    return rows


def believed(params: list[dict[str, Any]]) -> None:
    observations = [
        Observation(k, p, float(k), {"memory": k - 4.5}, 1.0 + k) for k, p in enumerate(params)
    ]
    lacking = frozenset(name for name in FLAT if any(name not in p for p in params))
    space = {name: FLAT[name] for name in sorted(FLAT)}
    belief = _belief.believe(
        History(space, lacking, observations, [], [], len(params), len(params)), LastResult()
    )
    assert belief.feasibility is not None and belief.price is not None


@pytest.mark.parametrize("conditional, together", [(False, [3.0] * 3), (True, [2.0] * 3)])
def test_constraints_and_costs_are_learned_like_the_objective(
    monkeypatch: pytest.MonkeyPatch, conditional: bool, together: list[float]
) -> None:
    seen: dict[str, Any] = {}
    for module in (_belief, _cost, _feasibility):

        def fit(*args: Any, name: str = module.__name__, active: Any, **settings: Any) -> Any:
            seen[name] = active
            return fit_kernel(*args, active=active, **settings)

        monkeypatch.setattr(module, "fit_kernel", fit)
    believed(drawn(12, conditional=conditional))
    assert len(seen) == 3
    for active in seen.values():
        np.testing.assert_array_equal(active, together)


def screened(monkeypatch: pytest.MonkeyPatch, params: list[dict[str, Any]], **space: Any) -> Any:
    seen: list[Any] = []

    def fit(*args: Any, active: Any) -> Any:
        seen.append(active)
        return fit_kernel(*args, active=active)

    monkeypatch.setattr(_screen, "fit_kernel", fit)
    everything: dict[str, BaseDistribution] = FLAT | space
    trials = [
        (p, {name: everything[name] for name in p}, Rank(False, 0.0, float(k)))
        for k, p in enumerate(params)
    ]
    _screen.Screen(trials, [ListSpec("n", ("term_{i}", "alpha_{i}"))], LastResult())
    return seen[0]


def test_the_screen_counts_what_children_have(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = screened(monkeypatch, drawn(12, conditional=False))
    np.testing.assert_array_equal(flat, [3.0] * 3)
    branched = screened(monkeypatch, drawn(12, conditional=True))
    np.testing.assert_array_equal(branched, [2.0] * 3)


def test_a_number_of_a_kind_is_there_where_the_kind_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    params = [{"n": 1, "term_0": "ab"[k % 2], "alpha_0": rng.random()} for k in range(12)]
    term, alpha = CategoricalDistribution("ab"), FloatDistribution(0.0, 1.0)
    length = IntDistribution(1, 2)
    active = screened(monkeypatch, params, n=length, term_0=term, alpha_0=alpha)
    # the length, then the count and the number of each kind: a number knows of no other one
    np.testing.assert_array_equal(active, [4.0] * 5)


def test_a_parameter_counts_those_that_are_there_with_it() -> None:
    units = np.array([[0.0, 0.1, np.nan], [0.0, 0.5, np.nan], [0.0, np.nan, 0.2]])
    np.testing.assert_array_equal(n_active(units), [2.0, 2.0, 2.0])
    assert n_active(np.full((2, 3), np.nan)).tolist() == [3.0] * 3

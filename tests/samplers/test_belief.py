"""The cost of an ask is bounded, and what is kept between asks is only a cache."""

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
import pytest

from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._belief import SHORTLIST
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._candidates import unseen
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._history import read_space
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import MAX_ROWS
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import SpaceEncoding


SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0, 1),
    "k": IntDistribution(1, 50, log=True),
}


def _history(n: int, n_running: int = 0) -> History:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="s", sampler=sampler)
    for _ in range(n):
        trial = study.ask(SPACE)
        study.tell(trial, (trial.params["x"] - 0.3) ** 2)
    for _ in range(n_running):
        study.ask(SPACE)
    asking = study.ask()
    return read_history(study, study.get_trials(deepcopy=False)[asking.number])


def test_the_posterior_of_a_long_study_stays_small() -> None:
    belief = believe(_history(600), LastResult[Kernel]())
    assert len(belief.units) == 600
    assert len(belief.posterior.features) == MAX_ROWS


def test_no_ask_of_a_long_study_fits_two_models() -> None:
    sizes = range(40, 2_000)
    kernel = {n for n in sizes if fit_size(n) != fit_size(n - 1)}
    learner = {n for n in sizes if fit_size(n, between=True) != fit_size(n - 1, between=True)}
    assert kernel and learner and not kernel & learner


def test_the_space_alone_is_that_of_the_history() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(6):
        trial = study.ask({f"x{number}": FloatDistribution(0, 1), "one": IntDistribution(1, 1)})
        if number != 2:
            failed = TrialState.FAIL if number == 4 else None
            study.tell(trial, None if failed else 1.0, state=failed)
    asking = study.trials[2]
    assert read_space(study, asking) == read_history(study, asking).space
    assert read_space(study, asking).keys() == {"x0", "x1", "x3", "x5"}


def test_a_joint_draw_is_over_a_short_list() -> None:
    belief = believe(_history(30), LastResult[Kernel]())
    rng = np.random.default_rng(0)
    drafted = make_candidates(belief.encoding, belief.ranked, Counts.of(2_000), rng)
    assert len(belief.shortlist(drafted)) == SHORTLIST


def test_the_short_list_holds_where_draws_are_lowest() -> None:
    belief = believe(_history(12), LastResult[Kernel]())
    rng = np.random.default_rng(0)
    drafted = make_candidates(belief.encoding, belief.ranked, Counts.of(600), rng)
    short = {row.tobytes() for row in belief.shortlist(drafted)}
    draws = belief.posterior.draw(belief.features(drafted), 200, rng)
    hits = [drafted[i].tobytes() in short for i in draws.argmin(axis=1)]
    assert np.mean(hits) > 0.9


def test_the_kernel_is_fitted_again_only_when_the_study_has_grown() -> None:
    memory = LastResult[Kernel]()
    kernels = [believe(_history(n), memory).posterior.kernel for n in (50, 51, 80)]
    assert kernels[0] is kernels[1]
    assert kernels[1] is not kernels[2]


def test_a_fresh_cache_gives_the_same_belief() -> None:
    memory = LastResult[Kernel]()
    believe(_history(50), memory)
    used, fresh = believe(_history(51), memory), believe(_history(51), LastResult[Kernel]())
    np.testing.assert_array_equal(used.posterior.alpha, fresh.posterior.alpha)


def test_what_runs_is_known_and_surer_than_before() -> None:
    alone = believe(_history(20), LastResult[Kernel]())
    beside = believe(_history(20, n_running=3), LastResult[Kernel]())
    rows = beside.features(beside.known[-3:])
    before = alone.posterior.mean_and_variance(rows)
    after = beside.posterior.mean_and_variance(rows)
    np.testing.assert_allclose(after[0], before[0], atol=0.05)
    assert (after[1] < before[1]).all()


@pytest.mark.parametrize("n", [1, 30, 31, 100, 999])
def test_the_size_of_a_fit_is_at_most_the_study_and_not_much_less(n: int) -> None:
    assert n / 1.2 <= fit_size(n) <= n
    assert fit_size(n) >= fit_size(n - 1)


def test_the_rows_kept_hold_the_best_and_the_latest() -> None:
    targets = np.random.default_rng(0).permutation(1_000).astype(float)
    kept = spread_rows(targets, 100)
    assert len(kept) == len(set(kept)) == 100
    assert set(np.argsort(targets)[:50]) <= set(kept)
    assert set(range(975, 1_000)) <= set(kept)


def test_candidates_are_values_of_the_space() -> None:
    encoding = SpaceEncoding(SPACE)
    rng = np.random.default_rng(0)
    made = make_candidates(encoding, encoding.uniform(5, rng), Counts.of(500), rng)
    np.testing.assert_allclose(encoding.units([encoding.values(r) for r in made]), made, atol=1e-9)


def test_unseen_drops_doubles_and_what_is_known_but_never_everything() -> None:
    nan = np.nan
    candidates = np.array([[0.0, nan], [0.5, 1.0], [0.5, 1.0], [1.0, nan]])
    np.testing.assert_array_equal(unseen(candidates, np.array([[1.0, nan]])), [0, 1])
    np.testing.assert_array_equal(unseen(candidates, candidates), [0, 1, 2, 3])

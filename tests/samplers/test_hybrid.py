"""The hybrid: generations first, then a bandit on what they found, all of it in the study."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from optuna.testing.pytest_samplers import SingleOnlySamplerTestCase
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import Observation
from optuna_evo.samplers._improve import most_promising
from optuna_evo.samplers._improve import promise
from optuna_evo.samplers._improvement import log_expected_improvement
from optuna_evo.samplers._memory import LastResult
from optuna_evo.surrogates import SpaceEncoding


SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "units": IntDistribution(4, 256, log=True),
    "act": CategoricalDistribution(["relu", "tanh", "gelu"]),
}


def _loss(params: dict[str, float]) -> float:
    penalty = {"relu": 0.0, "tanh": 0.5, "gelu": 1.0}[str(params["act"])]
    return float(abs(np.log10(params["lr"]) + 2.0) + penalty + abs(np.log2(params["units"]) - 5))


def _run(study: optuna.Study, n: int) -> None:
    for _ in range(n):
        trial = study.ask(SPACE)
        study.tell(trial, _loss(trial.params))


def proposed_by(trial: FrozenTrial) -> str:
    return str(PROPOSED_BY.read(trial.user_attrs))


def _small(seed: int = 0) -> HybridSampler:
    return HybridSampler(population_size=4, n_generations=3, n_offspring=20, seed=seed)


class TestContract(BasicSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HybridSampler(
            population_size=3, n_generations=2, n_offspring=10, seed=0, min_correlation=-1.0
        )


def test_each_trial_says_which_phase_proposed_it() -> None:
    study = optuna.create_study(study_name="s", sampler=_small())
    _run(study, 20)
    why = [proposed_by(t) for t in study.trials]
    assert why[:4] == ["genetic 0: design"] * 4
    assert set(why[4:8]) <= {"genetic 1: offspring", "genetic 1: candidate"}
    assert set(why[8:12]) <= {"genetic 2: offspring", "genetic 2: candidate"}
    assert (why[4], why[8]) == ("genetic 1: offspring", "genetic 2: offspring")  # theirs alone
    assert {w.split()[0] for w in why[12:]} == {"thompson"}


def test_generations_can_be_asked_for() -> None:
    sampler = _small()
    study = optuna.create_study(study_name="s", sampler=sampler)
    _run(study, 12)
    generations = [sampler.get_trial_generation(study, t) for t in study.trials]
    assert generations == [0] * 4 + [1] * 4 + [2] * 4


def test_another_process_goes_on_in_either_phase(tmp_path: Path) -> None:
    whole = optuna.create_study(study_name="s", sampler=_small(seed=5))
    _run(whole, 18)
    storage = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(study_name="s", storage=storage)
    for _ in range(18):
        _run(optuna.load_study(study_name="s", storage=storage, sampler=_small(seed=5)), 1)
    parts = optuna.load_study(study_name="s", storage=storage)
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]


def test_maximising_the_negative_gives_the_same_trials() -> None:
    down = optuna.create_study(study_name="s", sampler=_small())
    up = optuna.create_study(study_name="s", sampler=_small(), direction="maximize")
    for _ in range(16):
        trials = [down.ask(SPACE), up.ask(SPACE)]
        assert trials[0].params == trials[1].params
        down.tell(trials[0], _loss(trials[0].params))
        up.tell(trials[1], -_loss(trials[1].params))


def test_it_finds_the_optimum_of_a_mixed_space() -> None:
    study = optuna.create_study(study_name="s", sampler=HybridSampler(seed=0))
    _run(study, 50)
    assert study.best_params["act"] == "relu"
    assert study.best_value < 0.1


def test_a_failed_trial_leaves_its_slot_in_phase_one_to_another() -> None:
    study = optuna.create_study(study_name="s", sampler=_small())
    for number in range(14):
        trial = study.ask(SPACE)
        if number in (2, 6):
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, _loss(trial.params))
    kinds = Counter(proposed_by(t).split()[0] for t in study.trials)
    assert kinds == {"genetic": 14}
    assert study.ask(SPACE).user_attrs == {}
    _run(study, 1)
    assert proposed_by(study.trials[-1]).startswith("thompson")


def test_pruned_trials_are_members_and_do_not_stop_it() -> None:
    study = optuna.create_study(study_name="s", sampler=_small())
    for number in range(24):
        trial = study.ask(SPACE)
        loss = _loss(trial.params)
        trial.report(loss, 0)
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, loss)
    assert proposed_by(study.trials[-1]).startswith("thompson")


def test_a_batch_of_asks_holds_no_configuration_twice() -> None:
    grid: dict[str, BaseDistribution] = {
        "a": IntDistribution(0, 7),
        "b": CategoricalDistribution(list("wxyz")),
    }
    study = optuna.create_study(
        study_name="s", sampler=HybridSampler(population_size=4, n_generations=2, seed=0)
    )
    for _ in range(8):
        trial = study.ask(grid)
        study.tell(trial, float(trial.params["a"]))
    batch = [tuple(study.ask(grid).params.values()) for _ in range(8)]
    assert len(set(batch)) == 8
    assert not set(batch) & {tuple(t.params.values()) for t in study.trials[:8]}


def test_an_untrustworthy_meta_learner_contributes_nothing() -> None:
    study = optuna.create_study(
        study_name="s", sampler=HybridSampler(population_size=8, n_generations=2, seed=0)
    )
    rng = np.random.default_rng(0)
    for _ in range(24):
        study.tell(study.ask(SPACE), float(rng.random()))
    assert {proposed_by(t) for t in study.trials[16:]} == {"thompson"}


def test_a_meta_learner_that_predicts_well_contributes() -> None:
    study = optuna.create_study(study_name="s", sampler=HybridSampler(population_size=10, seed=0))
    _run(study, 36)
    # every third trial is a draw from the posterior alone
    latest = {proposed_by(trial) for trial in study.trials[-3:]}
    assert latest == {"thompson", "thompson + meta-learner"}


def test_branches_of_a_conditional_space_are_bred_and_refined() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
            return 1.0 + abs(trial.suggest_float("momentum", 0.0, 1.0) - 0.9)
        return abs(trial.suggest_float("beta", 0.0, 1.0) - 0.3)

    study = optuna.create_study(study_name="s", sampler=HybridSampler(seed=0))
    study.optimize(objective, n_trials=45)
    assert study.best_params["opt"] == "adam"
    assert study.best_value < 0.02


def test_a_space_of_single_values_is_no_trouble() -> None:
    study = optuna.create_study(study_name="s", sampler=_small())
    for _ in range(15):
        study.tell(study.ask({"x": IntDistribution(3, 3)}), 1.0)
    assert {t.params["x"] for t in study.trials} == {3}


def test_the_posterior_proposes_in_generation_0_after_the_design() -> None:
    study = optuna.create_study(
        study_name="s", sampler=HybridSampler(population_size=8, n_startup_trials=3, seed=0)
    )
    _run(study, 8)
    assert [proposed_by(t) for t in study.trials] == [
        *["genetic 0: design"] * 3,
        *["genetic 0: candidate"] * 5,
    ]


def test_a_plain_genetic_algorithm_has_no_model() -> None:
    study = optuna.create_study(
        study_name="s", sampler=HybridSampler(population_size=8, n_offspring=1, seed=0)
    )
    _run(study, 10)
    kinds = ["genetic 0: design"] * 8 + ["genetic 1: offspring"] * 2
    assert [proposed_by(t) for t in study.trials] == kinds


def test_what_improves_most_is_climbed() -> None:
    space: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(6)}
    encoding = SpaceEncoding(space)
    rng = np.random.default_rng(0)
    units = encoding.uniform(60, rng)
    losses = ((units - 0.37) ** 2).sum(axis=1)
    observations = [
        Observation(k, encoding.values(row), float(loss))
        for k, (row, loss) in enumerate(zip(units, losses, strict=True))
    ]
    history = History(space, frozenset(), observations, [], [], 60, 60)
    belief = believe(history, LastResult())
    drafted = encoding.uniform(100, rng)
    chosen = most_promising(belief, drafted, None, rng)
    assert promise(belief, chosen[None], None)[0] > promise(belief, drafted, None).max() + 0.5
    assert ((chosen - 0.37) ** 2).sum() < 0.5 * losses.min()


def test_expected_improvement_is_that_of_a_simulation() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.5, 400_000)
    simulated = np.log(np.maximum(0.1 - draws, 0.0).mean())
    exact = log_expected_improvement(np.array([0.3]), np.array([0.5]), 0.1)
    assert exact[0] == pytest.approx(simulated, abs=0.01)


def test_expected_improvement_stays_ordered_where_it_underflows() -> None:
    far = log_expected_improvement(np.linspace(1.0, 90.0, 200), np.ones(200), 0.0)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0.0).all()


def test_the_name_that_old_specs_have_for_the_offspring_is_accepted() -> None:
    def run(**options: int) -> list[dict[str, object]]:
        sampler = HybridSampler(population_size=4, n_generations=3, seed=0, **options)
        study = optuna.create_study(study_name="s", sampler=sampler)
        _run(study, 9)
        return [t.params for t in study.trials]

    assert run(litter_size=2) == run(n_offspring=2) != run()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"population_size": 1}, "`population_size`"),
        ({"n_generations": 0}, "`n_generations`"),
        ({"n_offspring": 0}, "`n_offspring` must be at least 1"),
        ({"n_startup_trials": 0}, "`n_startup_trials` must be at least 1"),
        ({"litter_size": 0}, "`n_offspring` must be at least 1"),
        ({"min_correlation": 1.5}, r"`min_correlation` must be in \[-1, 1\]"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_a_wrong_argument_is_named(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HybridSampler(**kwargs)

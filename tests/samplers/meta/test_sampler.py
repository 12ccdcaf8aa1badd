"""MetaPriorSampler: what it takes from old studies, and what it leaves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import Trial
import pytest

from optuna_evo.attributes import META_FEATURES
from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.errors import UsageError
from optuna_evo.samplers import GASampler
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.samplers import read_source
from tests.samplers.meta.old_studies import bowl
from tests.samplers.meta.old_studies import old
from tests.samplers.meta.old_studies import started


def proposers(study: Study) -> list[str]:
    return [PROPOSED_BY.read(t.user_attrs) for t in study.trials]


def best_five(source: Study) -> list[dict[str, object]]:
    maximise = source.direction == optuna.study.StudyDirection.MAXIMIZE
    trials = sorted(source.trials, key=lambda t: t.values[0], reverse=maximise)
    return [t.params for t in trials[:5]]


def test_the_first_trials_are_among_the_best_of_a_source() -> None:
    source = old()
    study = started(MetaPriorSampler([source], seed=0), bowl(1e-3), 2)
    assert all(t.params in best_five(source) for t in study.trials)


def test_sources_help_on_a_moved_objective() -> None:
    sources = [read_source(old(str(c), bowl(c))) for c in (3e-4, 3e-3)]
    warm, cold = (
        [started(MetaPriorSampler(s, seed=k), bowl(1e-3), 8).best_value for k in range(3)]
        for s in (sources, ())
    )
    assert np.mean(warm) < 0.5 * np.mean(cold)


def test_each_trial_says_who_proposed_it() -> None:
    study = started(MetaPriorSampler([old()], seed=0), bowl(1e-3), 20)
    assert proposers(study)[:3] == ["portfolio", "portfolio", "prior"]
    assert set(proposers(study)) == {"portfolio", "prior", "base"}
    assert proposers(started(MetaPriorSampler(seed=0), bowl(1e-3), 10))[7:] == [
        "random",
        "base",
        "base",
    ]


def test_a_source_of_the_other_direction_is_turned_around() -> None:
    source = old(objective=lambda t: -bowl(1e-3)(t), direction="maximize")
    study = started(MetaPriorSampler([source], seed=0), bowl(1e-3), 1)
    assert study.trials[0].params in best_five(source)


def test_a_right_source_weighs_more_than_an_inverted_one() -> None:
    right, wrong = old("right"), old("wrong", lambda t: -bowl(1e-3)(t))
    sampler = MetaPriorSampler([right, wrong], seed=0)
    study = started(sampler, bowl(1e-3), 12)
    weights = sampler.source_weights(study)
    assert weights["right"] > 0.3 > weights["wrong"]
    assert SOURCE_WEIGHTS.read(study.user_attrs).keys() == {"right", "wrong"}


def test_meta_features_say_which_source_to_believe_first() -> None:
    near, far = old("near", bowl(1e-2)), old("far", bowl(1e-4))
    near.set_user_attr(META_FEATURES.key, {"n_rows": 1_000})
    far.set_user_attr(META_FEATURES.key, {"n_rows": 1_000_000})
    sampler = MetaPriorSampler([far, near], seed=0)
    study = optuna.create_study(sampler=sampler)
    study.set_user_attr(META_FEATURES.key, {"n_rows": 1_100})
    weights = sampler.source_weights(study)
    assert weights["near"] > 2 * weights["far"]


def other_space(trial: Trial) -> float:
    """Another range of lr, no depth, another set of kinds, and a parameter that no source has."""
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    kind = trial.suggest_categorical("kind", ["z", "b"])
    extra = trial.suggest_float("extra", 0.0, 1.0)
    return abs(float(np.log10(lr)) + 3.0) + (kind == "z") + extra


def test_another_space_is_matched_by_name_and_value() -> None:
    study = started(MetaPriorSampler([old()], seed=0), other_space, 12)
    first = study.trials[0].params
    assert first["kind"] == "b"
    assert 1e-4 <= first["lr"] < 1e-2
    assert study.best_value < 0.4


def test_a_source_without_a_common_parameter_is_ignored() -> None:
    source = old(objective=lambda t: t.suggest_float("elsewhere", 0.0, 1.0))
    sampler = MetaPriorSampler([source], seed=0)
    study = started(sampler, bowl(1e-3), 5)
    assert sampler.source_weights(study) == {"old": 0.0}


def test_a_trial_depends_on_the_study_alone() -> None:
    source = read_source(old())
    whole = started(MetaPriorSampler([source], seed=3), bowl(1e-3), 14)
    halves = started(MetaPriorSampler([source], seed=3), bowl(1e-3), 7)
    halves.sampler = MetaPriorSampler([source], seed=3)
    halves.optimize(bowl(1e-3), n_trials=7)
    assert [t.params for t in whole.trials] == [t.params for t in halves.trials]


def test_sources_without_a_single_usable_trial_are_refused() -> None:
    empty, failed = optuna.create_study(study_name="empty"), optuna.create_study(study_name="f")
    failed.optimize(lambda t: t.suggest_float("x", 0, 1) * np.nan, n_trials=2)
    with pytest.raises(UsageError, match=r"No source has a complete trial .*'empty', 'f'"):
        MetaPriorSampler([empty, failed])
    assert len(MetaPriorSampler([empty, old()]).sources) == 2  # one may be read again later


def test_trials_asked_together_differ() -> None:
    sources = [old(str(c), bowl(c)) for c in (1e-2, 1e-3, 1e-4)]
    study = optuna.create_study(sampler=MetaPriorSampler(sources, seed=0))
    for trial in [study.ask() for _ in range(2)]:
        bowl(1e-3)(trial)
    first, second = (t.params for t in study.trials)
    assert first != second


@pytest.mark.parametrize(
    "make",
    [lambda: TPESampler(seed=0), lambda: GASampler(population_size=4, seed=0)],
    ids=["TPE", "GA"],
)
def test_a_base_proposes_more_and_more(make: Callable[[], BaseSampler]) -> None:
    study = started(MetaPriorSampler([old()], base=make(), seed=0), bowl(1e-3), 60)
    by_base = [p == "base" for p in proposers(study)]
    assert 0 < sum(by_base[:20]) < sum(by_base[40:])


def test_trials_of_the_prior_are_parents_of_a_genetic_base() -> None:
    base = GASampler(population_size=4, n_startup_trials=4, seed=0)
    study = started(MetaPriorSampler([old()], base=base, seed=0), bowl(1e-3), 12)
    assert [t.number for t in base.get_population(study, 0)] == [0, 1, 2, 3]
    assert proposers(study)[:2] == ["portfolio", "portfolio"]
    assert 0 in {t.number for t in base.select_parent(study, 2)}


def test_a_source_that_arrives_later_is_used() -> None:
    sampler = MetaPriorSampler(seed=0)
    study = started(sampler, bowl(1e-3), 2)
    sampler.add_source(old())
    study.optimize(bowl(1e-3), n_trials=1)
    assert proposers(study) == ["random", "random", "prior"]


def test_studies_of_the_same_name_are_told_apart_and_copies_dropped() -> None:
    sampler = MetaPriorSampler([old(), old(), old(n_trials=9)])
    assert [source.name for source in sampler.sources] == ["old", "old (2)"]


def test_a_source_of_values_without_meaning_is_left_out() -> None:
    rng = np.random.default_rng(0)
    good = read_source(old("good"))
    noise = replace(good, name="noise", losses=rng.standard_normal(len(good.losses)))
    sampler = MetaPriorSampler([noise, good], seed=0)
    study = started(sampler, bowl(1e-3), 1)
    assert sampler.source_weights(study) == {"noise": 0.0, "good": 1.0}

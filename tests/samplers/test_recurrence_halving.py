"""Rivals that are halved, annealing to the end of the study, and first segments that are given."""

import math
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import RECURRENCE_ASSIGNMENT
from optuna_evo.attributes import RECURRENCE_STUDY
from optuna_evo.errors import UsageError
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.samplers import segment_of
from optuna_evo.samplers._recurrence._parents import Selection


QUIET: dict[str, Any] = {"noise": 0.0, "momentum": 0.0}


def make_study(name: str = "halving", **options: Any) -> optuna.Study:
    sampler = RecurrenceSampler(**{"seed": 0, **options})
    return optuna.create_study(study_name=name, sampler=sampler)


def train(study: optuna.Study, n_trials: int, *, best: int = 0) -> list[tuple[int, int]]:
    """Train; the nearer a lineage's first member is to `best`, the lower its loss."""
    roots: dict[int, int] = {}
    steps = []
    for _ in range(n_trials):
        trial = study.ask()
        trial.suggest_float("lr", 1e-5, 1.0, log=True)
        segment = segment_of(study.get_trials(deepcopy=False)[trial.number])
        assert segment is not None
        number = trial.number
        roots[number] = segment.member if segment.parent is None else roots[segment.parent]
        study.tell(trial, 10.0 + abs(roots[number] - best) - 0.01 * segment.index)
        steps.append((roots[number], segment.index))
    return steps


def test_rivals_are_halved_and_the_best_lineage_gets_all_the_rest() -> None:
    steps = train(make_study(), 30)
    assert steps[:8] == [(root, 0) for root in range(8)]
    assert steps[8:16] == [(root, index) for index in (1, 2) for root in range(4)]
    assert steps[16:18] == [(0, 3), (1, 3)]
    assert steps[18:] == [(0, index) for index in range(4, 16)]


def test_members_that_were_dropped_wait_whoever_is_best() -> None:
    steps = train(make_study(), 18, best=7)
    assert steps[8:] == [(7 - k, index) for index in (1, 2) for k in (3, 2, 1, 0)] + [
        (6, 3),
        (7, 3),
    ]


def test_all_members_train_the_best_lineage_in_turn() -> None:
    study = make_study()
    train(study, 42)
    segments = [segment_of(trial) for trial in study.get_trials()]
    assert {s.member for s in segments[-8:] if s is not None} == set(range(8))


@pytest.mark.parametrize(
    ("size", "n", "left"),
    [
        (8, 4, [8, 4, 4, 2, 1, 1]),
        (8, 3, [8, 4, 2, 1]),
        (8, 1, [8, 1]),
        (6, 4, [6, 3, 3, 2, 1]),
        (2, 4, [2, 2, 2, 2, 1]),
        (5, 2, [5, 2, 1]),
    ],
)
def test_halvings_are_spread_over_the_rival_segments(size: int, n: int, left: list[int]) -> None:
    selection = Selection(0.25, n, 3.0, "halving")
    assert [selection.n_rivals(index, size) for index in range(len(left))] == left


@pytest.mark.parametrize(
    ("n_trials", "size", "n_lineages"),
    [(None, 8, 8), (20, 8, 4), (64, 8, 4), (72, 8, 5), (128, 8, 8), (128, 32, 10), (64, 3, 3)],
)
def test_a_short_study_begins_fewer_lineages(
    n_trials: int | None, size: int, n_lineages: int
) -> None:
    study = make_study(population_size=size, n_trials=n_trials)
    train(study, 2 * size)
    begun = [t for t in study.get_trials() if segment_of(t).parent is None]  # type: ignore
    assert len(begun) == n_lineages
    parts = sorted(int((math.log10(t.params["lr"]) + 5) / 5 * n_lineages) for t in begun)
    assert parts == list(range(n_lineages))


def test_members_without_a_lineage_come_after_the_rivals_and_train_the_best() -> None:
    study = make_study(n_trials=64)
    steps = train(study, 30)
    assert steps[:8] == [(root, index) for index in (0, 1) for root in range(4)]
    assert steps[8:12] == [(root, index) for index in (2, 3) for root in (0, 1)]
    assert steps[12:] == [(0, index) for index in range(4, 22)]
    members = [segment_of(t).member for t in study.get_trials()[12:]]  # type: ignore[union-attr]
    assert set(members) == set(range(8))


def test_workers_begin_more_lineages_while_there_is_nothing_to_go_on_from() -> None:
    study = make_study(n_trials=64)
    for _ in range(8):
        study.ask()
    assert all(segment_of(t).parent is None for t in study.get_trials())  # type: ignore


def test_a_rival_without_weights_is_dropped() -> None:
    study = make_study(population_size=4)
    for k in range(4):
        trial = study.ask()
        study.tell(trial, float(k) if k else None, state=None if k else TrialState.PRUNED)
    parents = []
    for _ in range(4):
        trial = study.ask()
        segment = segment_of(study.get_trials()[trial.number])
        assert segment is not None
        parents.append(segment.parent)
    assert 0 not in parents


def test_more_workers_than_rivals_go_on_from_the_best() -> None:
    study = make_study()
    train(study, 8)
    for _ in range(8):
        study.ask()
    parents = [s.parent for t in study.get_trials()[8:] if (s := segment_of(t)) is not None]
    assert parents[:4] == [0, 1, 2, 3] and set(parents[4:]) == {0}


@pytest.mark.parametrize(
    ("rivalry", "violates", "n"),
    [("halving", False, 2), ("halving", True, 8), ("linear", False, 8)],
)
def test_a_segment_that_all_get_worse_in_is_trained_twice(
    rivalry: str, violates: bool, n: int
) -> None:
    """Others went on from what was before it until no member had that any more."""
    study, tries = make_study(rivalry=rivalry), 0
    for _ in range(50):
        trial = study.ask()
        trial.suggest_float("lr", 1e-5, 1.0, log=True)
        segment = segment_of(study.get_trials(deepcopy=False)[trial.number])
        assert segment is not None
        hard = segment.index == 10
        tries += hard
        trial.set_constraint("memory", float(hard and violates))
        study.tell(trial, 5.0 - 0.01 * segment.index + 0.1 * hard + 1e-3 * (trial.number % 2))
    assert tries == n
    latest = [s.index for t in study.get_trials()[-2:] if (s := segment_of(t)) is not None]
    assert latest[1] == latest[0] + 1


def test_a_study_begun_before_there_was_a_choice_goes_on_as_it_was() -> None:
    old, new = make_study("old", rivalry="linear"), make_study("old")
    origin = {"name": "old", "entropy": 1}
    new._storage.set_study_system_attr(new._study_id, RECURRENCE_STUDY.key, origin)
    assert train(new, 30) == train(old, 30)
    assert [t.params for t in new.get_trials()] == [t.params for t in old.get_trials()]
    attr = RECURRENCE_ASSIGNMENT.read(new.get_trials()[0].system_attrs)
    assert attr["progress"] is None


def test_annealed_parameters_stay_and_then_fall_to_nearly_nothing() -> None:
    study = make_study(population_size=2, anneal=["lr"], n_trials=40, retention=1.0, **QUIET)
    train(study, 44)
    trials = study.get_trials()
    rates = {t.number: t.params["lr"] for t in trials}
    first = rates[0]
    for trial in trials[8:]:
        segment = segment_of(trial)
        assert segment is not None
        length = ((segment.index + 1) / 4) ** -0.2
        cold = max(min(1.0, 2.0 * (1.0 - trial.number / 40)), 0.02)
        assert rates[trial.number] == pytest.approx(first * length * cold, rel=1e-6)


@pytest.mark.parametrize("options", [{"cooling": 0.9}, {"anneal": {"lr": 0.9}}])
def test_own_factors_anneal_from_segment_to_segment(options: dict[str, Any]) -> None:
    given = {"anneal": ["lr"], "n_trials": 40, "population_size": 2, "retention": 1.0}
    study = make_study(**(given | QUIET | options))
    train(study, 20)
    trials = study.get_trials()
    for trial in trials[2:]:
        parent = segment_of(trial).parent  # type: ignore[union-attr]
        ratio = trial.params["lr"] / trials[parent].params["lr"]  # type: ignore[index]
        assert ratio == pytest.approx(0.9)


def test_first_segments_that_are_given_come_before_added_trials() -> None:
    study = make_study(first=[{"lr": 0.01}, {"lr": 0.02}], noise=0.0)
    lr = optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)
    study.add_trial(optuna.create_trial(value=1.0, params={"lr": 0.5}, distributions={"lr": lr}))
    train(study, 3)
    rates = [t.params["lr"] for t in study.get_trials()[1:]]
    assert rates == pytest.approx([0.01, 0.02, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rivalry": "other"}, "`rivalry` must be"),
        ({"annealing": "cooldown"}, "needs `n_trials`"),
        ({"n_trials": 0}, "`n_trials` must be at least 1"),
        ({"first": [{"lr": 1.0}] * 9}, "at most `population_size`"),
        ({"first": {"lr": 1.0}}, "`first` must be a list"),
    ],
)
def test_a_bad_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrenceSampler(**options)


def test_a_first_value_out_of_its_range_is_refused() -> None:
    study = make_study(first=[{"lr": 2.0}])
    with pytest.raises(UsageError, match=r"first\[0\]: 'lr' must be a number in"):
        study.ask().suggest_float("lr", 1e-5, 1.0, log=True)

"""The judge: fair, resumable, and right about what it trained."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
import pytest

from optuna_evo import catalog
from optuna_evo import judge
from optuna_evo.attributes import JUDGED
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import _trainings
from optuna_evo.evaluation import Book
from optuna_evo.evaluation import Contestant
from optuna_evo.evaluation import Judgement
from optuna_evo.evaluation import parse_workload
from optuna_evo.evaluation import Workload
from optuna_evo.evaluation._contestant import log
from optuna_evo.tasks import Split


STEPS = 6
SMALL: Mapping[str, Any] = {"steps": STEPS, "budget": 2, "seeds": 2, "tunings": 1, "device": "cpu"}


def adam(key: str = "adam") -> Contestant:
    """Return a contestant that trains in stacks."""
    return Contestant(
        key=key,
        label=key,
        build=lambda params, workload: dataclasses.replace(catalog["adam"], lr=params["lr"]),
        space={"lr": log(1e-4, 1e-1)},
        defaults={"lr": 1e-3},
    )


def small(storage: Any = None, **options: Any) -> Judgement:
    terms = {**SMALL, "unseen": ["two_moons+width=8"], "against": [adam()], **options}
    return judge(catalog["lion"], ["two_moons"], storage=storage, **terms)


@pytest.fixture(scope="module")
def judged() -> tuple[Judgement, Any]:
    storage = InMemoryStorage()
    return small(storage), storage


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count trainings: the seeds, one entry each."""
    seeds: list[int] = []
    whole = _trainings.measure

    def counted(
        configs: Sequence[Any], workload: Workload, seed: int, *rest: Any, **o: Any
    ) -> Any:
        seeds.extend([seed] * len(configs))
        return whole(configs, workload, seed, *rest, **o)

    monkeypatch.setattr(_trainings, "measure", counted)
    yield seeds


def test_there_is_a_table_for_each_kind_with_everybody_in_it(judged: Any) -> None:
    found = judged[0]
    assert [*found.tables] == ["schedules", "constant", "grafted"]
    for table in found.tables.values():
        assert [row.judged for row in table.rows] == [True, False]
        for row in table.rows:
            assert row.losses.keys() == row.metrics.keys() == row.curves.keys()
            assert len(row.losses) == 4 and all(map(math.isfinite, row.losses.values()))
    assert found.sets == {"search": ("two_moons",), "unseen": ("two_moons+width=8",)}
    assert found.main.rows[1].tuned["two_moons"].curve.keys() == {1, 2}
    assert found.main.rows[0].lr_width and not found.tables["constant"].rows[0].lr_width
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_test_loss_is_that_of_the_tuned_optimizer_with_the_seed(judged: Any) -> None:
    found, workload = judged[0], parse_workload("two_moons", steps=STEPS)
    row = found.main.rows[1]
    config = workload.config(row.tuned["two_moons"].optimizer)
    for seed in range(2):
        (alone,) = _trainings.measure(
            [config],
            workload,
            4_000_000 + seed,
            _trainings.Course(tests=True, points=STEPS),
            test=workload.task.load_test(None),
        )
        assert row.losses["two_moons", seed] == alone.test_loss
        assert row.metrics["two_moons", seed] == alone.test_metric
        assert row.curves["two_moons", seed] == tuple(round(v, 6) for v in alone.curve)


def test_the_same_call_trains_nothing_and_says_the_same(judged: Any, trained: list[int]) -> None:
    found, storage = judged
    again = small(storage)
    assert not trained
    for kind, table in found.tables.items():
        for one, two in zip(table.rows, again.tables[kind].rows, strict=True):
            assert (one.losses, one.curves, one.tuned) == (two.losses, two.curves, two.tuned)
    assert (again.valid, again.better) == (found.valid, found.better)


def test_more_seeds_or_rivals_cost_only_what_is_new(judged: Any, trained: list[int]) -> None:
    found, storage = judged
    more = small(storage, seeds=3, grafted=False, sensitivity=False)
    assert sorted({*trained}) == [4_000_002] and len(trained) == 2 * 2 * 2
    assert more.main.rows[0].losses.items() >= found.main.rows[0].losses.items()
    trained.clear()
    small(storage, against=[adam(), adam("other")], grafted=False, sensitivity=False)
    assert len(trained) == 2 * 2 * (2 + 2)  # tables, tasks, tuning and tests


def test_a_judgement_that_is_stopped_anywhere_ends_as_one_that_never_was(
    judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, whole, calls = InMemoryStorage(), _trainings.measure, [0]

    def killed(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] % 7 == 0:
            raise SystemExit(143)
        return whole(*arguments, **options)

    monkeypatch.setattr(_trainings, "measure", killed)
    while True:
        with contextlib.suppress(SystemExit):
            found = small(storage)
            break
    assert calls[0] > 20
    for kind, table in judged[0].tables.items():
        for one, two in zip(table.rows, found.tables[kind].rows, strict=True):
            assert one.losses == two.losses


def test_tuning_never_sees_test_rows_and_seeds_are_apart(trained: list[int]) -> None:
    moons = parse_workload("two_moons", steps=STEPS)
    loads: list[int] = []

    def load_test(folder: Path | None) -> Split:
        loads.append(len(trained))
        return moons.task.load_test(None)

    own = dataclasses.replace(moons, task=dataclasses.replace(moons.task, load_test=load_test))
    judge(
        [catalog["lion"], catalog["sgd"]],
        [own],
        unseen=[],
        against=[adam()],
        schedules=True,
        **SMALL,
    )
    before_tests = [seed for seed in trained[: loads[0]]]
    assert {seed // 1_000_000 for seed in before_tests} == {2, 3}
    assert {seed // 1_000_000 for seed in trained[loads[0] :]} == {4}


def test_everybody_has_as_many_tuning_trials(judged: Any) -> None:
    counts = {}
    for study in Book(judged[1], "judgement").studies():
        told = JUDGED.read(study.user_attrs)
        if told.get("role") == "tune" and "other" not in told["parts"]:
            counts[tuple(told["parts"])] = len(study.trials)
    assert len(counts) == 2 * 2 * 2 and set(counts.values()) == {2}


def test_the_winner_is_chosen_on_other_tasks_with_fresh_seeds() -> None:
    bad = dataclasses.replace(catalog["sgd"], lr=1e-7)
    good = dataclasses.replace(catalog["adam"], lr=0.03)
    found = judge(
        [bad, good],
        ["two_moons"],
        unseen=[],
        against=[adam()],
        schedules=False,
        grafted=False,
        **SMALL,
    )
    assert found.winner is not None and found.optimizer == good
    assert (found.winner["place"], found.winner["tasks"]) == (2, ["two_moons+batch=16"])


def test_a_diverged_training_counts_as_no_training() -> None:
    exploding = dataclasses.replace(catalog["sgd"], lr=1e30)
    worse = dataclasses.replace(
        adam("bad"), space={}, defaults={}, build=lambda params, workload: exploding
    )
    found = judge(
        adam(), ["two_moons"], unseen=[], against=[worse], schedules=False, grafted=False, **SMALL
    )
    (ours, theirs) = found.main.lines(("two_moons",))
    assert (ours.diverged, theirs.diverged) == (0, 1)
    moons = parse_workload("two_moons", steps=STEPS)
    (untrained,) = _trainings.measure(
        [moons.config(dataclasses.replace(catalog["sgd"], lr=1e-30))],
        moons,
        4_000_000,
        _trainings.Course(tests=True),
        test=moons.task.load_test(None),
    )
    assert theirs.row.losses["two_moons", 0] == pytest.approx(untrained.test_loss)


def test_seeds_are_added_until_the_interval_is_narrow(trained: list[int]) -> None:
    found = small(unseen=[], precision=10.0, schedules=True, grafted=False, sensitivity=False)
    assert found.terms["seeds"] == 30  # 20, and two more looks of five (`until_narrow`)
    assert len(found.main.judged.losses) == 30


def test_with_several_tunings_each_has_its_seeds_and_counts_as_one() -> None:
    found = small(seeds=4, tunings=2, unseen=[], schedules=True, sensitivity=False)
    ours, theirs = found.main.lines(("two_moons",))
    assert ours.difference is None and theirs.difference is not None
    losses = [found.main.rows[i].losses for i in range(2)]
    by_tuning = [
        sum(losses[0]["two_moons", s] - losses[1]["two_moons", s] for s in (r, r + 2)) / 2
        for r in range(2)
    ]
    assert theirs.difference.by_unit == pytest.approx(by_tuning)


def test_more_tasks_than_seeds_make_tasks_the_unit() -> None:
    many = ["two_moons", "two_moons+width=4", "two_moons+width=6"]
    found = judge(
        adam("a"), many, unseen=[], against=[adam("b")], schedules=True, grafted=False,
        sensitivity=False, **{**SMALL, "seeds": 1},
    )  # fmt: skip
    line = found.main.lines(found.sets["search"])[1]
    assert line.difference is not None and line.difference.unit == "task"
    assert len(line.difference.by_unit) == 3


def test_equal_step_sizes_leave_the_reference_as_it_is(judged: Any) -> None:
    main, grafted = judged[0].main, judged[0].tables["grafted"]
    assert grafted.rows[1].losses == main.rows[1].losses
    assert grafted.rows[0].losses != main.rows[0].losses


def test_costs_are_counted_in_trainings(judged: Any) -> None:
    found = judged[0]
    # tables, tasks, contestants: tuning and tests; one with other step sizes; other rates
    assert found.judge_cost == 2 * 2 * 2 * (2 + 2) + 2 * 2 + 2 * 2 * 6
    lion, other = found.main.rows
    assert (lion.state_bytes, other.state_bytes) == (4, 8)
    assert all(0 < seconds < 1 for seconds in lion.step_seconds.values())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"against": []}, "at least one optimizer"),
        ({"against": ["adamw", "adamw"]}, "'adamw' is named twice"),
        ({"unseen": ["two_moons"]}, "'two_moons' is named twice"),
        ({"predecessor": "sgd"}, "must be one of those"),
        ({"budget": 0}, "`budget` must be in 1"),
        ({"precision": -1.0}, "`precision` must be above 0"),
        ({"tuning_share": 0.0}, "`tuning_share` must be in"),
        ({"tunings": 3}, "at most `seeds`"),
        ({"target": 1e-9}, "Nobody reached the target of 1e-09: the lowest validation loss was"),
    ],
)
def test_wrong_terms_are_one_line(options: dict[str, Any], reason: str) -> None:
    less = {"schedules": False, "grafted": False, "unseen": [], **options}
    with pytest.raises(UsageError, match=reason) as caught:
        small(**less)
    assert "\n" not in str(caught.value)


def test_shortened_tuning_is_a_whole_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, Any]] = []
    whole = _trainings.measure

    def noted(configs: Sequence[Any], workload: Workload, seed: int, *rest: Any, **o: Any) -> Any:
        seen.extend((workload.steps, config.genome) for config in configs)
        return whole(configs, workload, seed, *rest, **o)

    monkeypatch.setattr(_trainings, "measure", noted)
    small(unseen=[], schedules=True, grafted=False, sensitivity=False, tuning_share=0.5)
    short = [genome for steps, genome in seen if steps == 3]
    assert len(short) == 2 * 2
    assert all(genome.horizon == 3 for genome in short if genome.use_cosine_decay)
    assert {steps for steps, _ in seen} == {3, 6}


def test_optuna_sees_ordinary_studies(judged: Any) -> None:
    names = optuna.get_all_study_names(judged[1])
    assert all(name.startswith("judgement/judge/") for name in names)
    study = optuna.load_study(study_name=names[0], storage=judged[1])
    assert study.best_value == min(trial.value or 0.0 for trial in study.trials)

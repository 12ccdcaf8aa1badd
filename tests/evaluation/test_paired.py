"""Paired differences, sign flips and Holm's correction, against SciPy and by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from optuna_evo.evaluation import holm
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import paired
from optuna_evo.evaluation import sign_flip
from optuna_evo.evaluation._paired import units_of


def cells(table: dict[str, list[float]]) -> dict[tuple[str, int], float]:
    return {(task, s): value for task, row in table.items() for s, value in enumerate(row)}


OURS = cells({"a": [0.1, 0.3, 0.2], "b": [1.0, 1.3, 1.9]})
THEIRS = cells({"a": [0.2, 0.5, 0.1], "b": [1.4, 1.1, 2.6]})


def test_differences_are_ours_minus_theirs_by_seed_or_by_task() -> None:
    by_seed = paired(OURS, THEIRS)
    assert by_seed.by_unit == pytest.approx([(-0.1 - 0.4) / 2, (-0.2 + 0.2) / 2, (0.1 - 0.7) / 2])
    assert by_seed.difference == Interval.of(by_seed.by_unit)
    assert by_seed.difference.mean == pytest.approx(-1.1 / 6)
    by_task = paired(OURS, THEIRS, unit="task")
    assert by_task.by_unit == pytest.approx([-0.2 / 3, -0.9 / 3]) and by_task.unit == "task"
    back = paired(THEIRS, OURS)
    assert back.by_unit == pytest.approx([-value for value in by_seed.by_unit])


def test_a_paired_difference_of_ten_seeds_is_that_of_the_parts() -> None:
    rng = np.random.default_rng(0)
    ours = cells({task: rng.normal(size=10).tolist() for task in "abc"})
    theirs = {cell: value - 0.3 + 0.1 * rng.normal() for cell, value in ours.items()}
    found = paired(ours, theirs, seed=3)
    expected = [
        np.mean([ours[task, seed] - theirs[task, seed] for task in "abc"]) for seed in range(10)
    ]
    assert found.by_unit == pytest.approx(expected)
    assert found.difference == Interval.bootstrap(found.by_unit, seed=3)
    assert found.difference.low > 0.1 and found.p_value == sign_flip(found.by_unit) < 0.01


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("n_values", [2, 5, 10])
def test_sign_flips_are_those_of_scipy(n_values: int, alternative: str) -> None:
    values = np.random.default_rng(n_values).normal(0.5, size=n_values)
    expected = stats.permutation_test(
        (values, np.zeros(n_values)),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative=alternative,
        vectorized=False,
    )
    found = sign_flip(values.tolist(), alternative=alternative)  # type: ignore[arg-type]
    assert found == pytest.approx(expected.pvalue)


def test_sign_flips_by_hand() -> None:
    # of 8 patterns, 1 + 2 + 4 = 7 is reached by two in size, by one in value
    assert sign_flip([1, 2, 4]) == 2 / 8
    assert sign_flip([1, 2, 4], alternative="greater") == 1 / 8
    assert sign_flip([1, 2, 4], alternative="less") == 1
    assert sign_flip([-1, -2, -4], alternative="less") == 1 / 8
    assert sign_flip([0.1, 0.1, -0.2]) == 1  # a sum of 0 but for rounding
    assert sign_flip([0.3]) == 1


def test_many_values_are_flipped_at_random_and_come_near_the_exact_share() -> None:
    values = np.random.default_rng(5).normal(0.5, size=17)
    signs = np.array(list(itertools.product((-1, 1), repeat=17)))
    exact = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-9)
    found = sign_flip(values.tolist(), seed=1)
    # 20,000 patterns: the standard error is 0.002 at p = 0.1
    assert 0.01 < exact < 0.2 and found == pytest.approx(exact, abs=0.008)
    assert sign_flip(values.tolist(), seed=1) == found != sign_flip(values.tolist(), seed=2)


def test_a_random_p_value_is_never_zero() -> None:
    assert sign_flip([1.0] * 40) == pytest.approx(1 / 20_001)


def test_without_a_difference_p_values_are_as_small_as_they_say() -> None:
    rng = np.random.default_rng(2)
    p_values = [sign_flip(rng.normal(size=8).tolist()) for _ in range(600)]
    assert np.mean([p <= 0.05 for p in p_values]) == pytest.approx(0.047, abs=0.02)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_holm_by_hand() -> None:
    # 4 * 0.01, 3 * 0.02 then not below it: 2 * 0.03 is 0.06 as well, and 1 * 0.05 is raised to it
    assert holm([0.02, 0.05, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8]) and holm([0.9, 0.9]) == [1, 1]
    assert holm([]) == [] and holm([0.03]) == [0.03]


def test_holm_rejects_what_the_step_down_rule_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = rng.uniform(0, 0.1, size=6).tolist()
        rejected = set()
        for rank, index in enumerate(np.argsort(p_values)):
            if p_values[index] > 0.05 / (6 - rank):
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_holm_keeps_the_share_of_tables_with_a_false_difference() -> None:
    rng = np.random.default_rng(1)
    tables = rng.uniform(size=(4_000, 10))
    false = np.mean([min(holm(row.tolist())) <= 0.05 for row in tables])
    uncorrected = np.mean(tables.min(axis=1) <= 0.05)
    assert false == pytest.approx(0.05, abs=0.01) and uncorrected > 0.35


def test_tasks_as_the_unit_cover_the_mean_of_tasks_and_seeds_do_not() -> None:
    # 10 tasks, each with a difference of its own around 0, and 5 seeds that add little
    rng, hits = np.random.default_rng(4), {"task": 0, "seed": 0}
    for _ in range(200):
        own = rng.normal(size=(10, 1)) + 0.2 * rng.normal(size=(10, 5))
        ours = {(f"t{t}", s): float(own[t, s]) for t in range(10) for s in range(5)}
        theirs = dict.fromkeys(ours, 0.0)
        for unit in ("task", "seed"):
            found = Interval.bootstrap(units_of(ours, unit))  # type: ignore[arg-type]
            hits[unit] += found.low <= 0 <= found.high
        assert paired(ours, theirs, unit="task").by_unit[0] == pytest.approx(own[0].mean())
    assert hits["task"] / 200 == pytest.approx(0.95, abs=0.03) and hits["seed"] / 200 < 0.6


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (OURS, {k: v for k, v in THEIRS.items() if k != ("a", 1)}, r"\('a', 1\)"),
        ({}, {}, "missing"),
        ({("a", 0): 1.0, ("b", 1): 1.0}, {("a", 0): 1.0, ("b", 1): 1.0}, r"\('a', 1\)"),
        ({("a", 0): math.nan}, {("a", 0): 1.0}, "finite"),
    ],
)
def test_cells_that_do_not_pair_are_refused(
    ours: dict[tuple[str, int], float], theirs: dict[tuple[str, int], float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired(ours, theirs)

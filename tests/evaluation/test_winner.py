"""The winner's curse is seen and undone; an interval that is waited for still covers."""

from collections.abc import Sequence
import math

import numpy as np
import pytest

from optuna_evo.evaluation import confirm_winner
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import until_narrow
from tests.evaluation.test_interval import KINDS


TABLE = {  # by index: the value for seeds 0, 1 and 10, 11
    0: [5.0, 5.0, 5.0, 5.0],
    1: [3.0, 2.0, 2.0, 4.0],
    2: [1.0, 2.0, 9.0, 7.0],
    3: [0.0, math.nan, 0.0, 0.0],
}
COLUMN = {0: 0, 1: 1, 10: 2, 11: 3}


def from_table(indices: Sequence[int], seeds: Sequence[int]) -> list[list[float]]:
    return [[TABLE[index][COLUMN[seed]] for seed in seeds] for index in indices]


def test_the_best_are_measured_again_and_the_chosen_one_once_more() -> None:
    calls: list[tuple[list[int], list[int]]] = []

    def measure(indices: Sequence[int], seeds: Sequence[int]) -> list[list[float]]:
        calls.append(([*indices], [*seeds]))
        return from_table(indices, seeds)

    searched = [0.9, 0.3, 0.4, 0.1]
    found = confirm_winner(searched, measure, k=3, choosing_seeds=[0, 1], report_seeds=[10, 11])
    assert calls == [([3, 1, 2], [0, 1]), ([2], [10, 11])]
    assert found.means == {3: math.inf, 1: 2.5, 2: 1.5}
    assert (found.index, found.values, found.searched) == (2, (9.0, 7.0), 0.4)
    assert found.estimate == Interval.of([9, 7]) and found.optimism == pytest.approx(7.6)


def test_more_may_be_better() -> None:
    searched = [0.9, 0.3, 0.4, math.nan]
    found = confirm_winner(
        searched, from_table, k=2, choosing_seeds=[0, 1], report_seeds=[10], minimize=False
    )
    assert (found.index, found.means) == (0, {0: 5, 2: 1.5})


def test_what_diverged_on_the_report_is_in_the_values_and_not_in_the_mean() -> None:
    table = {0: [1.0, math.inf, 3.0]}
    found = confirm_winner(
        [1.0],
        lambda i, seeds: [[table[0][s] for s in seeds]],
        choosing_seeds=[0],
        report_seeds=[1, 2],
    )
    assert found.values == (math.inf, 3.0) and found.estimate.mean == 3


def test_the_best_of_many_equal_candidates_was_lucky_and_its_estimate_is_not() -> None:
    rng = np.random.default_rng(0)

    def measure(indices: Sequence[int], seeds: Sequence[int]) -> list[list[float]]:
        return rng.normal(size=(len(indices), len(seeds))).tolist()

    found = [
        confirm_winner(
            rng.normal(size=200).tolist(),
            measure,
            choosing_seeds=range(5),
            report_seeds=range(5, 15),
        )
        for _ in range(200)
    ]
    # the lowest 10 of 200 normal values have mean -2.06, the least of 10 such values is -1.54
    assert np.mean([w.searched for w in found]) == pytest.approx(-2.06, abs=0.1)
    assert np.mean([w.means[w.index] for w in found]) == pytest.approx(-1.54 / 5**0.5, abs=0.05)
    assert np.mean([w.estimate.mean for w in found]) == pytest.approx(0, abs=0.07)
    covered = np.mean([w.estimate.low <= 0 <= w.estimate.high for w in found])
    assert covered == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"report_seeds": [1]}, "must differ"),
        ({"k": 0}, "k >= 1"),
        ({"choosing_seeds": []}, "k >= 1"),
        ({"report_seeds": []}, "k >= 1"),
        ({"searched": [math.nan]}, "diverged"),
        ({"searched": [9.0, 9.0, 9.0, 1.0], "k": 1}, "diverged"),
    ],
)
def test_no_winner_in_one_line(options: dict[str, Sequence[float]], message: str) -> None:
    settings = {"choosing_seeds": [0, 1], "report_seeds": [10], "searched": [1.0], **options}
    with pytest.raises(ValueError, match=message):
        confirm_winner(settings.pop("searched"), from_table, **settings)  # type: ignore


def test_seeds_are_added_until_three_looks_running_are_narrow() -> None:
    asked: list[list[int]] = []
    # wide at 20, narrow at 25 by luck, wide at 30, then narrow for good
    values = [0.0, 1.0] * 10 + [0.5] * 5 + [-1.0, 2.0, -1.0, 2.0, 0.5] + [0.5] * 70

    def measure(seeds: Sequence[int]) -> list[float]:
        asked.append([*seeds])
        return [values[seed] for seed in seeds]

    ends = [20, 25, 30, *range(35, 101, 5)]
    widths = [Interval.bootstrap(values[:end]).half_width for end in ends]
    asked_for = widths[1]
    assert widths[0] > asked_for < widths[2]
    first = next(i for i in range(2, len(ends)) if max(widths[i - 2 : i + 1]) <= asked_for)
    found = until_narrow(measure, range(100), half_width=asked_for)
    assert found.narrow and found.half_widths == tuple(widths[: first + 1])
    assert asked == [[*range(20)], *([*range(end - 5, end)] for end in ends[1 : first + 1])]
    assert found.values == tuple(values[: ends[first]])
    assert found.interval == Interval.bootstrap(found.values)


def test_seeds_that_run_out_leave_the_interval_as_wide_as_it_is() -> None:
    found = until_narrow(lambda seeds: [s % 2 for s in seeds], range(22), half_width=0.01)
    assert not found.narrow and len(found.values) == 22 and found.interval.half_width > 0.1


@pytest.mark.parametrize(
    "options",
    [{"half_width": 0}, {"half_width": math.nan}, {"start": 1}, {"step": 0}, {"seeds": range(19)}],
)
def test_a_rule_that_cannot_be_followed_is_refused(options: dict[str, float]) -> None:
    settings = {"half_width": 1.0, "seeds": range(30), **options}
    with pytest.raises(ValueError, match="half_width"):
        until_narrow(lambda seeds: [0.0 for _ in seeds], settings.pop("seeds"), **settings)  # type: ignore


def waited_for(kind: str, n_sets: int, half_width: float) -> float:
    """Return the share of intervals that hold the mean when seeds are added till narrow, in %."""
    draw, truth = KINDS[kind]
    rng, hits = np.random.default_rng(11), 0
    for row in draw(rng, (n_sets, 60)):
        found = until_narrow(
            lambda s, row=row: row[[*s]].tolist(), range(60), half_width=half_width
        )
        hits += found.interval.low <= truth <= found.interval.high
    return 100 * hits / n_sets


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("half_width", [0.35, 0.5])
def test_an_interval_that_is_waited_for_still_covers(kind: str, half_width: float) -> None:
    # 1,000 sets: the standard error is 0.7
    assert waited_for(kind, 1_000, half_width) == pytest.approx(95, abs=1.5 + 0.7)


def test_an_interval_that_is_waited_for_covers_on_a_few_sets() -> None:
    # 150 sets: the standard error is 1.8
    assert waited_for("normal", 150, 0.5) == pytest.approx(95, abs=4)

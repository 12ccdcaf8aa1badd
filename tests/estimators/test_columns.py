"""Columns of an own file: missing values, counters, texts, and features that say it all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import DataError
from optuna_evo.errors import TableWarning
from optuna_evo.errors import UsageError
from optuna_evo.estimators import load_table
from optuna_evo.estimators import Table
from optuna_evo.objectives import EstimatorObjective


N = 300
RNG = np.random.default_rng(0)
SIZE = RNG.standard_normal(N).round(3)
NOISE = RNG.standard_normal(N).round(3)
CLASS = (SIZE + 0.3 * RNG.standard_normal(N) > 0).astype(int)
LINEAR = EstimatorConfig(estimator="linear", params={"alpha": 1.0})
FOREST = EstimatorConfig(
    estimator="random_forest",
    params={"n_estimators": 50, "max_features": 0.5, "min_samples_leaf": 2},
)

Load = Callable[..., tuple[Table, str]]


@pytest.fixture
def load(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> Load:
    """Return a function that writes columns to a file and reads them: the table, what is said."""
    import pandas as pd

    def written_and_read(columns: dict[str, Any], **options: Any) -> tuple[Table, str]:
        path = tmp_path / "t.csv"
        pd.DataFrame(columns).to_csv(path, index=False)
        recwarn.clear()
        table = load_table(str(path), **options)
        assert all(issubclass(w.category, TableWarning) for w in recwarn)
        return table, "\n".join(str(w.message) for w in recwarn)

    return written_and_read


def fitted(table: Table, config: EstimatorConfig = LINEAR) -> float:
    """Return the metric on the test rows."""
    objective = EstimatorObjective(table=table, folds=3)
    return objective.test(config)[objective.metric_name]


def with_texts(values: NDArray[Any], *markers: str, every: int = 15) -> list[str]:
    found = [str(value) for value in values]
    for place, row in enumerate(range(3, len(found), every)):
        found[row] = markers[place % len(markers)]
    return found


@pytest.mark.parametrize(
    "markers",
    [("?",), ("-",), ("n.d.",), ("NA ",), ("null", ""), ("NULL", "N/A", "None", "#DIV/0!")]
    + [("?", "-", "n.d.", "*", "nan"), ("not measured",), ("tbd", "see below")],
)
def test_a_column_of_numbers_with_some_markers_is_numeric(
    load: Load, markers: tuple[str, ...]
) -> None:
    table, said = load({"size": with_texts(SIZE, *markers), "noise": NOISE, "y": CLASS})
    clean, silent = load({"size": SIZE, "noise": NOISE, "y": CLASS})
    assert table.names == ("size", "noise") and table.n_texts == () and silent == ""
    assert np.isnan(table.features[:, 0]).sum() == 20
    assert said.startswith("t.csv: Taken as missing in 'size' (")
    assert all(repr(marker.strip()) in said for marker in markers if marker)
    assert fitted(table) > fitted(clean) - 0.1 > 0.75


def test_how_often_each_marker_was_seen_is_said_once_for_all_columns(load: Load) -> None:
    _, said = load(
        {"a": with_texts(SIZE, "?", "?", "-"), "b": with_texts(NOISE, "n.d."), "y": CLASS}
    )
    assert said == "t.csv: Taken as missing in 'a' ('?' 14x, '-' 6x), 'b' ('n.d.' 20x)."


def test_half_of_the_numbers_may_be_missing(load: Load) -> None:
    table, said = load({"a": with_texts(SIZE, "?", every=2), "b": NOISE, "y": CLASS})
    assert np.isnan(table.features[:, 0]).sum() == 149 and "'?' 149x" in said


def test_a_number_here_and_there_does_not_make_texts_numeric(load: Load) -> None:
    table, said = load({"a": with_texts(RNG.choice(["x", "y"], N), "7"), "y": CLASS})
    assert table.n_texts == (3,) and said == ""


def test_numbers_among_too_many_texts_are_texts_and_said(load: Load) -> None:
    values = [f"{v}" if n % 5 else f"call {n % 40}" for n, v in enumerate(SIZE.round(1))]
    table, said = load({"a": values, "noise": NOISE, "y": CLASS})
    assert table.names == ("noise", "a")
    assert "Read as texts: 'a' (240 of 300 are numbers, but not such as 'call 0')" in said


def test_one_in_ten_may_be_any_text(load: Load) -> None:
    values = [f"{v}" if n % 12 else f"error {n}" for n, v in enumerate(SIZE)]
    table, said = load({"a": values, "noise": NOISE, "y": CLASS})
    assert table.n_texts == () and "Taken as missing in 'a' ('error 0' 1x" in said


@pytest.mark.parametrize("doors", [["2", "3", "4", "5more"], ["1", "2", "x"], ["I", "II", "3"]])
def test_a_handful_of_kinds_stays_texts(load: Load, doors: list[str]) -> None:
    table, said = load({"doors": [doors[n % len(doors)] for n in range(N)], "y": CLASS})
    assert table.n_texts == (len(doors),) and said == ""


@pytest.mark.parametrize("truths", [["True", "False"], ["TRUE", "FALSE", "?"]])
def test_true_and_false_are_1_and_0(load: Load, truths: list[str]) -> None:
    table, _ = load({"flag": [truths[n % len(truths)] for n in range(N)], "y": CLASS})
    assert table.n_texts == () and set(table.features[:2, 0]) == {0, 1}


def test_dates_are_days(load: Load) -> None:
    days = np.datetime64("2020-01-01") + (np.arange(N) * 7 % 90)
    table, said = load({"day": days, "y": CLASS})
    assert table.features[:2, 0].tolist() == [18262, 18269]
    assert "Read as numbers: 'day' ('2020-01-01' is 18262 days since 1970)" in said


@pytest.mark.parametrize("column", ["name", "comment"])
def test_texts_that_are_all_different_are_left_out_and_said(load: Load, column: str) -> None:
    texts = [
        f"{'abcdef'[n % 6]} person {n}" if column == "name" else f"it {n} is" for n in range(N)
    ]
    table, said = load({column: texts, "size": SIZE, "y": CLASS})
    assert table.names == ("size",)
    assert said == (
        f"t.csv: Left out: '{column}' has 300 different texts in 300 rows; "
        f'task.keep = ["{column}"] would keep it.'
    )
    kept, _ = load({column: texts, "size": SIZE, "y": CLASS}, keep=[column])
    assert kept.names == ("size", column) and fitted(kept) > 0.8


def test_many_texts_are_one_column_for_an_estimator_and_said(load: Load) -> None:
    from optuna_evo.estimators import build_estimator

    town = np.arange(N) * 7 % 60
    y = RNG.standard_normal(60)[town] + 0.1 * SIZE
    columns = {"town": [f"town {t}" for t in town], "size": SIZE, "y": y}
    table, said = load(columns)
    assert "not by a column for each, where there are more than 20 (trees) or 100" in said
    assert "(others): 'town' (60 different texts)" in said
    estimator = build_estimator(FOREST, table.kind, seed=0, n_texts=table.n_texts)
    assert (
        estimator.fit(table.features, table.targets)[:-1].transform(table.features).shape[1] == 2
    )
    estimator = build_estimator(LINEAR, table.kind, seed=0, n_texts=table.n_texts)
    assert (
        estimator.fit(table.features, table.targets)[:1].transform(table.features).shape[1] == 61
    )
    without, _ = load(columns, drop=["town"])
    assert fitted(table, FOREST) < 0.5 * fitted(without, FOREST)


@pytest.mark.parametrize("config", [LINEAR, FOREST], ids=["linear", "forest"])
def test_texts_are_encoded_by_training_rows_only(load: Load, config: EstimatorConfig) -> None:
    texts = [f"group {n % 100}" for n in range(N)]
    table, _ = load({"group": texts, "noise": NOISE, "y": RNG.permutation(CLASS)})
    assert table.names == ("noise", "group")
    assert 0.3 < fitted(table, config) < 0.7  # with the encoding of all rows 0.85


def test_texts_that_training_never_saw_are_predicted(load: Load) -> None:
    texts = ["a" if n % 3 else "b" for n in range(N)]
    texts[7] = "only here"
    many = [f"m {n % 40}" for n in range(N)]
    many[8] = "nor this"
    table, _ = load({"few": texts, "many": many, "size": SIZE, "y": CLASS})
    run = EstimatorObjective(table=table, folds=5).start([LINEAR, FOREST])
    assert all(value > 0.7 for _ in range(5) for value in run.advance())


def test_an_id_of_25_000_rows_needs_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    n = 5_000  # the reported file has 25,000 rows; a column for each id would take 190 MB here
    path = tmp_path / "t.csv"
    rows = [f"u{k:05d},{k * 7919 % 1000},{k * 31 % 2}" for k in range(n)]
    path.write_text("\n".join(["user,size,y", *rows]))
    tracemalloc.start()
    with pytest.warns(TableWarning, match="'user' has 5,000 different texts in 5,000 rows"):
        table = load_table(str(path))
    value = fitted(table, FOREST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6 and 0 < value < 1


def sorted_by_class() -> dict[str, Any]:
    return {"noise": NOISE, "other": RNG.standard_normal(N), "y": np.arange(N) * 3 // N}


def test_the_index_that_pandas_writes_is_left_out_and_said(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame(sorted_by_class()).to_csv(tmp_path / "t.csv")
    with pytest.warns(TableWarning, match="Left out: 'Unnamed: 0' counts the rows") as caught:
        table = load_table(str(tmp_path / "t.csv"))
    assert len(caught) == 1 and table.names == ("noise", "other")
    assert fitted(table, FOREST) < 0.6


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nr", np.arange(N)),
        ("position", np.arange(1, N + 1)),
        ("left", np.arange(N)[::-1]),
        ("key", [f"{n}.0" for n in range(N)]),
        ("key", [f"{n:06d}" for n in range(N)]),
        ("row", np.delete(np.arange(N + 50), RNG.choice(N, 50, replace=False))),
        ("nr", [*range(1, N - 1), "", ""]),
        ("id", RNG.permutation(N) + 1000),
        ("PassengerId", RNG.permutation(N)),
        ("customer_id", RNG.choice(10**6, N, replace=False)),
        ("Unnamed: 0.1", np.arange(N) % 150),
    ],
)
def test_columns_that_count_rows_are_left_out_and_said(load: Load, name: str, values: Any) -> None:
    table, said = load({name: values, **sorted_by_class()})
    assert table.names == ("noise", "other")
    assert said == (
        f't.csv: Left out: {name!r} counts the rows; task.keep = ["{name}"] would keep it.'
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("humid", RNG.permutation(N)),  # ends in id, is none
        ("dose", np.arange(N) % 10),
        ("id", np.arange(N) % 7),
        ("time", np.arange(N) * 0.1),
        ("score", np.sort(RNG.standard_normal(N))),
    ],
)
def test_columns_that_measure_stay(load: Load, name: str, values: Any) -> None:
    table, _ = load({name: values, "noise": NOISE, "y": CLASS})
    assert table.names == (name, "noise")


def test_a_counter_that_is_kept_or_alone_stays(load: Load) -> None:
    table, said = load({"year": np.arange(N), "noise": NOISE, "y": CLASS}, keep=["year"])
    assert table.names == ("year", "noise") and said == ""
    alone, _ = load({"x": np.arange(N), "y": CLASS})
    assert alone.names == ("x",)


def test_a_feature_that_alone_predicts_the_target_is_pointed_out(load: Load) -> None:
    leak = CLASS * 2.5 + 0.01 * NOISE
    table, said = load({"size": SIZE, "leak": leak, "y": CLASS})
    assert table.names == ("size", "leak")
    assert said == (
        "t.csv: On held-out rows 'y' is predicted by one feature alone: 'leak' (accuracy 1.000); "
        """if that is not known before 'y' is, leave it out by task.drop = ["leak"]."""
    )


@pytest.mark.parametrize("is_text", [False, True])
def test_a_feature_that_alone_predicts_numbers_or_is_a_text_is_pointed_out(
    load: Load, is_text: bool
) -> None:
    y = ["won" if c else "lost" for c in CLASS] if is_text else SIZE * 100
    leak = ["paid" if c else "open" for c in CLASS] if is_text else SIZE * 3 + 1e-3 * NOISE
    _, said = load({"noise": NOISE, "leak": leak, "y": y})
    assert "predicted by one feature alone: 'leak' (" in said and "noise" not in said


def test_a_strong_or_a_lucky_feature_is_not_pointed_out(load: Load) -> None:
    rare = np.zeros(N, dtype=int)
    rare[:4] = 1
    for y in (CLASS, rare, SIZE + 0.3 * NOISE):
        _, said = load({"size": SIZE, "other": RNG.standard_normal(N), "y": y})
        assert said == ""


def test_columns_to_leave_out_can_be_named(load: Load) -> None:
    table, said = load({"a": ["?"] * N, "b": NOISE, "c": SIZE, "y": CLASS}, drop=["a", "b"])
    assert table.names == ("c",) and said == "" and table.source.endswith("t.csv without a, b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": ["z"]}, "`task.drop` must be a column of t.csv: a, y; got 'z'"),
        ({"keep": ["z"]}, "`task.keep` must be a column of t.csv: a, y; got 'z'"),
        ({"drop": ["y"]}, "`task.drop` names the target of t.csv, 'y'"),
        ({"drop": "a"}, r"`task.drop` must be a list of columns, such as \[\"id\"\]; got 'a'"),
    ],
)
def test_names_that_are_no_columns_are_refused(
    load: Load, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load({"a": SIZE, "y": CLASS}, **options)


def test_a_file_with_nothing_but_ids_says_why(load: Load) -> None:
    with pytest.raises(DataError, match="0 features .* Left out: 'name' has 300 different texts"):
        load({"name": [f"n {n}" for n in range(N)], "y": CLASS})

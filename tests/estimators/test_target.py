"""Targets: classes, written numbers, texts that are neither."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optuna_evo.errors import DataError
from optuna_evo.errors import TableWarning
from optuna_evo.estimators import load_table
from optuna_evo.estimators import Table


N = 200
PRICES = np.random.default_rng(1).uniform(500, 90_000, N).round(2)
CLASSES = ["low", "mid", "None"]


def load(tmp_path: Path, target: Any, **options: Any) -> Table:
    import pandas as pd

    path = tmp_path / "t.csv"
    size = np.random.default_rng(0).standard_normal(N).round(3)
    pd.DataFrame({"size": size, "y": target}).to_csv(path, index=False)
    return load_table(str(path), **options)


@pytest.mark.parametrize(
    "form",
    ["{:,.2f}", "${:,.2f}", "{:,.2f} USD", "€ {:_.2f}", "{:.2f} %", "{:e}"],
)
def test_written_numbers_are_a_target_to_regress_on(tmp_path: Path, form: str) -> None:
    texts = [form.format(price) for price in PRICES]
    if "_" in form:  # 1 234,50
        texts = [t.replace("_", " ").replace(".", ",") for t in texts]
    if form == "{:e}":
        table = load(tmp_path, texts)
    else:
        with pytest.warns(TableWarning, match="Read as numbers: 'y' "):
            table = load(tmp_path, texts)
    assert table.kind == "regression" and table.targets == pytest.approx(PRICES, rel=1e-6)


def test_whole_amounts_of_money_are_no_classes(tmp_path: Path) -> None:
    with pytest.warns(TableWarning, match=r"'y' \('\$1,000' is 1000\)"):
        table = load(tmp_path, [f"${1000 * (1 + n % 5):,}" for n in range(N)])
    assert table.kind == "regression" and sorted(set(table.targets)) == [1e3, 2e3, 3e3, 4e3, 5e3]


def test_a_few_numbers_with_thousands_are_no_classes(tmp_path: Path) -> None:
    with pytest.warns(TableWarning, match=r"'y' \('1,000' is 1000\)"):
        assert load(tmp_path, [f"{1000 * (1 + n % 5):,}" for n in range(N)]).kind == "regression"


def test_a_target_that_is_nearly_all_numbers_is_one(tmp_path: Path) -> None:
    texts = [f"{price:,.2f}" for price in PRICES]
    texts[5] = texts[9] = "on request"
    texts[6] = ""
    with pytest.warns(TableWarning) as caught:
        table = load(tmp_path, texts)
    assert table.kind == "regression" and len(table.targets) == len(table.features) == N - 3
    said = [str(w.message) for w in caught]
    assert "t.csv: Taken as missing in 'y' ('on request' 2x)." in said
    assert "t.csv: Left out: 3 rows without a target, 'y'." in said


def test_a_target_of_texts_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="target 'y' of t.csv holds text, 200 different ones in 20"
    ):
        load(tmp_path, [f"house {n}" for n in range(N)])
    assert load(tmp_path, [f"house {n}" for n in range(N)], kind="classification").kind


@pytest.mark.parametrize(
    ("classes", "n_classes"),
    [
        (CLASSES, 3),
        (["+", "-"], 2),
        (["1", "X", "2"], 3),
        (["0", "1", "2", "other"], 4),
        (["True", "False"], 2),
        (["yes", "yes ", "no"], 2),
        (["-1", "1"], 2),
        (["1.0", "2.0"], 2),
    ],
)
def test_classes_are_numbered_from_0(tmp_path: Path, classes: list[str], n_classes: int) -> None:
    table = load(tmp_path, [classes[n % len(classes)] for n in range(N)])
    assert table.kind == "classification" and len(table.targets) == N
    assert sorted(set(table.targets.tolist())) == list(range(n_classes))


def test_classes_without_rows_leave_no_gap(tmp_path: Path) -> None:
    labels = ["?" if n % 50 == 3 else str(n % 3 * 5) for n in range(N)]
    with pytest.warns(TableWarning, match="'y' \\('\\?' 4x\\)|4 rows without a target"):
        table = load(tmp_path, labels)
    assert sorted(set(table.targets.tolist())) == [0, 1, 2] and len(table.targets) == N - 4


def test_a_few_rows_of_different_whole_numbers_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,y", *(f"{n * 7 % 15}.5,{n * 4 % 15}" for n in range(15))]))
    assert load_table(str(path)).kind == "regression"


def test_an_infinite_target_is_refused_by_row(tmp_path: Path) -> None:
    values = PRICES.copy()
    values[4] = np.inf
    with pytest.raises(DataError, match="column 'y' of t.csv holds inf in row 5"):
        load(tmp_path, values)

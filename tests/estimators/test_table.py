"""Tables: embedded ones, own files, and what is wrong with some."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optuna_evo.errors import DataError
from optuna_evo.estimators import load_table
from optuna_evo.estimators import table_names
from optuna_evo.objectives import describe_table


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    rows = [f"{n},{'red' if n % 3 else 'blue'},{n * 10.5},{n % 2}" for n in range(12)]
    rows[4] = "4,,42.0,0"
    rows[5] = "5,red,,1"
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(["size,colour,price,sold", *rows]))
    return path


@pytest.mark.parametrize("name", table_names())
def test_embedded_tables_are_whole(name: str) -> None:
    table = load_table(name)
    assert len(table.features) == len(table.targets) > 100
    assert np.isfinite(table.features).all() and table.features.dtype == np.float64
    assert (table.kind == "classification") == (table.targets.dtype.kind == "i")


def test_words_become_columns_and_rows_without_target_are_left_out(houses: Path) -> None:
    table = load_table(str(houses), target="price")
    assert table.kind == "regression" and len(table.targets) == 11
    assert table.features.shape == (11, 4)  # size, sold, blue, red


def test_the_last_column_is_the_target_and_few_whole_numbers_are_classes(houses: Path) -> None:
    table = load_table(str(houses))
    assert table.kind == "classification" and set(table.targets) == {0, 1}
    assert np.isnan(table.features).sum() == 1
    assert load_table(str(houses), kind="regression").targets.dtype == np.float64


def test_a_parquet_file_in_the_data_folder_is_found(houses: Path, tmp_path: Path) -> None:
    import pandas as pd

    pd.read_csv(houses).to_parquet(tmp_path / "houses.parquet")
    assert len(load_table("houses.parquet", data_dir=tmp_path).targets) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "iris2"}, "one of breast_cancer, diabetes, digits, wine, or the path .*'iris2'"),
        ({"name": "wine", "target": "a"}, "go with own files, not 'wine'"),
        ({"target": "cost"}, "column of houses.csv: size, colour, price, sold; got 'cost'"),
        ({"target": "colour", "kind": "regression"}, "'colour' of houses.csv is not numeric: nam"),
        ({"kind": "clustering"}, "`task.kind` must be one of classification, regression"),
    ],
)
def test_wrong_options_are_refused(houses: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_table(**{"name": str(houses), **options})


@pytest.mark.parametrize(
    ("text", "message"), [("", "Cannot read the table"), ("a,b\n1,2", "it needs at least 10 rows")]
)
def test_files_with_too_little_to_learn_from_are_named(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_table(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_places_searched(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no table 'no.csv': searched no.csv and {tmp_path}"):
        load_table("no.csv", data_dir=tmp_path)


def test_a_table_is_described() -> None:
    found = describe_table(load_table("wine"))
    assert (found["n_rows"], found["n_features"], found["n_classes"]) == (178, 13, 3)
    assert found["landmark_linear"] > 0.9 > found["landmark_chance"] > 0.3

"""Ordinary files: separators, decimal signs, encodings, compression, and what is wrong in some."""

import bz2
from collections.abc import Callable
import gzip
import lzma
from pathlib import Path
import re
import zipfile

import numpy as np
import pytest

from optuna_evo.errors import DataError
from optuna_evo.errors import TableWarning
from optuna_evo.estimators import load_table
from optuna_evo.estimators._files import read_frame


N = 30
SIZES = [round(((7 * n) % N) * 1.37 + 0.5, 2) for n in range(N)]
TOWNS = [("Köln", "Rouen", "Łódź")[n % 3] for n in range(N)]
PRICES = [round(1000.5 + 3 * size + n % 3, 2) for n, size in enumerate(SIZES)]


def written(sep: str, decimal: str = ".", towns: list[str] = TOWNS, quote: str = "") -> str:
    def number(value: float) -> str:
        return f"{value:.2f}".replace(".", decimal)

    rows = [
        sep.join([number(s), f"{quote}{t}{quote}", number(p)])
        for s, t, p in zip(SIZES, towns, PRICES, strict=True)
    ]
    return "\n".join([sep.join(["size", "town", "price"]), *rows]) + "\n"


def test_truths_may_be_missing(tmp_path: Path) -> None:
    news = ["True", "False", ""] * (N // 3)
    rows = [f"{s},{new},{p}" for s, new, p in zip(SIZES, news, PRICES, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["size,new,price", *rows]))
    table = load_table(str(tmp_path / "a.csv"))
    assert table.names == ("size", "new")
    assert table.features[:2, 1].tolist() == [1.0, 0.0] and np.isnan(table.features[2, 1])


def is_whole(path: Path) -> bool:
    """Return whether the table that was written is the one that is read."""
    table = load_table(str(path))
    assert table.kind == "regression" and table.names == ("size", "town")
    assert table.n_texts == (3,)
    return table.features[:, 0].tolist() == SIZES and table.targets.tolist() == PRICES


@pytest.mark.parametrize(
    ("name", "sep", "decimal"),
    [
        ("t.csv", ",", "."),
        ("t.csv", ";", ","),
        ("t.csv", ";", "."),
        ("t.csv", "\t", "."),
        ("t.csv", "|", ","),
        ("t.tsv", "\t", ","),
        ("t.txt", ";", ","),
        ("t.data", ",", "."),
        ("t.CSV", ",", "."),
        ("t.Tsv", "\t", "."),
    ],
)
def test_separator_and_decimal_sign_are_found_out(
    tmp_path: Path, name: str, sep: str, decimal: str
) -> None:
    (tmp_path / name).write_text(written(sep, decimal), encoding="utf-8")
    assert is_whole(tmp_path / name)


def _zip(data: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.csv", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        (".csv.gz", gzip.compress),
        (".CSV.GZ", gzip.compress),
        (".tsv.bz2", bz2.compress),
        (".csv.xz", lzma.compress),
        (".csv.zip", _zip),
    ],
)
def test_compressed_files_are_read(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"t{ending}"
    path.write_bytes(compress(written("\t" if "tsv" in ending else ",").encode()))
    assert is_whole(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_of_the_byte_order_are_no_part_of_a_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(written(","), encoding=encoding)
    assert is_whole(path)


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    towns = [town.replace("Łódź", "Liège") for town in TOWNS]
    path.write_text(written(";", ",", towns), encoding="latin-1")
    with pytest.warns(TableWarning, match=r"t.csv: It is not UTF-8, so read as cp1252\."):
        assert is_whole(path)


@pytest.mark.parametrize(
    "text",
    [
        written(",", towns=[f"{t}, centre" for t in TOWNS], quote='"'),
        written(";", ",", towns=[f'the ""old"" {t}; centre' for t in TOWNS], quote='"'),
        written(",", towns=[f"{t}\ncentre" for t in TOWNS], quote='"'),
        written(", "),
        written(",").replace("\n", "\r\n"),
        "\n\n" + written(",") + "\n\n",
        "sep=;\n" + written(";", ","),
        written(",").replace("\n", "\r"),
        written(",").replace("\n", ",\n"),  # lines that end in a separator, the first one too
        written(",").replace("\n", ",\n").replace("price,\n", "price\n", 1),  # or not
    ],
    ids=[
        "quoted",
        "quotes",
        "lines",
        "blanks",
        "windows",
        "empty",
        "excel",
        "mac",
        "closed",
        "half",
    ],
)
def test_quoted_fields_and_superfluous_signs_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    if "price,\n" in text:
        with pytest.warns(TableWarning, match="Left out: 'Unnamed: 3' is empty"):
            assert is_whole(path)
    else:
        assert is_whole(path)


@pytest.mark.parametrize("title", ["Prices\n\n", "# made by me\n# for you\n"])
def test_titles_above_the_names_are_left_out_and_said(tmp_path: Path, title: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(title + written(";", ","), encoding="utf-8")
    with pytest.warns(TableWarning, match="its first [12] lines, which are no rows of a table"):
        assert is_whole(path)


def test_blanks_part_the_fields_of_a_txt_file(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(written("   "), encoding="utf-8")
    assert is_whole(path)


def test_names_of_rows_without_a_name_are_left_out(tmp_path: Path) -> None:
    first, *rows = written(",").splitlines()
    path = tmp_path / "t.csv"  # as R writes it
    path.write_text("\n".join([first, *(f"{n},{row}" for n, row in enumerate(rows, 1))]))
    with pytest.warns(TableWarning, match="Left out: 'Unnamed: 0' counts the rows"):
        assert is_whole(path)


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_files_with_types_are_read(tmp_path: Path, ending: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"size": SIZES, "town": TOWNS, "price": PRICES})
    frame["town"] = frame["town"].astype("category")
    getattr(frame, f"to_{ending}")(tmp_path / f"t.{ending}")
    assert is_whole(tmp_path / f"t.{ending}")


def test_types_of_a_parquet_file_become_numbers(tmp_path: Path) -> None:
    import decimal

    import pandas as pd

    days = pd.to_datetime("2020-01-01") + pd.to_timedelta([3 * n % N for n in range(N)], "D")
    frame = pd.DataFrame(
        {
            "whole": pd.array([None, *range(N - 1)][::-1], dtype="Int64"),
            "flag": pd.array([True, None, False] * (N // 3), dtype="boolean"),
            "cost": [decimal.Decimal(n * 7 % 11) / 4 for n in range(N)],
            "day": days,
            "spent": days - days[0],
            "price": PRICES,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(TableWarning) as caught:
        table = load_table(str(tmp_path / "t.parquet"), keep=["whole"])
    assert table.n_texts == () and np.isnan(table.features).sum(axis=0).tolist() == [
        1,
        10,
        0,
        0,
        0,
    ]
    assert "'day' ('2020-01-01' is 18262 days since 1970)" in str(caught[0].message)


def test_categories_of_a_feather_file_stay_categories_though_they_are_numbers(
    tmp_path: Path,
) -> None:
    import pandas as pd

    codes = pd.Series([n % 5 for n in range(N)], dtype="category")
    pd.DataFrame({"code": codes, "price": PRICES}).to_feather(tmp_path / "t.feather")
    assert load_table(str(tmp_path / "t.feather")).n_texts == (5,)


def test_thousands_of_a_file_with_decimal_commas_are_no_decimals(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{n * 7 % N + 1}.{n:03d};{n * 11 % N},5;{n % 2}" for n in range(N)]
    path.write_text("\n".join(["people;share;y", *rows]))
    with pytest.warns(TableWarning, match=r"Read as numbers: 'people' \('1.000' is 1000\)"):
        table = load_table(str(path))
    assert table.features[1].tolist() == [8001, 11.5]


def test_a_named_index_of_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"size": SIZES, "price": PRICES}).set_index("price")
    frame.to_parquet(tmp_path / "t.parquet")
    assert load_table(str(tmp_path / "t.parquet"), target="price").targets.tolist() == PRICES


def test_a_first_line_of_numbers_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(f"{n * 7 % 13}.5,{n % 2}" for n in range(40)))
    with pytest.warns(TableWarning, match=r"names of columns, holds numbers \(0.5, 0, …\)"):
        load_table(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"Cannot read the table .*/t.csv \(it is empty\)"),
        ("\ufeff\n \n", r"Cannot read the table .*/t.csv \(it is empty\)"),
        ("a,b\n", "t.csv has 2 columns, but no rows"),
        ("a\n" + "1\n2\n" * 9, "t.csv has 18 rows, 0 features and 2 distinct targets"),
        ("a,b,a\n1,2,3\n", "t.csv has two columns 'a', the 1. and the 3.: rename one"),
        ("a,b\n" + "1,2\n" * 20 + "1,2,3\n", r"t.csv \(.*Expected 2 fields in line 22, saw 3\)"),
        ("a,b\n" + "1,\0\n" * 20, "t.csv .it is no text, as it holds zero bytes"),
        ("a,b\n" + "1,0.5\n" * 20 + "inf,0.1\n", "column 'a' of t.csv holds inf in row 21; num"),
        ("a,b\n" + "1,0.5\n" * 20 + "1,-inf\n", "column 'b' of t.csv holds -inf in row 21"),
        ("a,b\n" + "1,0.5\n" * 20 + "1e300,0.1\n", r"column 'a' of t.csv holds 1e\+300 in row 21"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_file_column_and_row(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        load_table(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2]] * N, "'size' of t.parquet holds a ndarray in row 1; .* task.drop = ..size"),
        ([{"a": 1}] * N, "'size' of t.parquet holds a dict in row 1"),
        ([*SIZES[:-1], np.inf], "'size' of t.parquet holds inf in row 30"),
    ],
)
def test_cells_of_a_parquet_file_that_are_no_numbers_are_named(
    tmp_path: Path, values: list[object], message: str
) -> None:
    import pandas as pd

    pd.DataFrame({"size": values, "price": PRICES}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=message):
        load_table(str(tmp_path / "t.parquet"))


def test_lists_in_a_text_file_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,c", *(f'"[{n}, 2]",{n * 7 % N},{n % 2}' for n in range(N))]))
    with pytest.warns(TableWarning, match="Left out: 'a' has 30 different texts in 30 rows"):
        assert load_table(str(path)).names == ("b",)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("t.csv.gz", b"a,b\n1,2\n", "Not a gzipped file"),
        ("t.parquet", b"a,b\n1,2\n", "Could not open Parquet|[Mm]agic bytes"),
        ("t.csv.zip", b"a,b\n", "not a zip file"),
    ],
)
def test_files_that_are_not_what_they_end_in_are_named(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    match = re.escape(f"Cannot read the table {tmp_path / name}") + f".*({reason})"
    with pytest.raises(DataError, match=match):
        read_frame(tmp_path / name)


def test_other_kinds_of_files_are_refused_by_naming_the_kinds() -> None:
    with pytest.raises(ValueError, match="CSV, TSV, TXT, parquet or feather file .*got 't.xlsx'"):
        load_table("t.xlsx")

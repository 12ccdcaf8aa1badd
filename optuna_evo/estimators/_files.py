"""Own files as frames: separator, decimal sign, encoding and compression are found out.

Columns of plain numbers become numbers. What the texts of others mean is read later (`_columns`),
since only a whole column tells. Of parquet and feather files the types are kept.
"""

import bz2
from collections.abc import Callable
from collections.abc import Sequence
import csv
from dataclasses import dataclass
import functools
import gzip
import io
import lzma
import os
from pathlib import Path
import re
from typing import Any
from typing import Final
import warnings
import zipfile

from optuna_evo.errors import DataError
from optuna_evo.estimators._numbers import decimal_votes


__all__ = ["find_file", "Frame", "is_table_file", "read_frame"]

_TEXTS: Final = (".csv", ".tsv", ".tab", ".txt", ".data")
_BINARY: Final = (".parquet", ".pq", ".feather")
# In the order of preference where several part all lines alike: the less it occurs in texts.
_SEPARATORS: Final = ("\t", ";", "|", ",")
_BLANKS: Final = r"\s+"
_SAMPLE: Final = 1 << 18  # characters that the separator is found by
_SAMPLE_ROWS: Final = 200
_MAX_TITLES: Final = 10  # lines above the names of columns
_MIN_ROWS: Final = 3  # below them, that make a table
_SURE: Final = 0.9
_N_VOTERS: Final = 200  # texts of a column that the decimal sign is found by
_BYTE_ORDER_MARKS: Final = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """A file as it was read.

    Args:
        data: A pandas frame; of a text file with numbers where a whole column is plain ones.
        decimal_comma: Whether the numbers of a text file have a decimal comma.
        notes: What is worth saying about how it was read.
    """

    data: Any
    decimal_comma: bool = False
    notes: Sequence[str] = ()


def is_table_file(name: str) -> bool:
    """Return whether a name ends as a table's does, whatever its case and compression."""
    return _ending(name) in (*_TEXTS, *_BINARY)


def find_file(name: str, data_dir: Path | None) -> Path:
    """Return the path of a file, as it is named or in the data folder.

    Raises:
        DataError: If it is at neither place.
    """
    folder = data_dir or os.environ.get("OPTUNA_EVO_DATA")
    places = [Path(name).expanduser(), *([Path(folder).expanduser() / name] if folder else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        searched = " and ".join(str(place) for place in places)
        raise DataError(
            f"There is no table {name!r}: searched {searched}. Give the path of its file, or name "
            "the folder that holds it by `--data-dir` or OPTUNA_EVO_DATA."
        )
    return found


def read_frame(path: Path) -> Frame:
    """Read a table's file.

    Raises:
        DataError: If it cannot be read, is empty or has two columns of the same name.
    """
    try:
        frame = _read_binary(path) if _ending(path.name) in _BINARY else _read_text(path)
    except DataError:
        raise
    except Exception as error:  # OSError, and what the parsers and decompressors raise
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"Cannot read the table {path} ({reason}).") from error
    _refuse_same_names(path, frame.data.columns)
    return frame


def _ending(name: str) -> str:
    suffixes = Path(name.lower()).suffixes
    if suffixes and suffixes[-1] in _OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_binary(path: Path) -> Frame:
    import pandas as pd

    is_feather = _ending(path.name) == ".feather"
    data = pd.read_feather(path) if is_feather else pd.read_parquet(path)
    if any(name is not None for name in data.index.names):  # a column that was made the index
        data = data.reset_index()
    data.columns = pd.Index([str(column) for column in data.columns])
    return Frame(data)


def _read_text(path: Path) -> Frame:
    import pandas as pd

    raw = _read_bytes(path)
    encoding = _encoding(raw)
    if b"\0" in raw and encoding != "utf-16":
        raise DataError(f"Cannot read the table {path} (it is no text, as it holds zero bytes).")
    sample = raw[:_SAMPLE].decode(encoding, errors="ignore")
    sample = sample.replace("\r\n", "\n").replace("\r", "\n")
    n_skipped, sample, stated = _without_separator_line(sample)
    if not sample.strip():
        raise DataError(f"Cannot read the table {path} (it is empty).")
    if len(raw) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1]  # the last line may be a part of one
    may_be_blanks = _ending(path.name) != ".csv"
    separator = stated or _separator(sample, may_be_blanks=may_be_blanks)
    n_titles = 0
    if separator is None:
        n_titles, separator = _below_titles(sample, may_be_blanks=may_be_blanks)
        sample = "".join(sample.splitlines(keepends=True)[n_titles:])
    rows = _sample_rows(sample, separator)
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(rows[0])]
    is_closed = False
    if len(rows) > 1 and all(len(row) == len(names) + 1 for row in rows[1:]):
        is_closed = all(not row[-1].strip() for row in rows[1:])
        if not is_closed:  # as R writes names of rows
            names = ["Unnamed: 0", *names]
    _refuse_same_names(path, names)
    parse = functools.partial(
        pd.read_csv,
        sep=separator,
        encoding=encoding,
        names=names,
        header=0,
        index_col=False if is_closed else None,
        skiprows=n_skipped + n_titles,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=[""],
    )
    with warnings.catch_warnings():
        # that it leaves out the nothing behind the last separator
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        data = parse(io.BytesIO(raw), low_memory=False)
        points, commas = _decimal_votes(data)
        if commas or separator == ";":  # then what looks like 1.234 may be a thousand
            data = parse(io.BytesIO(raw), dtype=str)
            points, commas = _decimal_votes(data)
    # files whose fields are parted by semicolons are so because of their commas
    is_comma = commas > points or (commas == points == 0 and separator == ";")
    if not isinstance(data.index, pd.RangeIndex):  # all lines but those of the sample are longer
        raise DataError(f"Cannot read the table {path} (its rows have more fields than names).")
    return Frame(data, is_comma, _remarks(encoding, names, n_titles))


def _decimal_votes(data: Any) -> tuple[int, int]:
    """Return how many columns of texts show a decimal point, and how many a comma."""
    points = commas = 0
    for name in data.columns:
        if data[name].dtype.kind == "O":
            cells = data[name].dropna().unique()[:_N_VOTERS]
            texts = [cell.strip() for cell in cells if isinstance(cell, str)]  # else a truth
            n_point, n_comma = decimal_votes(texts)
            points += n_point > n_comma
            commas += n_comma > n_point
    return points, commas


def _remarks(encoding: str, names: Sequence[str], n_titles: int) -> list[str]:
    found = []
    if n_titles:
        found.append(f"Left out: its first {n_titles} lines, which are no rows of a table")
    if encoding in ("cp1252", "latin-1"):
        found.append(f"It is not UTF-8, so read as {encoding}")
    if all(_is_number(name) for name in names) and not _is_count(names):
        shown = ", ".join(names[:3])
        found.append(
            f"Its first line, taken for the names of columns, holds numbers ({shown}, …): if it "
            "is data, write a line of names above it"
        )
    return found


def _read_bytes(path: Path) -> bytes:
    return _OPENERS.get(path.suffix.lower(), Path.read_bytes)(path)


def _unzip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if not n.startswith("__MACOSX") and n[-1] != "/"]
        if len(names) != 1:
            raise DataError(f"Cannot read the table {path} (it holds {len(names)} files, not 1).")
        return archive.read(names[0])


def _encoding(raw: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if raw.startswith(mark):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"  # knows every byte


def _without_separator_line(sample: str) -> tuple[int, str, str | None]:
    """Take off Excel's first line `sep=;`: lines to skip, the rest, and the separator."""
    found = re.match(r'"?sep=(.)"?\r?\n', sample)
    return (1, sample[found.end() :], found[1]) if found else (0, sample, None)


def _separator(sample: str, *, may_be_blanks: bool) -> str | None:
    """Return what parts the most lines into as many fields as the first has, and into the most.

    None: nothing parts the first line.
    """
    marks = {sep: _agreement(_sample_rows(sample, sep)) for sep in _SEPARATORS}
    best = max(marks, key=lambda sep: marks[sep])  # the first of equals
    if marks[best][0] > 0:
        return best
    is_blanks = may_be_blanks and _agreement(_sample_rows(sample, _BLANKS))[0] == 1
    return _BLANKS if is_blanks else None


def _below_titles(sample: str, *, may_be_blanks: bool) -> tuple[int, str]:
    """Return how many lines stand above a table, such as a title, and what parts its fields."""
    lines = sample.splitlines(keepends=True)
    for n_titles in range(1, min(_MAX_TITLES, len(lines) - _MIN_ROWS) + 1):
        rest = "".join(lines[n_titles:])
        separator = _separator(rest, may_be_blanks=may_be_blanks)
        if separator and _agreement(_sample_rows(rest, separator))[0] > _SURE:
            return n_titles, separator
    return 0, ","  # a single column, so anything will do


def _agreement(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, width
    # one more field: names of rows without a name, or nothing behind a last separator
    n_alike = sum(len(row) in (width, width + 1) for row in rows)
    return n_alike / len(rows), width


def _sample_rows(sample: str, separator: str) -> list[list[str]]:
    if separator == _BLANKS:
        rows = [line.split() for line in sample.splitlines()]
    else:
        reader = csv.reader(io.StringIO(sample), delimiter=separator, skipinitialspace=True)
        rows = [row for row, _ in zip(reader, range(2 * _SAMPLE_ROWS), strict=False)]
    return [row for row in rows if any(field.strip() for field in row)][:_SAMPLE_ROWS]


def _refuse_same_names(path: Path, names: Sequence[str]) -> None:
    for place, name in enumerate(names):
        if name in list(names[:place]):
            first = list(names).index(name)
            raise DataError(
                f"The table {path} has two columns {name!r}, the {first + 1}. and the "
                f"{place + 1}.: rename one."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(names: Sequence[str]) -> bool:
    numbers = [float(name) for name in names]
    return numbers[0] in (0, 1) and numbers == [numbers[0] + i for i in range(len(names))]


_OPENERS: Final[dict[str, Callable[[Path], bytes]]] = {
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
    ".bz2": lambda path: bz2.decompress(path.read_bytes()),
    ".xz": lambda path: lzma.decompress(path.read_bytes()),
    ".zip": _unzip,
}

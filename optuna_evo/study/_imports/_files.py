"""A file of runs as rows of plain cells: CSV and its kin, JSON, JSON lines.

What is nested becomes columns with a dot in their names, `config.optimizer.lr`: objects of JSON,
and the texts of them that a frame of dictionaries leaves in a CSV file. `{"value": x}`, as W&B
wraps settings, is x; a list of `{"key": …, "value": …}`, as MLflow's server answers, is an object.
"""

import ast
import bz2
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import gzip
import json
import lzma
import math
from pathlib import Path
from typing import Any
from typing import Final

from optuna_evo.errors import DataError
from optuna_evo.estimators import read_frame


__all__ = ["Cell", "read_rows", "Row", "rows_of"]

Cell = bool | int | float | str
Row = dict[str, Cell]

_JSON_ENDINGS: Final = (".json", ".jsonl", ".ndjson")
_OPENERS: Final[Mapping[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MOST_COLUMNS: Final = 20_000
_DEEPEST: Final = 20
_WRAPPED: Final = ({"value"}, {"value", "desc"})
_NOT_FINITE: Final = {"nan": math.nan, "NaN": math.nan, "inf": math.inf, "Infinity": math.inf}
_BROKEN: Final = (ValueError, SyntaxError, RecursionError, MemoryError, OverflowError, TypeError)


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Read a file: its rows, without cells that are empty, and what to say of how it was read.

    Raises:
        DataError: If it cannot be read, or has no rows.
    """
    notes: list[str] = []
    try:
        if not path.is_file():
            raise DataError(f"There is no file {path}.")
        if _is_json(path):
            return rows_of(_read_json(path), str(path)), notes
        frame = read_frame(path)
        notes += frame.notes
        filled, names = frame.data.notna(), list(frame.data.columns)
        records = [
            {names[j]: row[j] for j, is_there in enumerate(there) if is_there}
            for row, there in zip(
                frame.data.astype(object).values.tolist(), filled.values.tolist(), strict=True
            )
        ]
        if frame.decimal_comma:
            records = [{k: _with_point(v) for k, v in record.items()} for record in records]
        return rows_of(records, str(path)), notes
    except UnicodeDecodeError as error:
        raise DataError(f"Cannot read {path}: it is not UTF-8 ({error.reason}).") from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Cannot read {path}: {reason}.") from error


def rows_of(records: Sequence[Any], source: str) -> list[Row]:
    """Return records, which may be nested, as rows of plain cells.

    Raises:
        DataError: If one is no mapping, or there are none.
    """
    rows = []
    columns: set[str] = set()
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            kind = type(record).__name__
            raise DataError(f"Run {number} in {source} must be an object of names, got a {kind}.")
        try:
            row = dict(_flat(record, "", _DEEPEST))
        except RecursionError as error:
            raise DataError(f"Run {number} in {source} is nested too deeply.") from error
        columns |= row.keys()
        if len(columns) > _MOST_COLUMNS:
            raise DataError(f"{source} has more than {_MOST_COLUMNS:,} columns.")
        rows.append(row)
    if not rows or not columns:
        raise DataError(f"{source} holds no runs: it needs a line of names and a line for each.")
    return rows


def _is_json(path: Path) -> bool:
    name = path.name.lower()
    for ending in _OPENERS:
        name = name.removesuffix(ending)
    if name.endswith(_JSON_ENDINGS):
        return True
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def _read_json(path: Path) -> list[Any]:
    with _OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
        text = file.read().decode("utf-8-sig")
    try:
        return _records(json.loads(text))
    except RecursionError as error:
        raise DataError(f"Cannot read {path}: it is nested too deeply.") from error
    except ValueError as whole:  # a value for each line?
        records = []
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        for number, line in lines:
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                # of a single value over many lines, the place where that ends is what helps
                reason = whole if number == lines[0][0] else f"line {number}: {error}"
                raise DataError(f"Cannot read {path}: it is no JSON ({reason}).") from error
        return records


def _records(data: Any) -> list[Any]:
    """Return the runs in a JSON value: a list, a list under a name, or columns as pandas has."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        return [data]
    lists = [v for v in data.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) == 1:
        return lists[0]
    columns = list(data.values())
    if columns and all(isinstance(column, dict) for column in columns):
        indices = list(columns[0])
        if indices and all(list(column) == indices for column in columns):
            return [{name: column[i] for name, column in data.items()} for i in indices]
    return [data]


def _flat(record: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Cell]]:
    """Yield the cells of a record; those that are empty are left out."""
    if depth == 0:
        raise RecursionError
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, str):
            value = _unpacked(value)
        if isinstance(value, Mapping) and set(value) in _WRAPPED:
            value = value["value"]
        if isinstance(value, list) and value and all(map(_is_pair, value)):
            value = {pair["key"]: pair["value"] for pair in value}
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.", depth - 1)
        elif (cell := _cell(value)) is not None:
            yield name, cell


def _is_pair(value: Any) -> bool:
    return isinstance(value, Mapping) and {"key", "value"} <= set(value)


def _unpacked(text: str) -> Any:
    """Return the object in a text that is one, in JSON or as Python prints it; else the text."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return text
    try:
        found = json.loads(text)
    except _BROKEN:
        try:
            tree = _Numbers().visit(ast.parse(text, mode="eval"))
            found = ast.literal_eval(tree)
        except _BROKEN:
            return text
    return found if isinstance(found, dict) else text


class _Numbers(ast.NodeTransformer):
    """Turn `nan` and `inf`, which Python prints but does not read, into numbers."""

    def visit_Name(self, node: ast.Name) -> ast.AST:  # the name is ast's
        """Return the number that a name stands for."""
        if node.id not in _NOT_FINITE:
            return node
        return ast.copy_location(ast.Constant(_NOT_FINITE[node.id]), node)


def _cell(value: Any) -> Cell | None:
    """Return a value as a cell; None: it is empty."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | int | float):
        # a frame has NaN where nothing stands, and a JSON file where a NaN was logged
        return value
    if value is None:
        return None
    if hasattr(value, "isoformat"):  # times of parquet files
        return str(value.isoformat()) if value == value else None  # NaT
    if hasattr(value, "item") and not getattr(value, "shape", ()):  # numbers of numpy
        return _cell(value.item())
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "tolist"):
        listed = value.tolist() if hasattr(value, "tolist") else list(value)
        return json.dumps(listed, default=str) if listed else None
    return str(value) or None


def _with_point(value: Any) -> Any:
    return value.replace(",", ".") if isinstance(value, str) and _is_decimal(value) else value


def _is_decimal(text: str) -> bool:
    return text.count(",") == 1 and text.replace(",", "", 1).lstrip("+-").isdigit()

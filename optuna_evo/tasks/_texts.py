"""Plain texts to model: by name, or from any text or parquet file.

A text is a list of documents. Those of a parquet file are put in a fixed random order, since files
are often sorted by class: the last tenth would be of one class.
"""

from collections.abc import Sequence
from pathlib import Path
import sys
import sysconfig
from typing import NamedTuple

from optuna_evo.errors import DataError
from optuna_evo.tasks._files import data_folder
from optuna_evo.tasks._files import find
from optuna_evo.tasks._files import missing
from optuna_evo.tasks._files import one_line
from optuna_evo.tasks._files import rows_from_hub
from optuna_evo.tasks._task import partition


__all__ = ["read_text", "standard_library", "Text", "TINY_SHAKESPEARE"]

TINY_SHAKESPEARE = ["text/tinyshakespeare/input.txt", "tinyshakespeare/input.txt"]
_IMDB = ["text/imdb/train.parquet", "imdb/train.parquet"]
_IMDB_ON_THE_HUB = "stanfordnlp/imdb"
_N_STANDARD_LIBRARY = 1_115_394  # characters, the length of tiny Shakespeare


class Text(NamedTuple):
    """Documents, and where they came from in words."""

    documents: list[str]
    source: str


def read_text(text: str = "auto", data_dir: Path | None = None) -> Text:
    """Read a text.

    Args:
        text: "tinyshakespeare" or "imdb" (of the data folder; "imdb" else from the hub), "stdlib"
            (source files of the running Python's standard library: always there), "auto" (tiny
            Shakespeare where the data folder has it, else "stdlib"), or the path of a text file
            or of a parquet file, whose column `text`, or else its first column of strings, holds
            the documents.
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA`.

    Raises:
        DataError: If there is no such text, or it cannot be read.

    Example:
        >>> read_text("stdlib").documents[0][:3]
        '\"\"\"'
    """
    folder = data_folder(data_dir)
    if text in ("auto", "tinyshakespeare"):
        if found := find(folder, TINY_SHAKESPEARE):
            return Text(_text_file(found), f"tiny Shakespeare in {found}")
        if text == "tinyshakespeare":
            raise missing("tinyshakespeare", folder, TINY_SHAKESPEARE)
    if text in ("auto", "stdlib"):
        version = ".".join(map(str, sys.version_info[:3]))
        source = f"source files of the standard library of Python {version}"
        return Text([standard_library()], source)
    if text == "imdb":
        return _imdb(folder)
    return _own_file(Path(text).expanduser(), folder)


def standard_library() -> str:
    """Return source files of the running Python, cut to the length of tiny Shakespeare."""
    text = ""
    # sorted, and not encoding errors: the same text on every machine with this version of Python
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text += path.read_text(encoding="utf-8", errors="replace")
        if len(text) >= _N_STANDARD_LIBRARY:
            break
    return text[:_N_STANDARD_LIBRARY]


def _own_file(path: Path, folder: Path | None) -> Text:
    places = [path, *([folder / path] if folder else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            f"There is no text {str(path)!r}: name a text or parquet file, or one of "
            "tinyshakespeare, imdb, stdlib, auto."
        )
    documents = _parquet_file(found) if found.suffix == ".parquet" else _text_file(found)
    return Text(documents, str(found))


def _text_file(path: Path) -> list[str]:
    try:
        return [path.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The text {path} cannot be read ({one_line(error)}): it must be a text file in UTF-8."
        ) from error


def _parquet_file(path: Path) -> list[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        strings = [
            field.name
            for field in schema
            if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type)
        ]
        if not strings:
            raise DataError(
                f"The parquet file {path} has no column of strings, only {schema.names}: name a "
                "file that has one, such as `text`."
            )
        column = "text" if "text" in strings else strings[0]
        return _shuffled(parquet.read_table(path, columns=[column])[column].to_pylist())
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(
            f"The text {path} cannot be read ({one_line(error)}): it must be a parquet file."
        ) from error


def _imdb(folder: Path | None) -> Text:
    if found := find(folder, _IMDB):
        return Text(_parquet_file(found), f"IMDB reviews in {found}")
    try:
        rows = rows_from_hub(_IMDB_ON_THE_HUB, "train")
    except Exception as error:
        raise missing("imdb", folder, _IMDB, error) from error
    return Text(_shuffled(rows["text"]), f"IMDB reviews of {_IMDB_ON_THE_HUB}")


def _shuffled(documents: Sequence[str | None]) -> list[str]:
    there = [document for document in documents if document]
    (order,) = partition(len(there), len(there))
    return [there[row] for row in order.tolist()]

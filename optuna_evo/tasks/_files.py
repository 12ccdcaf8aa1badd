"""Where data come from: the user's data folder, a cache of downloads, the Hugging Face hub.

The data folder is the `data_dir` of a call (`--data-dir`), else `OPTUNA_EVO_DATA`, else none. It
is only ever read. Downloads that have no cache of their own go to `$XDG_CACHE_HOME/optuna_evo`
(default `~/.cache/optuna_evo`), whole or not at all.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
from pathlib import Path
import sys
import tempfile
from typing import Any

from optuna_evo.errors import DataError
from optuna_evo.files import own_folder


__all__ = ["data_folder", "fetch", "find", "missing", "one_line", "read_columns", "rows_from_hub"]


def data_folder(data_dir: Path | str | None = None) -> Path | None:
    """Return `data_dir`, else the folder in `OPTUNA_EVO_DATA`, else None; it need not exist."""
    named = data_dir or os.environ.get("OPTUNA_EVO_DATA")
    return Path(named).expanduser() if named else None


def find(folder: Path | None, places: Sequence[str]) -> Path | None:
    """Return the first of `places` that exists in `folder`; None if there is none."""
    if folder is None:
        return None
    return next((folder / place for place in places if (folder / place).exists()), None)


def fetch(name: str, download: Callable[[Path], object]) -> Path:
    """Return the folder `name` of the cache; if it is not there, let `download` make it.

    Args:
        name: Name of the folder.
        download: Is given an empty folder to make a folder `name` in.

    Raises:
        Exception: Whatever `download` raises; nothing is left behind then.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optuna_evo"
    if not (cache / name).is_dir():
        own_folder(cache)
        # in the cache, since a rename is atomic only within one file system
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            # What a download prints must not get into the output of a command.
            with contextlib.redirect_stdout(sys.stderr):
                download(Path(scratch))
            try:
                (Path(scratch) / name).rename(cache / name)
            except OSError:
                # Another process may have been faster.
                if not (cache / name).is_dir():
                    raise
    return cache / name


def read_columns(
    name: str,
    part: str,
    columns: Sequence[str],
    *,
    places: Sequence[str],
    hub: str,
    config: str | None = None,
    folder: Path | None,
) -> tuple[Mapping[str, list[Any]], str]:
    """Return columns of a part of a data set, and where they came from.

    Args:
        name: Name of the data set, for messages.
        part: Name of the part on the hub.
        columns: Which columns.
        places: Parquet files in the data folder; the first that exists is read.
        hub: Name on the hub, which is asked if there is no file.
        config: Name of the configuration there, where the data set has several.
        folder: The data folder, if there is one.

    Raises:
        DataError: If the part is in neither, or the file has other columns.
    """
    if found := find(folder, places):
        return _parquet_columns(found, columns), f"{name} in {found.parent}"
    try:
        rows = rows_from_hub(hub, part, config=config)
    except Exception as error:  # whatever the hub's libraries raise, the user sees one line
        raise missing(name, folder, places, error) from error
    return {column: list(rows[column]) for column in columns}, f"{name} of {hub}"


def _parquet_columns(path: Path, columns: Sequence[str]) -> Mapping[str, list[Any]]:
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=list(columns))
        return {column: table[column].to_pylist() for column in columns}
    except Exception as error:  # OSError, KeyError and pyarrow's own
        raise DataError(
            f"Cannot read {path} ({one_line(error)}): it must be a parquet file with the columns "
            f"{', '.join(columns)}; download it again."
        ) from error


def rows_from_hub(name: str, part: str, *, config: str | None = None) -> Any:
    """Return a split of a data set, downloaded or from the library's cache.

    Args:
        name: Name on the hub.
        part: Name of the split.
        config: Name of the data set's configuration, where it has several.

    Raises:
        Exception: Whatever the download raises.
    """
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    # Without a network every retry would print a line of its own before our error.
    libraries = (datasets.utils.logging, hub_logging)
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        return datasets.load_dataset(name, config, split=part)
    finally:
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)


def missing(
    what: str, folder: Path | None, places: Sequence[str], error: Exception | None = None
) -> DataError:
    """Return the error for data that are in none of the `places` and cannot be downloaded."""
    files = " or ".join(places)
    looked = f"{folder} has no {files}" if folder else "no data folder is named"
    if folder and not folder.is_dir():
        looked = f"the data folder {folder} does not exist"
    reason = f", and the download failed ({one_line(error)})" if error else ""
    return DataError(
        f"No data for {what}: {looked}{reason}. Name the folder that holds {files} by "
        "`--data-dir` or OPTUNA_EVO_DATA, or run once with a network."
    )


def one_line(error: Exception) -> str:
    """Return the kind of an error and the beginning of its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"

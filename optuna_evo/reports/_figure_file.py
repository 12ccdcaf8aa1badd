"""Figures of matplotlib in files, whole or not at all."""

from pathlib import Path
from typing import Any

from optuna_evo.errors import UsageError
from optuna_evo.files import open_whole


__all__ = ["save_figure"]

_DPI = 110
_SALT = "optuna_evo"


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format that the file's ending says; PNG without one.

    Raises:
        UsageError: If matplotlib writes no such files.
        OSError: If the file cannot be written; an old one is as it was.
    """
    import matplotlib

    ending = path.suffix[1:].lower() or "png"
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise UsageError(
            f"No picture can be written to {path}: a file must end with one of "
            f"{', '.join(sorted(known))}."
        )
    # the same figure gives the same file
    dateless = {"metadata": {"Date": None}} if ending == "svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": _SALT}), open_whole(path) as file:
        figure.savefig(file, dpi=_DPI, format=ending, **dateless)

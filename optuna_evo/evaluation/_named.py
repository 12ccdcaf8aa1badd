"""Who is meant: a baseline by its name, an exported file, a controller, or the thing itself."""

from collections.abc import Mapping
import difflib
import json
from pathlib import Path
from typing import Any

from optuna_evo.config import ControllerConfig
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import optimizer_from_dict
from optuna_evo.config import OptimizerConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._baselines import BASELINES
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._contestant import given
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.rules import read_program


__all__ = ["contestant_of", "optimizer_of"]

_MOST_BYTES = 1_000_000  # of an exported file: ours have a few thousand


def contestant_of(named: str | Contestant) -> Contestant:
    """Return who is meant by an entry of `against`.

    Raises:
        UsageError: If nobody is, or the file is none of ours (a ValueError).
    """
    if isinstance(named, Contestant):
        return named
    text = named.strip()
    if text in BASELINES:
        return BASELINES[text]
    if text in catalog:
        return given(text, text, catalog[text])
    if text.endswith((".json", ".py")):
        return given(Path(text).stem, Path(text).stem, _read(Path(text)))
    close = difflib.get_close_matches(text, [*BASELINES, *catalog], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(
        f"There is no optimizer {text!r:.100} to judge against; {hint}there are: "
        f"{', '.join(BASELINES)}, the genomes of the catalog, and files that `study export` wrote."
    )


def optimizer_of(what: OptimizerConfig | str | Path) -> OptimizerConfig:
    """Return the optimizer that is to be judged.

    Args:
        what: It, an exported file, a genome of the catalog, or a controller by name or folder.

    Raises:
        UsageError: If there is none (a ValueError).
    """
    if not isinstance(what, str | Path):
        return what
    text = str(what)
    if text.endswith((".json", ".py")):
        return _read(Path(text))
    if text in catalog:
        return catalog[text]
    try:
        return ControllerConfig(controller=text)
    except UsageError as error:
        raise UsageError(
            f"There is nothing to judge called {text!r:.100}: give a file that `study export` "
            f"wrote (.json or .py), a genome of the catalog ({', '.join(sorted(catalog))}), or a "
            "learned optimizer by its name or folder."
        ) from error


def _read(path: Path) -> OptimizerConfig:
    """Read an exported file; nothing in it is run."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is none of our exported files: it is too large.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is none of our exported files: it is no text.") from error
    wanted = "`optuna_evo study export NAME -o FILE` writes one."
    if path.suffix == ".py":
        try:
            return read_program(text)
        except ValueError as error:
            raise UsageError(
                f"{path} is none of our exported files, or was edited ({error}): {wanted}"
            ) from error
    try:
        data = json.loads(text)
        return _from_json(data)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UsageError(f"{path} is none of our exported files ({reason}): {wanted}") from error


def _from_json(data: Any) -> OptimizerConfig:
    if not isinstance(data, Mapping):
        raise ValueError("it holds no table")
    if {"controller", "genome", "torch", "grafted"} & data.keys():
        return optimizer_from_dict(data)
    if "groups" in data:
        return NamedOptimizer.from_dict(data)
    return Genome.from_dict(dict(data))

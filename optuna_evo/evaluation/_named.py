"""Who is meant: a baseline by its name, an exported file, a controller, or the thing itself."""

import difflib
from pathlib import Path

from optuna_evo.config import ControllerConfig
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import read_rule_file
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._baselines import BASELINES
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._contestant import given
from optuna_evo.rules import catalog


__all__ = ["contestant_of", "optimizer_of"]


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
    optimizer = read_rule_file(path).optimizer
    if optimizer is None:
        raise UsageError(
            f"{path} was changed by hand since it was exported, and its code is not run here: "
            "export it again (`optuna_evo study export NAME -o FILE`)."
        )
    return optimizer

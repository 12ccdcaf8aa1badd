"""Files that hold an optimizer: JSON of ours, and the Python that `study export` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import json
from pathlib import Path
from typing import Any

from optuna_evo.config._named import NamedOptimizer
from optuna_evo.config._training import optimizer_from_dict
from optuna_evo.config._training import OptimizerConfig
from optuna_evo.errors import UsageError
from optuna_evo.rules import Genome
from optuna_evo.rules import read_program


__all__ = ["read_rule_file", "RuleFile"]

_LARGEST = 1_000_000  # bytes: a genome is 500, an exported optimizer 3,000
_MADE_BY = "`optuna_evo study export NAME -o FILE.json` (or .py) makes one"


@dataclass(frozen=True)
class RuleFile:
    """An optimizer in a file.

    Args:
        equation: The update, one statement a line.
        optimizer: What it is; None of a Python file whose code has been changed by hand.
        facts: What else the file says.
    """

    equation: str
    optimizer: OptimizerConfig | None
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_rule_file(path: Path) -> RuleFile:
    """Read an optimizer from a file; nothing in it is run.

    JSON may be a genome (`Genome.to_dict`, or the published seed format) or an optimizer under the
    name of its kind, as `study export` writes them.

    Raises:
        UsageError: If the file cannot be read, or is none of ours.

    Example:
        >>> print(read_rule_file(Path("rule.json")).equation)
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise _not_ours(path, "it is no text") from error
    if len(content) > _LARGEST:
        raise _not_ours(path, "it is larger than any optimizer")
    return _program(path, text) if path.suffix == ".py" else _json(path, text)


def _program(path: Path, text: str) -> RuleFile:
    found = read_program(text)
    if found is None:
        raise _not_ours(path, "it is no optimizer that was exported")
    facts = {"class": found.name, **({"origin": found.origin} if found.origin else {})}
    return RuleFile(found.equation, found.genome, {**facts, **found.defaults})


def _json(path: Path, text: str) -> RuleFile:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_ours(path, "it is no JSON") from error
    if not isinstance(data, Mapping):
        raise _not_ours(path, "it holds no table")
    try:
        if "terms" in data or "term_types" in data:
            return RuleFile(*_told(Genome.from_dict(data)))
        if "groups" in data:
            return RuleFile(*_told(NamedOptimizer.from_dict(data)))
        optimizer = optimizer_from_dict(data)
        others = {k: v for k, v in data.items() if isinstance(v, str | int | float)}
        return RuleFile(*_told(optimizer), facts=others)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _not_ours(path, lines[0][:300]) from error


def _told(optimizer: OptimizerConfig) -> tuple[str, OptimizerConfig]:
    return optimizer.equation(), optimizer


def _not_ours(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is no optimizer of ours ({why.rstrip('.')}): {_MADE_BY}.")

"""The kinds of controllers by their names: what a stored controller may name, and nothing else."""

from collections.abc import Mapping
import importlib
from typing import Any
from typing import Final

from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.rules import Genome


__all__ = ["build", "kind_of", "KINDS", "register", "with_base"]

KINDS: Final[Mapping[str, str]] = {
    "column": "optuna_evo.learned._columns:ColumnController",
    "graph": "optuna_evo.learned._graph:GraphController",
    "hybrid": "optuna_evo.learned._hybrid:HybridController",
    "lstm": "optuna_evo.learned._lstm:LSTMController",
    "memory": "optuna_evo.learned._memory:MemoryController",
    "mlp": "optuna_evo.learned._mlp:MLPController",
    "transformer": "optuna_evo.learned._transformer:TransformerController",
}

_own: dict[str, type[Controller]] = {}


def register(kind: type[Controller]) -> type[Controller]:
    """Let controllers of an own class be loaded in this process; usable as a decorator.

    Args:
        kind: The class, with a `kind` of its own.

    Raises:
        UsageError: If its name is one of the package's, or of another class (a ValueError).

    Example:
        >>> @register
        ... class Mine(Controller):
        ...     kind = "mine"
    """
    name = kind.kind
    if name in KINDS or _own.setdefault(name, kind) is not kind:
        raise UsageError(
            f"There is a kind {name!r} already: give the class another `kind`, not one of "
            f"{', '.join(sorted({*KINDS, *_own}))}."
        )
    return kind


def kind_of(name: object) -> type[Controller]:
    """Return the class of a kind.

    Raises:
        UsageError: If there is none (a ValueError).
    """
    if isinstance(name, str) and name in _own:
        return _own[name]
    if not isinstance(name, str) or name not in KINDS:
        raise UsageError(
            f"Unknown kind of controller {str(name)[:60]!r}; known: "
            f"{', '.join(sorted({*KINDS, *_own}))}. One of your own is made known by "
            "`optuna_evo.learned.register(CLASS)`."
        )
    module, _, attribute = KINDS[name].partition(":")
    found: type[Controller] = getattr(importlib.import_module(module), attribute)
    return found


def build(kind: object, settings: Mapping[str, Any]) -> Controller:
    """Return an untrained controller.

    Args:
        kind: Its name.
        settings: The keyword arguments of its class, plain JSON types.

    Raises:
        UsageError: If there is no such kind, or settings do not make one (a ValueError).
    """
    cls = kind_of(kind)
    try:
        return cls(**settings)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UsageError(f"These are no settings of a controller {kind!r}: {reason}") from error


def with_base(controller: Controller, genome: Genome) -> Controller:
    """Return a controller of the same weights around another base genome."""
    settings = {**controller.settings, "genome": genome.to_dict()}
    changed = build(controller.kind, settings)
    changed.load_state_dict(controller.state_dict())
    return changed

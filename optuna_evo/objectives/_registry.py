"""Which kinds of objectives there are, by the name that a spec has for them."""

from collections.abc import Mapping
import importlib

from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.spec import StudySpec


__all__ = ["kind_of", "kinds_that_take", "OBJECTIVES"]

_KINDS = "optuna_evo.objectives._kinds"
OBJECTIVES: Mapping[str, str] = {
    "fitness": f"{_KINDS}._fitness:FitnessKind",
    "accuracy": f"{_KINDS}._accuracy:AccuracyKind",
    "segment": f"{_KINDS}._segment:SegmentKind",
    "area": f"{_KINDS}._area:AreaKind",
    "table": f"{_KINDS}._table:TableKind",
}
_OWN = f"{_KINDS}._own:OwnKind"


def kind_of(spec: StudySpec) -> ObjectiveKind:
    """Return the kind of a study's objective; a user's own file is not needed for that.

    Raises:
        SpecError: If there is no such kind.
    """
    name = spec.objective.name
    if ":" in name:
        return _load(_OWN)
    if name not in OBJECTIVES:
        raise SpecError(
            f"`objective.name` must be one of {', '.join(OBJECTIVES)}, or your own as "
            f'"module:attribute"; got {name!r}.'
        )
    return _load(OBJECTIVES[name])


def kinds_that_take(key: str) -> list[str]:
    """Return the names of the kinds that take a key of the spec."""
    return [name for name, path in OBJECTIVES.items() if key in _load(path).takes]


def _load(path: str) -> ObjectiveKind:
    module, _, name = path.partition(":")
    kind = getattr(importlib.import_module(module), name)()
    assert isinstance(kind, ObjectiveKind)
    return kind

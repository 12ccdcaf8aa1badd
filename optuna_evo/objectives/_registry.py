"""Which kinds of objectives there are, by the name that a spec has for them."""

from collections.abc import Callable
from collections.abc import Mapping
import importlib
from typing import Any
from typing import NamedTuple

from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.spec import StudySpec


__all__ = ["check_config", "check_spec", "kind_of", "OBJECTIVES"]

_EPOCHS = "trainer.epochs"
_KINDS = "optuna_evo.objectives._kinds"
OBJECTIVES: Mapping[str, str] = {
    "fitness": f"{_KINDS}._fitness:FitnessKind",
    "accuracy": f"{_KINDS}._accuracy:AccuracyKind",
    "segment": f"{_KINDS}._segment:SegmentKind",
    "area": f"{_KINDS}._area:AreaKind",
    "table": f"{_KINDS}._table:TableKind",
}
_OWN = f"{_KINDS}._own:OwnKind"


class _SpecKey(NamedTuple):
    """What a spec can set that only some kinds take, and whether it does."""

    name: str
    is_set: Callable[[StudySpec], bool]
    label: str = "`{}`"


_KEYS = (
    _SpecKey(_EPOCHS, lambda spec: spec.trainer.epochs is not None),
    _SpecKey("trainer.early_stopping", lambda spec: spec.trainer.early_stopping is not None),
    _SpecKey("trainer.reduce_on_plateau", lambda spec: spec.trainer.reduce_on_plateau is not None),
    _SpecKey("final.epochs", lambda spec: bool(spec.final.epochs)),
    _SpecKey("objective.metric", lambda spec: bool(spec.objective.metric)),
    _SpecKey(
        "float16", lambda spec: spec.trainer.precision == "float16", '`trainer.precision` "{}"'
    ),
)


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


def check_spec(spec: StudySpec) -> None:
    """Check what can be said from a spec alone: its kind, and the keys that go with others only.

    Raises:
        SpecError: If it does not fit the kind.
    """
    kind = kind_of(spec)
    kind.check(spec)
    for key in _KEYS:
        if key.is_set(spec) and key.name not in kind.takes:
            label = key.label.format(key.name)
            raise SpecError(f"{label} goes with objective.name = {_kinds_that_take(key.name)}.")


def check_config(spec: StudySpec, config: Any) -> None:
    """Check that the objective can use what the search space makes of a trial.

    Raises:
        SpecError: If it cannot.
    """
    kind = kind_of(spec)
    kind.check_config(spec, config)
    if getattr(config, "epochs", None) is not None and _EPOCHS not in kind.takes:
        raise SpecError(
            f"The space {spec.space.name!r} sets epochs, which only objective.name = "
            f"{_kinds_that_take(_EPOCHS)} trains for; leave them out by space.epochs = []."
        )


def _kinds_that_take(key: str) -> str:
    names = [name for name, path in OBJECTIVES.items() if key in _load(path).takes]
    return " or ".join(f'"{name}"' for name in names)


def _load(path: str) -> ObjectiveKind:
    module, _, name = path.partition(":")
    kind = getattr(importlib.import_module(module), name)()
    assert isinstance(kind, ObjectiveKind)
    return kind

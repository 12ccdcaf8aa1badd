"""Which kinds of objectives there are, by the name that a spec has for them."""

from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any

from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.spec import StudySpec


__all__ = ["check_config", "check_spec", "check_use", "kind_of", "OBJECTIVES"]

_EPOCHS, _FLOAT16 = "trainer.epochs", "float16"
_JUDGE_SEEDS = "judge.seeds"  # 0 means no comparison, which is what all other kinds do
_KINDS = "optuna_evo.objectives._kinds"
OBJECTIVES: Mapping[str, str] = {
    "fitness": f"{_KINDS}._fitness:FitnessKind",
    "accuracy": f"{_KINDS}._accuracy:AccuracyKind",
    "segment": f"{_KINDS}._segment:SegmentKind",
    "area": f"{_KINDS}._area:AreaKind",
    "table": f"{_KINDS}._table:TableKind",
    "meta_loss": f"{_KINDS}._meta_loss:MetaLossKind",
}
_OWN = f"{_KINDS}._own:OwnKind"
# Of studies whose runs come from elsewhere; nobody writes it into a spec.
_IMPORTED, _IMPORTED_KIND = "imported", f"{_KINDS}._imported:ImportedKind"


# Tables of a spec whose keys each kind takes or refuses (`ObjectiveKind.takes`).
_TABLES = ("trainer", "objective", "lineage", "judge", "final")
_FOR_ALL = {"objective.name", "objective.cost"}


def kind_of(spec: StudySpec) -> ObjectiveKind:
    """Return the kind of a study's objective; a user's own file is not needed for that.

    Raises:
        SpecError: If there is no such kind.
    """
    name = spec.objective.name
    if ":" in name:
        return _load(_OWN)
    if name == _IMPORTED:
        return _load(_IMPORTED_KIND)
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
    takes = kind.takes_of(spec) | _FOR_ALL
    for key, value in _set_keys(spec).items():
        if key not in takes and not (key == _JUDGE_SEEDS and value == 0):
            raise SpecError(f"`{key}` goes with objective.name = {_kinds_that_take(key)}.")
    if spec.trainer.precision == _FLOAT16 and _FLOAT16 not in takes:
        raise SpecError(
            f'`trainer.precision` "{_FLOAT16}" goes with objective.name = '
            f"{_kinds_that_take(_FLOAT16)}."
        )


def _set_keys(spec: StudySpec) -> dict[str, Any]:
    """Return what a spec sets to another value than the default, by dotted keys."""
    return {
        f"{table}.{field.name}": value
        for table in _TABLES
        for field in dataclasses.fields(getattr(spec, table))
        if (value := getattr(getattr(spec, table), field.name)) != field.default
    }


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
            f"{_kinds_that_take(_EPOCHS)} trains for; leave them out by space.epochs = false."
        )


def check_use(spec: StudySpec, config: Any) -> None:
    """Check, for a new study, that all that spec and search space say will be done.

    A stored study may be of a version that did not check this: it goes on as it was.

    Raises:
        SpecError: If something would be ignored, or would end every trial.
    """
    kind_of(spec).check_use(spec, config)
    if getattr(config, "epochs", None) is not None:
        for key in (_EPOCHS, "trainer.steps"):
            if key in _set_keys(spec):
                raise SpecError(
                    f"The space {spec.space.name!r} sets epochs, so that `{key}` would not count: "
                    "leave it out, or the epochs by space.epochs = false."
                )


def _kinds_that_take(key: str) -> str:
    names = [name for name, path in OBJECTIVES.items() if key in _load(path).takes]
    return " or ".join(f'"{name}"' for name in names) or "none"


def _load(path: str) -> ObjectiveKind:
    module, _, name = path.partition(":")
    kind = getattr(importlib.import_module(module), name)()
    assert isinstance(kind, ObjectiveKind)
    return kind

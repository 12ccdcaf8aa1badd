"""The users' own parts that a spec names, and what of a stored spec may be imported."""

from collections.abc import Iterable
import dataclasses

from optuna_evo.plugins import Allowance
from optuna_evo.plugins import check_stored
from optuna_evo.plugins import StoredName
from optuna_evo.spec import StudySpec


__all__ = ["allowance_of", "check_allowed", "foreign_names", "with_allowance"]


def foreign_names(spec: StudySpec) -> tuple[str, ...]:
    """Return the names, "module:attribute", of all parts of a spec that are none of ours.

    Example:
        >>> foreign_names(StudySpec(name="s", tasks=("own:task", "digits")))
        ('own:task',)
    """
    names = (
        spec.objective.name,
        spec.space.name,
        spec.sampler.name,
        spec.pruner.name,
        *(() if spec.objective.name == "table" else spec.tasks),  # files, which may hold a colon
    )
    return tuple(dict.fromkeys(name for name in names if ":" in name))


def allowance_of(allow: Allowance | Iterable[str]) -> Allowance:
    """Return an allowance from the names of modules."""
    return allow if isinstance(allow, Allowance) else Allowance.of(allow)


def with_allowance(spec: StudySpec, allowance: Allowance) -> StudySpec:
    """Return a spec from a database, whose names carry what the user allows."""

    def read(name: str) -> str:
        return StoredName.read(name, allowance)

    return dataclasses.replace(
        spec,
        tasks=tuple(map(read, spec.tasks)),
        **{
            key: dataclasses.replace(part, name=read(part.name))
            for key in ("objective", "space", "sampler", "pruner")
            for part in (getattr(spec, key),)
        },
    )


def check_allowed(spec: StudySpec) -> None:
    """Raise if a spec names what may not be imported; nothing is.

    Raises:
        PluginError: With the option that allows it.
    """
    for name in foreign_names(spec):
        check_stored(name)

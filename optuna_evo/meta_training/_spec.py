"""A meta-training as data: which controller, on which tasks, by which estimator, for how long."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
from dataclasses import field
import hashlib
import json
from pathlib import Path
import tomllib
from typing import Any
from typing import Self

from optuna_evo.errors import SpecError
from optuna_evo.meta_training._episodes import Horizons
from optuna_evo.meta_training._objective import MetaLoss
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.spec import Part
from optuna_evo.spec import read_table
from optuna_evo.spec import set_entry
from optuna_evo.spec import shown
from optuna_evo.spec import to_table


__all__ = ["Domain", "load_meta_spec", "MetaSpec", "OuterSpec", "SelectionSpec"]

_ESTIMATORS = ("pes", "full_es", "truncated_backprop")
_MOST_STEPS, _MOST_PAIRS = 10_000_000, 100_000


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A task family with its weight in a mixture.

    Args:
        name: One of `FAMILIES`, or "module:attribute".
        weight: Its share of the outer steps, in proportion to the sum of all weights; > 0.
        reparametrise: Keyword arguments of `Reparametrised`; None: tasks in their own units.
        options: Keyword arguments of the family.
    """

    name: str
    weight: float = 1.0
    reparametrise: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_table(cls, data: Mapping[str, Any], where: str) -> Self:
        """Read a domain as TOML has it, options beside the name, or as it is stored."""
        table = dict(data)
        weight, reparametrise = table.pop("weight", 1.0), table.pop("reparametrise", None)
        part = Part.from_table(table, where)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            raise SpecError(f"`{where}.weight` must be greater than 0, got {shown(weight)}.")
        if reparametrise is not None and not isinstance(reparametrise, Mapping):
            raise SpecError(
                f"`{where}.reparametrise` must be a table such as {{ low = 0.001, high = 1000 }}, "
                f"got {shown(reparametrise)}."
            )
        return cls(
            name=part.name,
            weight=float(weight),
            reparametrise=reparametrise,
            options=part.options,
        )


@dataclass(frozen=True, kw_only=True)
class OuterSpec:
    """How meta-parameters are trained.

    Args:
        steps: Outer steps.
        estimator: "pes" (persistent evolution strategies), "full_es" (each outer step is whole
            inner trainings) or "truncated_backprop".
        pairs: Antithetic pairs of an outer step; for "truncated_backprop" twice as many tasks.
        stacks: In how many stacks of equal size pairs are trained: as many workers can share
            them. Results depend on it by the rounding of sums at most.
        perturbation: Standard deviation of the perturbations.
        truncation: Inner steps of an outer step.
        second_order: "truncated_backprop": whether gradients of gradients count.
        lr: Learning rate of the outer Adam.
        lr_end: What is left of it in the last outer step, along a half cosine; in (0, 1].
        max_norm: Estimates are scaled down to this norm.
    """

    steps: int = 400
    estimator: str = "pes"
    pairs: int = 16
    stacks: int = 1
    perturbation: float = 0.01
    truncation: int = 25
    second_order: bool = False
    lr: float = 5e-3
    lr_end: float = 0.05
    max_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.estimator not in _ESTIMATORS:
            raise SpecError(
                f"`outer.estimator` must be one of {', '.join(_ESTIMATORS)}, got "
                f"{shown(self.estimator)}."
            )
        for name, most in {
            "steps": _MOST_STEPS,
            "pairs": _MOST_PAIRS,
            "stacks": self.pairs,
            "truncation": _MOST_STEPS,
        }.items():
            if not 1 <= getattr(self, name) <= most:
                raise SpecError(
                    f"`outer.{name}` must be in 1..{most}, got {getattr(self, name)}."
                )
        if self.pairs % self.stacks:
            raise SpecError(
                f"`outer.stacks` must divide outer.pairs = {self.pairs}, got {self.stacks}."
            )
        for name in ("perturbation", "lr", "lr_end", "max_norm"):
            if not getattr(self, name) > 0:
                raise SpecError(
                    f"`outer.{name}` must be greater than 0, got {getattr(self, name)}."
                )
        if self.lr_end > 1:
            raise SpecError(f"`outer.lr_end` must be at most 1, got {self.lr_end}.")


@dataclass(frozen=True, kw_only=True)
class SelectionSpec:
    """How the best meta-parameters of a meta-training are found: on tasks of their own.

    Args:
        every: Outer steps from one measurement to the next.
        tasks: Tasks of each domain.
        steps: Length of their trainings; None: the longest horizon.
    """

    every: int = 50
    tasks: int = 32
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or self.tasks < 1 or (self.steps or 1) < 1:
            raise SpecError(
                "`selection` needs every, tasks and steps of at least 1, got "
                f"every={self.every}, tasks={self.tasks}, steps={self.steps}."
            )


@dataclass(frozen=True, kw_only=True)
class MetaSpec:
    """What `optuna_evo optimizer meta-train` does.

    Args:
        name: Name of the controller that it makes.
        controller: Kind and settings; `genome`, the base, may be a name of the catalog, a table
            with `name` and changes, such as { name = "adam", lr = 0.1 }, or a whole genome.
        families: The mixture of domains.
        seed: Of everything that is drawn.
        outer: How meta-parameters are trained.
        horizon: Lengths of inner trainings.
        meta_loss: What an inner step is worth.
        selection: How the best state is found.

    Example:
        >>> spec = MetaSpec.from_dict({"name": "a", "controller": {"name": "mlp"},
        ...                            "families": [{"name": "digits_mlp"}]})
        >>> spec.outer.estimator
        'pes'
    """

    name: str
    controller: Part
    families: tuple[Domain, ...]
    seed: int = 0
    outer: OuterSpec = field(default_factory=OuterSpec)
    horizon: Horizons = field(default_factory=Horizons)
    meta_loss: MetaLoss = field(default_factory=MetaLoss)
    selection: SelectionSpec = field(default_factory=SelectionSpec)

    def __post_init__(self) -> None:
        if not self.families:
            raise SpecError('The spec needs a family, such as families = [{ name = "quadratics" }].')
        if not 0 <= self.seed < 2**63:
            raise SpecError(f"`seed` must be in 0..2**63 - 1, got {self.seed}.")
        if self.outer.estimator != "full_es" and self.horizon.low < self.outer.truncation:
            raise SpecError(
                f"`horizon.low` must be at least outer.truncation = {self.outer.truncation}, got "
                f"{self.horizon.low}."
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a table as TOML has it, or what `to_dict` returned.

        Raises:
            SpecError: On an unknown key, a wrong type or a value out of range.
        """
        return read_table(cls, data)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain JSON types, every default filled in."""
        table: dict[str, Any] = to_table(self)
        return table

    def fingerprint(self) -> str:
        """Return 16 hex digits of all that decides the result."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def controller_settings(self) -> dict[str, Any]:
        """Return the keyword arguments of the controller, the base genome written out."""
        settings = dict(self.controller.options)
        if "genome" in settings:
            settings["genome"] = _genome(settings["genome"]).to_dict()
        return settings


def load_meta_spec(path: str | Path, *, overrides: Sequence[str] = ()) -> MetaSpec:
    """Read a TOML file.

    Args:
        path: The file; a meta-training without a `name` in it is called like the file.
        overrides: "a.b=c" each.

    Raises:
        SpecError: If the file cannot be read or the spec is wrong.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"Cannot read the spec {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not valid TOML: {error}.") from error
    data.setdefault("name", path.stem)
    for override in overrides:
        set_entry(data, override)
    return MetaSpec.from_dict(data)


def _genome(value: Any) -> Genome:
    """Return a base genome from its name, from a name and changes, or as it is stored."""
    changes = dict(value) if isinstance(value, Mapping) else {"name": value}
    if "name" not in changes:
        try:
            return Genome.from_dict(changes)
        except (ValueError, TypeError, KeyError) as error:
            raise SpecError(f"`controller.genome` is no genome: {error}") from error
    name = changes.pop("name")
    if name not in catalog:
        raise SpecError(
            f"`controller.genome` must be one of {', '.join(sorted(catalog))}, got {shown(name)}."
        )
    try:
        return dataclasses.replace(catalog[name], **changes)
    except (ValueError, TypeError) as error:
        raise SpecError(f"`controller.genome`: {error}") from error

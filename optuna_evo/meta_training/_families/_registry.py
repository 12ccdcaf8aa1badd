"""Task families by their names."""

from collections.abc import Mapping
import importlib
from typing import Any
from typing import Final

from optuna_evo.errors import SpecError
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._families._reparametrised import Reparametrised
from optuna_evo.plugins import load_attribute
from optuna_evo.spec import check_arguments


__all__ = ["build_family", "FAMILIES"]

_HERE = "optuna_evo.meta_training._families"

FAMILIES: Final[Mapping[str, str]] = {
    "characters": f"{_HERE}._characters:Characters",
    "digits_cnn": f"{_HERE}._digits:DigitsCNN",
    "digits_mlp": f"{_HERE}._digits:DigitsMLP",
    "quadratics": f"{_HERE}._quadratics:Quadratics",
}
"""Where each family is; your own is "module:attribute"."""


def build_family(
    name: str,
    options: Mapping[str, Any],
    *,
    reparametrise: Mapping[str, Any] | None = None,
) -> TaskFamily:
    """Build a family.

    Args:
        name: One of `FAMILIES`, or "module:attribute" of your own `TaskFamily`.
        options: Its keyword arguments.
        reparametrise: Keyword arguments of `Reparametrised`, for tasks in other units.

    Raises:
        SpecError: If there is no such family, or an option is wrong.
    """
    if name in FAMILIES:
        module, _, attribute = FAMILIES[name].partition(":")
        kind = getattr(importlib.import_module(module), attribute)
    elif ":" in name:
        kind = load_attribute(name)
    else:
        raise SpecError(
            f"There is no task family {name!r}; there are {', '.join(sorted(FAMILIES))}, and your "
            'own as "module:attribute".'
        )
    check_arguments(kind, options, "families", name)
    family: TaskFamily = kind(**options)
    if not isinstance(family, TaskFamily):
        raise SpecError(f"{name!r} must make a TaskFamily, got {type(family).__name__}.")
    if reparametrise is not None:
        own = {key: value for key, value in reparametrise.items() if key != "family"}
        check_arguments(Reparametrised, own, "families.reparametrise", "reparametrise")
        return Reparametrised(family, **own)
    return family

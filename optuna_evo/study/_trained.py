"""What a study's trials meta-trained: the best controller, and what it does."""

from typing import Any
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from optuna_evo.attributes import CONTROLLER
from optuna_evo.config import ControllerConfig
from optuna_evo.errors import UsageError
from optuna_evo.names import quoted
from optuna_evo.objectives import kind_of
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_space
from optuna_evo.study._run import best_trial
from optuna_evo.study._stored import StoredStudy


if TYPE_CHECKING:
    from optuna_evo.learned import Controller
    from optuna_evo.meta_training import ControllerTrace

__all__ = ["best_controller", "trace_best"]


def best_controller(stored: StoredStudy) -> tuple[FrozenTrial, "Controller"]:
    """Return the best trial of a study that meta-trains, and the controller that it is.

    Raises:
        UsageError: If the study meta-trains none, the best is a genome, or its controller is
            damaged.
    """
    from optuna_evo.learned import unpacked
    from optuna_evo.objectives import adapted

    if not kind_of(stored.spec).trains_controllers:
        raise UsageError(
            f"Study {stored.spec.name!r} meta-trains no controllers: they go with "
            'objective.name = "meta_loss".'
        )
    best = best_trial(stored)
    config: Any = build_space(stored.spec)(best)
    optimizer = getattr(config, "optimizer", None)
    if isinstance(optimizer, ControllerConfig):
        return best, adapted(optimizer)
    head = CONTROLLER.read(best.user_attrs)
    if head is None:
        raise UsageError(
            f"The best trial of study {stored.spec.name!r}, {best.number}, is a genome: "
            f"optuna_evo study export {quoted(stored.spec.name)} prints it."
        )
    keys = [f"{CONTROLLER.key}:{i}" for i in range(head["n_texts"])]
    texts = [str(best.user_attrs.get(key, "")) for key in keys]
    where = f"trial {best.number} of study {stored.spec.name!r}"
    return best, unpacked(head, texts, where=where)


def trace_best(stored: StoredStudy, *, n_tasks: int = 4) -> "ControllerTrace":
    """Return what the best controller does on tasks of the study's first family.

    Args:
        stored: A study with the objective "meta_loss".
        n_tasks: How many tasks it trains.

    Raises:
        UsageError: As `best_controller`.
    """
    from optuna_evo.meta_training import build_family
    from optuna_evo.meta_training import trace

    _, controller = best_controller(stored)
    objective: Any = build_objective(stored.spec, device="cpu")
    domain = objective.families[0]
    family = build_family(domain.name, domain.options)
    return trace(controller, family, steps=objective.steps, n_tasks=n_tasks)

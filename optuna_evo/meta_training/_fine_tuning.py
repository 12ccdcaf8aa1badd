"""Meta-train from any controller on any families: what adaptation and continual learning share."""

from collections.abc import Callable
from collections.abc import Sequence
import copy
import math

import torch
from torch import Tensor

from optuna_evo.errors import MetaTrainingError
from optuna_evo.learned import Controller
from optuna_evo.meta_training._estimators import EvolutionStrategies
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._flat import flat_parameters
from optuna_evo.meta_training._flat import set_parameters
from optuna_evo.meta_training._outer import outer_step
from optuna_evo.meta_training._outer import OuterState
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.meta_training._spec import OuterSpec


__all__ = ["fine_tune", "Penalty"]

Penalty = Callable[[Tensor, float], Tensor]
"""From meta-parameters (D,) and a learning rate to where the penalty pulls them, (D,).

It is applied after Adam's step, as decoupled weight decay is: as a part of the gradient it would
be normalised away with it.
"""

_DOMAINS = 4  # stream


def fine_tune(
    spec: MetaSpec,
    controller: Controller,
    families: Sequence[TaskFamily],
    *,
    shares: Sequence[float] | None = None,
    penalty: Penalty | None = None,
    after_step: Callable[[int, Tensor], None] | None = None,
    device: torch.device | str = "cpu",
) -> Controller:
    """Return a copy of a controller, meta-trained on families by evolution strategies.

    It starts from the controller's own meta-parameters: "transfer" is to give a trained one.
    Parameters turned into buffers (`freeze_`) stay.

    Args:
        spec: Outer steps, horizons, meta-loss and seed; its controller and families are not read.
        controller: What to start from; it stays as it is.
        families: Where tasks come from.
        shares: How often a family gives the tasks of an outer step; None: equally often.
        penalty: What pulls the meta-parameters after each outer step, such as an `EWC`.
        after_step: Called with the number of outer steps done and the meta-parameters.
        device: Where inner trainings run.

    Raises:
        MetaTrainingError: If an estimate is not finite three times in a row.
    """
    tuned = copy.deepcopy(controller)
    theta = flat_parameters(tuned)
    state = OuterState(theta, torch.zeros_like(theta), torch.zeros_like(theta), 0)
    estimator = EvolutionStrategies(
        spec,
        tuned,
        families,
        n_meta=len(theta),
        device=torch.device(device),
        is_own=lambda number: True,
    )
    weights = torch.tensor(list(shares or [1.0] * len(families)), dtype=torch.float64)
    n_bad = 0
    for number in range(spec.outer.steps):
        random = generator(spec.seed, _DOMAINS, number)
        domain = int(torch.multinomial(weights, 1, generator=random))
        scalars = estimator.evaluate(state.theta, number, domain)
        gradient = estimator.gradient(scalars).gradient
        n_bad = 0 if gradient.isfinite().all() else n_bad + 1
        if n_bad == 3:
            raise MetaTrainingError(
                f"Three meta-gradients in a row were not finite, the last in outer step "
                f"{number + 1}: lower `outer.lr` or `outer.perturbation` of the spec."
            )
        if not n_bad:
            state = outer_step(state, gradient, number, spec.outer)
            if penalty is not None:
                lr = _lr(number, spec.outer)
                state = state._replace(theta=penalty(state.theta, lr))
        if after_step is not None:
            after_step(number + 1, state.theta)
    set_parameters(tuned, state.theta)
    return tuned


def _lr(number: int, outer: OuterSpec) -> float:
    """Return the learning rate of an outer step, as `outer_step` has it."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, number / outer.steps)))
    return outer.lr * (outer.lr_end + (1 - outer.lr_end) * cosine)

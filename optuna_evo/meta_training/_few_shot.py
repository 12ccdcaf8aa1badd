"""Few-shot adaptation: a small part of a controller learns from a few short runs of a domain."""

from collections.abc import Collection
from collections.abc import Sequence
import copy

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned import Controller
from optuna_evo.meta_training._backprop import Unrolled
from optuna_evo.meta_training._episodes import Beginning
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._flat import flat_parameters
from optuna_evo.meta_training._flat import set_parameters
from optuna_evo.meta_training._objective import MetaLoss


__all__ = ["adapt_few_shot"]


def adapt_few_shot(
    controller: Controller,
    family: TaskFamily,
    seeds: Sequence[int],
    *,
    steps: int = 50,
    names: Collection[str] | None = None,
    share: float = 0.1,
    truncation: int = 5,
    lr: float = 0.1,
    passes: int = 1,
    meta_loss: MetaLoss | None = None,
) -> Controller:
    """Return a copy of a controller that has adapted to a domain in a few short runs.

    While the support runs train, all at once, their meta-loss is differentiated by the adapted
    parameters every few steps (truncated backpropagation), and Adam moves these.

    Args:
        controller: What to adapt; it stays as it is.
        family: The domain.
        seeds: Of the support runs, few.
        steps: Length of a support run.
        names: Parameters to adapt, as in `named_parameters`; None: from the last parameter tensor
            on backwards, those that still fit into `share`: mostly the biases.
        share: Largest share of the parameters that is adapted where no names are given.
        truncation: Inner steps between two updates.
        lr: Of Adam on the adapted parameters.
        passes: How often the support runs are repeated, from the beginning.
        meta_loss: What an inner step is worth; None: the default.

    Raises:
        UsageError: If there are no seeds, no parameter tensor fits into `share`, or a name is
            unknown.
    """
    if not seeds:
        raise UsageError("Adaptation needs at least one support run: give its seed.")
    adapted = copy.deepcopy(controller)
    chosen = _last_of(adapted, share) if names is None else names
    theta = flat_parameters(adapted).requires_grad_()
    mask = _mask(adapted, chosen)
    optimizer = torch.optim.Adam([theta], lr=lr)
    beginnings = [Beginning(i, seed, steps) for i, seed in enumerate(seeds)]
    for _ in range(passes):
        runs = Unrolled(adapted, family, beginnings, meta_loss=meta_loss or MetaLoss())
        for start in range(0, steps, truncation):
            losses = runs.unroll(theta, min(truncation, steps - start))
            (gradient,) = torch.autograd.grad(losses.mean(), theta)
            if bool(gradient.isfinite().all()):
                # where the mask is 0 Adam's averages stay 0, and so do its steps
                theta.grad = gradient * mask
                optimizer.step()
    set_parameters(adapted, theta.detach())
    return adapted


def _mask(controller: Controller, names: Collection[str]) -> Tensor:
    """Return 1 for meta-parameters that are adapted, else 0, (D,)."""
    named = dict(controller.named_parameters())
    if unknown := sorted({*names} - named.keys()):
        raise UsageError(f"There is no parameter {unknown[0]!r}; there are {sorted(named)}.")
    return torch.cat([torch.full((p.numel(),), float(n in names)) for n, p in named.items()])


def _last_of(controller: Controller, share: float) -> list[str]:
    """Return the names of the last parameter tensors whose elements fit into a share of all."""
    named = list(controller.named_parameters())
    left = share * sum(p.numel() for _, p in named)
    chosen: list[str] = []
    for name, parameter in reversed(named):
        if parameter.numel() <= left:
            left -= parameter.numel()
            chosen.append(name)
    if not chosen:
        raise UsageError(
            f"No parameter tensor of the controller fits into a share of {share}: raise `share` "
            "or say the `names` of some."
        )
    return chosen

"""Model-agnostic meta-learning: initial weights from which a few gradient steps learn a new task.

Finn, Abbeel, Levine, 2017 (arXiv:1703.03400). The meta-gradient goes through the inner steps, so
it holds second derivatives; the first-order variant treats inner gradients as constants.

Shape legend: B tasks, K support examples a task, Q query examples a task.
"""

from collections.abc import Callable
from collections.abc import Mapping
import copy
from typing import Any
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.func import grad
from torch.func import grad_and_value
from torch.func import vmap
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend

from optuna_evo.errors import UsageError


__all__ = ["FewShotTasks", "MAML"]

Loss = Callable[[Tensor, Tensor], Tensor]
Tensors = Mapping[str, Tensor]


class FewShotTasks(NamedTuple):
    """A batch of B tasks: what each adapts on, and what is asked of it afterwards.

    Args:
        support_inputs: (B, K, ...).
        support_targets: (B, K, ...).
        query_inputs: (B, Q, ...).
        query_targets: (B, Q, ...).
    """

    support_inputs: Tensor
    support_targets: Tensor
    query_inputs: Tensor
    query_targets: Tensor


class MAML(nn.Module):
    """Learn initial weights of any `nn.Module` by gradients through the adaptation itself.

    It is a module: its parameters are those of `model`, its output is the meta-loss of a batch of
    tasks, and any optimizer trains it. Parameters of the model that require no gradient are not
    adapted. Statistics of batch normalisation are those of the batch in training mode; the model's
    running ones stay as they are.

    Args:
        model: Whose weights are learned; it is trained in place.
        loss: Loss of a batch from outputs and targets.
        inner_lr: Learning rate of the inner gradient steps, > 0.
        inner_steps: Gradient steps on the support examples, >= 1.
        first_order: Leave out second derivatives ("first-order MAML"): cheaper, another gradient.
        vectorized: Adapt all tasks at once by `torch.func.vmap`. False: one after the other, for
            models with operations that it does not know.

    Raises:
        UsageError: If a number is out of its range, or the model has nothing to adapt.

    Example:
        >>> from optuna_evo.meta_training import MAML, sinusoids
        >>> model = torch.nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 1))
        >>> maml = MAML(model, nn.functional.mse_loss, inner_lr=0.01)
        >>> optimizer = torch.optim.Adam(maml.parameters(), lr=1e-3)
        >>> for step in range(3):
        ...     optimizer.zero_grad()
        ...     maml(sinusoids(25, seed=step)).backward()
        ...     optimizer.step()
        >>> new_task = sinusoids(1, seed=1_000)
        >>> adapted = maml.adapt(new_task.support_inputs[0], new_task.support_targets[0], steps=5)
        >>> adapted(new_task.query_inputs[0]).shape
        torch.Size([10, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        inner_lr: float = 0.01,
        inner_steps: int = 1,
        first_order: bool = False,
        vectorized: bool = True,
    ) -> None:
        super().__init__()
        if not inner_lr > 0:
            raise UsageError(f"`inner_lr` must be > 0, got {inner_lr}.")
        _check_steps("inner_steps", inner_steps)
        if not any(p.requires_grad for p in model.parameters()):
            raise UsageError("The model has no parameter that requires a gradient: none to adapt.")
        self.model = model
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.first_order = first_order
        self.vectorized = vectorized
        self._loss = loss

    def forward(self, episodes: FewShotTasks) -> Tensor:
        """Return the meta-loss, 0-d: the mean query loss after adaptation.

        Args:
            episodes: B tasks.

        Raises:
            UsageError: If its tensors disagree about the number of tasks, or there is none.
        """
        return self.query_losses(episodes).mean()

    def query_losses(self, episodes: FewShotTasks, *, steps: int | None = None) -> Tensor:
        """Return the query loss of each task after adaptation, (B,).

        Args:
            episodes: B tasks.
            steps: Inner steps; None: `inner_steps`. 0: the loss before adaptation.
        """
        sizes = {len(part) for part in episodes}
        if len(sizes) > 1 or 0 in sizes:
            raise UsageError(f"`episodes` must hold the same B >= 1 tasks, got {sorted(sizes)}.")
        n_steps = self.inner_steps if steps is None else _check_steps("steps", steps, least=0)
        params, rates, fixed = self._params(), self.rates(), self._fixed()
        # vmap cannot write statistics of B batches into one buffer
        buffers = {
            name: b.expand(*sizes, *b.shape).clone() for name, b in self.model.named_buffers()
        }

        def after(params: Tensors, rates: Tensors, buffers: Tensors, *parts: Tensor) -> Tensor:
            episode, others = FewShotTasks(*parts), {**fixed, **buffers}
            support = (episode.support_inputs, episode.support_targets)
            adapted = self._adapted(params, rates, others, *support, n_steps)
            return self._task_loss(adapted, others, *episode[2:])

        # only this kernel of attention has second derivatives
        with sdpa_kernel(SDPBackend.MATH):
            if self.vectorized:
                return _vectorized(after, params, rates, buffers, episodes)
            tasks = zip(*episodes, strict=True)
            by_task = [{name: b[i] for name, b in buffers.items()} for i in range(*sizes)]
            pairs = zip(by_task, tasks, strict=True)
            return torch.stack([after(params, rates, own, *task) for own, task in pairs])

    def adapt(self, inputs: Tensor, targets: Tensor, *, steps: int | None = None) -> nn.Module:
        """Return a copy of the model that has learned a task; the model itself stays.

        Args:
            inputs: Support examples (K, ...).
            targets: Theirs (K, ...).
            steps: Inner steps, >= 0; None: `inner_steps`.
        """
        n_steps = self.inner_steps if steps is None else _check_steps("steps", steps, least=0)
        others = self._fixed() | dict(self.model.named_buffers())
        with sdpa_kernel(SDPBackend.MATH):
            params, rates = _detached(self._params()), _detached(self.rates())
            weights = self._adapted(params, rates, others, inputs, targets, n_steps)
        copied = copy.deepcopy(self.model)
        with torch.no_grad():
            for name, p in copied.named_parameters():
                if name in weights:
                    p.copy_(weights[name])
        return copied

    def rates(self) -> Tensors:
        """Return the inner learning rate of each adapted parameter."""
        return {name: p.new_tensor(self.inner_lr) for name, p in self._params().items()}

    def _params(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _fixed(self) -> dict[str, Tensor]:
        return {n: p for n, p in self.model.named_parameters() if not p.requires_grad}

    def _adapted(
        self,
        params: Tensors,
        rates: Tensors,
        others: Tensors,
        inputs: Tensor,
        targets: Tensor,
        n_steps: int,
    ) -> dict[str, Tensor]:
        """Return the weights after `n_steps` inner steps, differentiable in the first ones."""
        weights = dict(params)
        for _ in range(n_steps):
            gradients = grad(self._task_loss)(weights, others, inputs, targets)
            if self.first_order:
                gradients = {name: g.detach() for name, g in gradients.items()}
            weights = {name: w - rates[name] * gradients[name] for name, w in weights.items()}
        return weights

    def _task_loss(
        self, weights: Tensors, others: Tensors, inputs: Tensor, targets: Tensor
    ) -> Tensor:
        # a layer may write into its buffers: into copies
        copies = {name: t.clone() for name, t in others.items()}
        outputs = functional_call(self.model, {**weights, **copies}, (inputs,))
        return self._loss(outputs, targets)


class _PerTask(torch.autograd.Function):
    """Losses (B,) whose gradients for each task are known already."""

    @staticmethod
    def forward(ctx: Any, losses: Tensor, gradients: list[Tensor], *learned: Tensor) -> Tensor:
        """Keep the gradients (B, *shape) of the learned tensors."""
        ctx.gradients = gradients
        return losses.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        """Return what `weights` (B,) make of them."""
        sums = [torch.tensordot(weights.to(g), g, dims=([0], [0])) for g in ctx.gradients]
        return None, None, *sums


def _vectorized(
    after: Callable[..., Tensor],
    params: dict[str, Tensor],
    rates: Tensors,
    buffers: Tensors,
    episodes: FewShotTasks,
) -> Tensor:
    """Return the losses of all tasks, with gradients by the learned tensors.

    vmap is outside of both derivatives: inside the outer one it splits the backward pass of
    normalisation layers into operations that take their statistics for constants, and second
    derivatives are silently wrong (torch 2.14).
    """
    own = (_detached(params), _detached(rates))
    n_parts = len(episodes)
    in_dims = (None, None, 0, *(0,) * n_parts)
    learned = [p for tensors in (params, rates) for p in tensors.values() if p.requires_grad]
    if not (torch.is_grad_enabled() and learned):
        return vmap(after, in_dims, randomness="different")(*own, buffers, *episodes)
    by_both = vmap(grad_and_value(after, argnums=(0, 1)), in_dims, randomness="different")
    by_name, losses = by_both(*own, buffers, *episodes)
    gradients = [
        g
        for tensors, found in zip((params, rates), by_name, strict=True)
        for p, g in zip(tensors.values(), found.values(), strict=True)
        if p.requires_grad
    ]
    by_task: Tensor = _PerTask.apply(losses, gradients, *learned)
    return by_task


def _detached(tensors: Tensors) -> dict[str, Tensor]:
    return {name: t.detach() for name, t in tensors.items()}


def _check_steps(name: str, steps: int, least: int = 1) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < least:
        raise UsageError(f"`{name}` must be a whole number >= {least}, got {steps!r}.")
    return steps

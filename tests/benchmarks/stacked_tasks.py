"""Trainings of one task as a stack, each with weights, batches and dropout of its own seed.

Shape legend: P members (each a seed) of N weights, b rows of a batch.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend

from optuna_evo.learned import StackGuard
from optuna_evo.meta_training import Guarding
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import UpdateRule
from optuna_evo.tasks import Split
from optuna_evo.tasks import Task


__all__ = ["Measured", "StackedTask"]

Measured = dict[str, list[float]]
_MOST_ROWS = 1024  # rows of validation that a guard looks at, and as many others that tune


class StackedTask:
    """A task, its rows, and the initial weights of some seeds.

    Args:
        task: The task.
        seeds: One for each member; a seed gives weights, order of rows and dropout, whatever the
            optimizer.
        data_dir: Where data sets are.
        device: Where to train.
    """

    def __init__(
        self, task: Task, seeds: Sequence[int], *, data_dir: Path | None, device: str
    ) -> None:
        self._task, self._seeds, self._device = task, list(seeds), device
        splits = task.load(data_dir)
        # of few rows half would say too little
        valid = splits.valid
        halves = [valid, valid]
        if len(valid) > _MOST_ROWS:
            n = min(len(valid) // 2, _MOST_ROWS)
            halves = [valid.take(torch.arange(start, start + n)) for start in (0, n)]
        self._train = splits.train.to(device)
        self._rows = {
            name: rows.to(device) for name, rows in zip(("guard", "tune"), halves, strict=True)
        }
        self._data_dir = data_dir
        self._model, weights, buffers = task.build_model().to(device), [], []
        for seed in self._seeds:
            torch.manual_seed(seed)
            model = task.build_model()
            weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
            buffers.append(dict(model.named_buffers()))
        self._names = [name for name, _ in self._model.named_parameters()]
        self._layout = [tuple(p.shape) for p in self._model.parameters()]
        self._sizes = [p.numel() for p in self._model.parameters()]
        self._init = torch.stack(weights).to(device)
        self._buffers = {
            name: torch.stack([each[name] for each in buffers]).to(device) for name in buffers[0]
        }

    def train(
        self,
        rule: UpdateRule,
        *,
        steps: int,
        fallback: UpdateRule | None = None,
        guarding: Guarding | None = None,
        lr_scales: Sequence[float] | None = None,
        tests: bool = False,
        every: int | None = None,
    ) -> Measured:
        """Train all members and return their losses.

        Args:
            rule: For P members.
            steps: Length of the run.
            fallback: Guard the rule by this one.
            guarding: How.
            lr_scales: What the learning rate of the (guarded) rule is multiplied by, P numbers.
            tests: Whether to measure on test rows.
            every: Measure the validation rows after so many steps too, without a guard.

        Returns:
            "tune": losses on validation rows (others than the guard's, if there are more than
            1,024); with `tests` "loss" and
            "metric" on the test rows; P numbers each. With `every` the validation losses after
            that many steps under their number, such as "25".
        """
        curve: Measured = {}
        weights = self._init.clone()
        buffers: Mapping[str, Tensor] = {n: b.clone() for n, b in self._buffers.items()}
        how = {"total_steps": steps, "layout": self._layout}
        orders = self._orders(steps)
        if fallback is None:
            optimizer = StackOptimizer(rule, weights, **how)  # type: ignore[arg-type]
            if lr_scales is not None:
                optimizer.scale_lr(lr_scales)
            for step in range(steps):
                grads = self._gradients(weights, buffers, orders=orders, step=step)
                optimizer.step(weights, grads)
                if every is not None and (step + 1) % every == 0:
                    found = self._measure(weights, buffers, self._rows["tune"])[0].tolist()
                    curve[str(step + 1)] = found
        else:
            way = guarding or Guarding()
            guard = StackGuard(
                rule,
                fallback,
                weights,
                every=way.every,
                margin=way.margin,
                anchored=way.anchored,
                buffers=buffers,
                **how,  # type: ignore[arg-type]
            )
            if lr_scales is not None:
                guard.scale_lr(lr_scales)

            def losses(weights: Tensor, buffers: Mapping[str, Tensor]) -> Tensor:
                return self._measure(weights, buffers, self._rows["guard"])[0]

            for step in range(steps):
                guard.step(functools.partial(self._gradients, orders=orders, step=step), losses)
            guard.settle(losses)
            weights, buffers = guard.weights, guard.buffers
        ends = curve | {"tune": self._measure(weights, buffers, self._rows["tune"])[0].tolist()}
        if tests:
            split = self._task.load_test(self._data_dir).to(self._device)
            loss, metric = self._measure(weights, buffers, split)
            ends |= {"loss": loss.tolist(), "metric": metric.tolist()}
        return ends

    def _orders(self, steps: int) -> Tensor:
        """Return the rows of all batches, (P, steps, b): epochs without replacement."""
        size = min(self._task.batch_size, len(self._train))
        orders = []
        for seed in self._seeds:
            random = torch.Generator().manual_seed(seed + 1)
            n_epochs = -(-steps * size // len(self._train))
            rows = [torch.randperm(len(self._train), generator=random) for _ in range(n_epochs)]
            orders.append(torch.cat(rows)[: steps * size].view(steps, size))
        return torch.stack(orders).to(self._device)

    def _gradients(
        self, weights: Tensor, buffers: Mapping[str, Tensor], *, orders: Tensor, step: int
    ) -> Tensor:
        rows = orders[:, step]
        inputs, targets = self._train.inputs[rows], self._train.targets[rows]
        if self._task.augment is not None:
            random = torch.Generator(self._device).manual_seed(step)
            shape = inputs.shape
            inputs = self._task.augment(inputs.flatten(0, 1), random).view(shape)
        torch.manual_seed(step)  # for dropout: the same whatever the optimizer
        self._model.train()
        leaf = weights.detach().requires_grad_()
        loss, _ = self._forward(leaf, buffers, inputs, targets, 0)
        (grads,) = torch.autograd.grad(loss.sum(), leaf)
        return grads

    @torch.no_grad()
    def _measure(
        self, weights: Tensor, buffers: Mapping[str, Tensor], split: Split
    ) -> tuple[Tensor, Tensor]:
        """Return mean losses and metrics of the members on a split, (P,) each, float64."""
        self._model.eval()
        sums = torch.zeros(2, len(weights), dtype=torch.float64, device=self._device)
        for start in range(0, len(split), 512):
            rows = slice(start, start + 512)
            inputs, targets = split.inputs[rows], split.targets[rows]
            found = self._forward(weights, buffers, inputs, targets, None)
            sums += torch.stack(found).double() * len(inputs)
        loss, metric = sums / len(split)
        return loss, metric

    def _forward(
        self,
        weights: Tensor,
        buffers: Mapping[str, Tensor],
        inputs: Tensor,
        targets: Tensor,
        members: int | None,
    ) -> tuple[Tensor, Tensor]:
        parts = torch.split(weights, self._sizes, dim=1)
        views = {
            name: part.reshape(len(weights), *shape)
            for name, part, shape in zip(self._names, parts, self._layout, strict=True)
        }

        def one(own: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            outputs = torch.func.functional_call(self._model, own, (x,))
            return self._task.loss(outputs, y), self._task.metric(outputs, y)

        # vmap knows no fused attention on a CPU
        with sdpa_kernel(SDPBackend.MATH):
            run = torch.vmap(one, in_dims=(0, members, members), randomness="different")
            found: tuple[Tensor, Tensor] = run({**views, **buffers}, inputs, targets)
        return found

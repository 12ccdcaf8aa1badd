"""Training compatible members all at once: one forward, one backward, one update for all of them.

Shape legend: P members, N weights of a model, S steps of the run.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import roles_of
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.optimizers import StackTail
from optuna_evo.tasks import Split
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._checkpoint import copied
from optuna_evo.trainers._divergence import diverged
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._forward import Forward
from optuna_evo.trainers._hardware import advice_on_memory
from optuna_evo.trainers._hardware import evaluation_rows
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._outputs import are_finite_by_member
from optuna_evo.trainers._outputs import member_of
from optuna_evo.trainers._outputs import whole
from optuna_evo.trainers._setting import check_alive
from optuna_evo.trainers._setting import clip_and_sparsity
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._shares import means_of_shares
from optuna_evo.trainers._stack import Stack
from optuna_evo.trainers._stack_checkpoint import checkpoint_of_row
from optuna_evo.trainers._stack_checkpoint import restore_row
from optuna_evo.trainers._stack_checkpoint import stacked_masks


__all__ = ["PopulationCohort"]


class PopulationCohort:
    """A `Cohort` of members that differ in their genomes, bounds, sparsity and weights only.

    What a member learns agrees with what it learns alone up to the rounding of sums. A diverged
    member, like one that is dropped, is taken out of the stack; the others go on as they were.

    Args:
        configs: Members with genomes and equal batch sizes and model arguments.
        setting: What they have in common.
        make_forward: Makes of the model how to run many of it at once.
        origins: Where each goes on from, all after the same steps and rows, each such that
            `can_stack`; None: all from fresh weights.

    Raises:
        CheckpointError: If a checkpoint does not fit.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        setting: Setting,
        make_forward: Callable[[nn.Module], Forward],
        origins: Sequence[Origin] | None = None,
    ) -> None:
        origins = origins or [None] * len(configs)
        self._setting = setting
        self._step = 0
        self._first_step = origins[0].step if origins[0] else 0
        self._first_position = origins[0].position if origins[0] else 0
        self._batch_size = setting.batch_size(configs[0])
        self._model = setting.build_model(configs[0])
        self._forward = make_forward(self._model)
        self._stack = Stack(self._model, len(configs))
        genomes = [config.genome for config in configs]
        lengths = [setting.schedule_steps or genome.horizon for genome in genomes]
        self._rules = [genome.rule for genome in genomes]
        hidden = [role == "matrix" for role in roles_of(self._model)]
        rule = ConstantRule(self._rules, total_steps=lengths, hidden=hidden)
        self._optimizer = StackOptimizer(
            rule,
            self._stack.weights,
            total_steps=setting.total_steps,
            layout=self._stack.layout if rule.observes else None,
            steps_done=self._first_step,
        )
        self._tail = StackTail(self._rules, lengths)
        self._groups = [
            restore_row(
                self._stack,
                self._optimizer.averages,
                row,
                origin,
                genome,
                model=self._model,
                setting=setting,
            )
            for row, (genome, origin) in enumerate(zip(genomes, origins, strict=True))
        ]
        shape = (len(configs), setting.total_steps)
        self._losses = torch.full(shape, math.nan, device=setting.device)
        bounds, shares = zip(*map(clip_and_sparsity, configs), strict=True)
        measures = setting.segment or any(bounds)
        self._norms = torch.full_like(self._losses, math.nan) if measures else None
        self._clip_norms = torch.tensor(
            [bound or math.inf for bound in bounds], dtype=torch.float64, device=setting.device
        ).to(self._stack.weights.dtype)
        self._masks = stacked_masks(self._stack, self._model, shares) if any(shares) else None
        self._apply_masks()
        self._members = list(range(len(configs)))  # the live ones
        self._rows = list(self._members)  # whom each row of the stack belongs to
        self._out: dict[int, Checkpoint] = {}  # where diverged members ended

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return list(self._members)

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        last = self._setting.check_steps(self._step, n_steps)
        with own_random_state(self._setting.device), advice_on_memory(self._batch_size):
            while self._step < last and self._rows:
                check = (self._step // STEPS_BETWEEN_CHECKS + 1) * STEPS_BETWEEN_CHECKS
                self._train_until(min(last, check))
                if self._step == check:
                    self._take_out_diverged()
        self._step = last

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        check_alive(alive, len(self._members))
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]
        self._compact([row for row, member in enumerate(self._rows) if member in self._members])

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        return self._in_order(self._recent(self._losses))

    def curves(self, points: int) -> list[Sequence[float]]:
        """Return each member's training loss so far as at most so many means."""
        means = means_of_shares(self._losses[:, : self._step], points)
        found = dict(zip(self._rows, means, strict=True))
        return [found.get(member, []) for member in self._members]

    def grad_norms(self) -> list[float]:
        """Return the mean norm of the gradient over the last steps."""
        if self._norms is None:
            return [math.nan] * len(self._members)
        return self._in_order(self._recent(self._norms))

    def evaluate(
        self,
        split: Split | None = None,
        *,
        measure: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> list[float]:
        """Measure the members."""
        split = split or self._setting.splits.valid
        measure = measure or self._setting.task.metric
        totals = torch.zeros(len(self._rows), device=self._setting.device)
        with advice_on_memory(self._batch_size):
            for outputs, targets in self._outputs(split):
                members = [member_of(outputs, row) for row in range(len(self._rows))]
                with self._setting.autocast():
                    values = torch.stack([measure(own, targets) for own in members])
                finite = are_finite_by_member(outputs)
                totals += torch.where(finite, values, math.nan) * len(targets)
        means = (totals / len(split)).tolist()
        pairs = zip(means, self._diverged(), strict=True)
        return self._in_order([math.nan if gone else mean for mean, gone in pairs])

    def outputs(self, split: Split) -> list[Any]:
        """Return what each model makes of the inputs of a split."""
        if not self._rows:
            return [None] * len(self._members)
        with advice_on_memory(self._batch_size):
            batches = list(self._outputs(split))
            sizes = [len(targets) for _, targets in batches]
            outputs = whole([each for each, _ in batches], sizes, dim=1)
        finite = are_finite_by_member(outputs).tolist()
        healthy = [a and not b for a, b in zip(finite, self._diverged(), strict=True)]
        found = {m: member_of(outputs, row) for row, m in enumerate(self._rows) if healthy[row]}
        return [found.get(member) for member in self._members]

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        by_member = dict(zip(self._members, factors, strict=True))
        self._optimizer.scale_lr([by_member[member] for member in self._rows])

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        averaged = self._tail.averaged(self._stack.weights)
        rows = {member: row for row, member in enumerate(self._rows)}
        return [
            copied(
                self._stack.state_dict(rows[member], averaged)
                if member in rows
                else self._out[member].model
            )
            for member in self._members
        ]

    def checkpoints(self) -> list[Checkpoint]:
        """Return what each member can go on from; the tensors are views of the stack's."""
        rows = {member: row for row, member in enumerate(self._rows)}
        return [
            self._checkpoint(rows[member]) if member in rows else self._out[member]
            for member in self._members
        ]

    def _checkpoint(self, row: int) -> Checkpoint:
        group = self._groups[row]
        return checkpoint_of_row(
            self._stack,
            self._optimizer.averages,
            row,
            self._rules[row],
            {**group, "lr": group["lr"] * self._optimizer.lr_scales[row]},
            tail=self._tail.of(row, self._first_step + self._step),
            step=self._first_step + self._step,
            position=self._position(self._step),
            setting=self._setting,
        )

    def _position(self, step: int) -> int:
        return self._first_position + step * self._batch_size

    def _train_until(self, last: int) -> None:
        """Train without waiting for the device."""
        first = self._first_step
        numbers: Sequence[Tensor | None] = [None] * (last - self._step)
        if not self._optimizer.observes:  # (steps, P, 1, n)
            numbers = list(self._optimizer.numbers(first + self._step, first + last))
        for step, now in zip(range(self._step, last), numbers, strict=True):
            self._losses[:, step] = self._train_step(step, now)
        self._step = last

    def _train_step(self, step: int, numbers: Tensor | None) -> Tensor:
        """Do step number `step` and return the losses (P,) before it."""
        setting, stack = self._setting, self._stack
        since_fresh, position = self._first_step + step, self._position(step)
        inputs, targets = setting.batch(since_fresh, position, self._batch_size)
        weights = stack.parameters()
        setting.seed_dropout(since_fresh)
        with setting.autocast():
            outputs = self._forward(weights, stack.buffers, inputs)
            losses = torch.vmap(setting.task.loss, in_dims=(0, None))(outputs, targets)
        # the sum of losses has each member's own gradient in its rows
        gradients = torch.autograd.grad(
            losses.sum(), list(weights.values()), allow_unused=True, materialize_grads=True
        )
        flat = stack.flatten(dict(zip(weights, gradients, strict=True)))
        self._clip(flat, step)
        self._optimizer.step(stack.weights, flat, numbers)
        self._apply_masks()
        self._tail.take(stack.weights, since_fresh + 1)
        return losses.detach()

    def _apply_masks(self) -> None:
        if self._masks is not None:
            self._stack.weights *= self._masks

    def _clip(self, gradients: Tensor, step: int) -> None:
        """Bound the norm of each member's gradient as `torch.nn.utils.clip_grad_norm_` does."""
        if self._norms is None:
            return
        norms = torch.linalg.vector_norm(gradients, dim=1)  # (P,)
        self._norms[:, step] = norms
        gradients *= (self._clip_norms / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1)

    def _diverged(self) -> list[bool]:
        is_over = self._step == self._setting.total_steps
        return diverged(self._losses[:, : self._step], is_over=is_over)

    def _take_out_diverged(self) -> None:
        gone = diverged(self._losses[:, : self._step])
        for row, member in enumerate(self._rows):
            if gone[row]:
                checkpoint = self._checkpoint(row)
                self._out[member] = Checkpoint(**copied(vars(checkpoint)))
        self._compact([row for row, is_gone in enumerate(gone) if not is_gone])

    def _recent(self, values: Tensor) -> list[float]:
        """Return the means over the loss window (P,) of values (P, S)."""
        window = slice(max(0, self._step - self._setting.loss_window), self._step)
        return list(values[:, window].mean(dim=1).tolist())

    def _compact(self, rows: Sequence[int]) -> None:
        """Take all but these rows out of the stack."""
        if len(rows) == len(self._rows):
            return
        index = torch.tensor(rows, dtype=torch.long, device=self._setting.device)
        self._stack.select(index)
        self._losses = self._losses[index]
        self._optimizer.select(rows)
        self._tail.select(rows)
        self._norms = None if self._norms is None else self._norms[index]
        self._masks = None if self._masks is None else self._masks[index]
        self._clip_norms = self._clip_norms[index]
        self._groups = [self._groups[row] for row in rows]
        self._rules = [self._rules[row] for row in rows]
        self._rows = [self._rows[row] for row in rows]

    @torch.no_grad()
    def _outputs(self, split: Split) -> Iterator[tuple[Any, Tensor]]:
        """Yield (outputs (P, b, ...), targets (b, ...)) of each batch of a split."""
        if not self._rows:
            return
        there = to_device(split, self._setting.device)
        size = evaluation_rows(
            self._setting.task,
            self._batch_size,
            self._setting.device,
            n_members=len(self._rows),
        )
        self._model.eval()
        weights = self._stack.parameters(self._tail.averaged(self._stack.weights))
        for inputs, targets in zip(
            torch.split(there.inputs, size), torch.split(there.targets, size), strict=True
        ):
            with self._setting.autocast():
                outputs = self._forward(weights, self._stack.buffers, inputs)
            yield outputs, targets
        self._model.train()

    def _in_order(self, values: Sequence[float]) -> list[float]:
        """Return the values of rows by live member, NaN for diverged ones."""
        found = dict(zip(self._rows, values, strict=True))
        return [_finite_or_nan(found.get(member, math.nan)) for member in self._members]


def _finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan

"""Training like members all at once: one forward, one backward, one update for all of them.

Shape legend: P members, N weights of a model, S steps of the run.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import math

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.optimizers import ConstantRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.tasks import Split
from optuna_evo.trainers._divergence import beyond_hope
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._forward import Forward
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._stack import Stack


__all__ = ["PopulationRun"]

_EVALUATION_ROWS_CPU = 128
_EVALUATION_VALUES = 16_000  # rows times members


class PopulationRun:
    """A `Run` of members that differ in their genomes only.

    What a member learns agrees with what it learns alone up to the rounding of sums. A diverged
    member, like one that is dropped, is taken out of the stack; the others go on as they were.

    Args:
        configs: Members with equal batch sizes and model arguments.
        setting: What they have in common.
        make_forward: Makes of the model how to run many of it at once.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        setting: Setting,
        make_forward: Callable[[nn.Module], Forward],
    ) -> None:
        self._setting = setting
        self._step = 0
        self._batch_size = setting.batch_size(configs[0])
        self._model = setting.build_model(configs[0])
        self._forward = make_forward(self._model)
        self._stack = Stack(self._model, len(configs))
        self._optimizer = StackOptimizer(
            ConstantRule([config.genome.rule for config in configs]),
            self._stack.weights,
            total_steps=setting.total_steps,
        )
        self._losses = torch.full(
            (len(configs), setting.total_steps), math.nan, device=setting.device
        )
        self._members = list(range(len(configs)))  # the live ones
        self._rows = list(self._members)  # whom each row of the stack belongs to
        self._diverged: dict[int, Mapping[str, Tensor]] = {}  # the weights they ended with

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return list(self._members)

    def advance(self, n_steps: int) -> list[float]:
        """Train for `n_steps` more steps and return the metric on the validation split."""
        self.train(n_steps)
        return self.evaluate(self._setting.splits.valid)

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        last = self._setting.check_steps(self._step, n_steps)
        with own_random_state(self._setting.device):
            while self._step < last and self._rows:
                check = (self._step // STEPS_BETWEEN_CHECKS + 1) * STEPS_BETWEEN_CHECKS
                self._train_until(min(last, check))
                if self._step == check:
                    self._drop_diverged()
        self._step = last

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        if len(alive) != len(self._members):
            raise ValueError(
                f"`alive` must have one entry for each of {len(self._members)} live members, "
                f"got {len(alive)}."
            )
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]
        self._compact([row for row, member in enumerate(self._rows) if member in self._members])

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        window = slice(max(0, self._step - self._setting.loss_window), self._step)
        return self._in_order(self._losses[:, window].mean(dim=1).tolist())

    def evaluate(
        self, split: Split, *, measure: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> list[float]:
        """Measure the members on other rows."""
        measure = measure or self._setting.task.metric
        totals = torch.zeros(len(self._rows), device=self._setting.device)
        for outputs, targets in self._outputs(split):
            with self._setting.autocast():
                values = [measure(own, targets) for own in outputs]
            finite = torch.isfinite(outputs).flatten(1).all(dim=1)
            totals += torch.where(finite, torch.stack(values), math.nan) * len(targets)
        return self._in_order((totals / len(split)).tolist())

    def outputs(self, split: Split) -> list[Tensor | None]:
        """Return what each model makes of the inputs of a split."""
        if not self._rows:
            return [None] * len(self._members)
        whole = torch.cat([outputs.float() for outputs, _ in self._outputs(split)], dim=1)
        finite = torch.isfinite(whole).flatten(1).all(dim=1).tolist()
        found = {m: whole[row] for row, m in enumerate(self._rows) if finite[row]}
        return [found.get(member) for member in self._members]

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        by_member = dict(zip(self._members, factors, strict=True))
        self._optimizer.scale_lr([by_member[member] for member in self._rows])

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        rows = {member: row for row, member in enumerate(self._rows)}
        return [
            self._stack.state_dict(rows[member])
            if member in rows
            else {name: tensor.clone() for name, tensor in self._diverged[member].items()}
            for member in self._members
        ]

    def _train_until(self, last: int) -> None:
        """Train without waiting for the device."""
        numbers = self._optimizer.numbers(self._step, last)  # (steps, P, 1, n)
        for step, now in zip(range(self._step, last), numbers, strict=True):
            self._losses[:, step] = self._train_step(step, now)
        self._step = last

    def _train_step(self, step: int, numbers: Tensor) -> Tensor:
        """Do step number `step` and return the losses (P,) before it."""
        setting, stack = self._setting, self._stack
        inputs, targets = setting.batch(step, self._batch_size)
        weights = stack.parameters()
        setting.seed_dropout(step)
        with setting.autocast():
            outputs = self._forward(weights, stack.buffers, inputs)
            losses = torch.vmap(setting.task.loss, in_dims=(0, None))(outputs, targets)
        # the sum of losses has each member's own gradient in its rows
        gradients = torch.autograd.grad(
            losses.sum(), list(weights.values()), allow_unused=True, materialize_grads=True
        )
        flat = stack.flatten(dict(zip(weights, gradients, strict=True)))
        self._optimizer.step(stack.weights, flat, numbers)
        return losses.detach()

    def _drop_diverged(self) -> None:
        hopeless = beyond_hope(self._losses[:, : self._step])
        for row, is_hopeless in enumerate(hopeless):
            if is_hopeless:
                self._diverged[self._rows[row]] = self._stack.state_dict(row)
        self._compact([row for row, is_hopeless in enumerate(hopeless) if not is_hopeless])

    def _compact(self, rows: Sequence[int]) -> None:
        """Keep these rows of the stack."""
        if len(rows) == len(self._rows):
            return
        index = torch.tensor(rows, dtype=torch.long, device=self._setting.device)
        self._stack.keep(index)
        self._losses = self._losses[index]
        self._optimizer.keep(rows)
        self._rows = [self._rows[row] for row in rows]

    @torch.no_grad()
    def _outputs(self, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (outputs (P, b, ...), targets (b, ...)) of each batch of a split."""
        if not self._rows:
            return
        there = to_device(split, self._setting.device)
        size = max(_EVALUATION_ROWS_CPU, _EVALUATION_VALUES // len(self._rows))
        if self._setting.device.type == "cpu":
            size = _EVALUATION_ROWS_CPU
        self._model.eval()
        weights = self._stack.parameters()
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

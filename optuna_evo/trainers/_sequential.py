"""Training members one after another: the reference that every other cohort must agree with."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import math
from typing import Any

import torch
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Split
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._hardware import advice_on_memory
from optuna_evo.trainers._hardware import evaluation_rows
from optuna_evo.trainers._hardware import one_thread_if
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._member import Member
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._outputs import are_finite
from optuna_evo.trainers._outputs import whole
from optuna_evo.trainers._setting import check_alive
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._setting import Setting


__all__ = ["SequentialCohort"]

# Parameters up to which a step has too little work for a second thread: with the MLP of digits,
# 8,970, one thread was the faster on 2 cores, and 17 times as fast where others used them too.
_SMALL = 50_000


class SequentialCohort:
    """Train each member for a step, then each for the next (see `Cohort` and `start`).

    Args:
        configs: Any configurations.
        setting: What the members have in common.
        origins: Where each goes on from; None: all from fresh weights.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        setting: Setting,
        origins: Sequence[Origin] | None = None,
    ) -> None:
        self._setting = setting
        self._step = 0
        pairs = zip(configs, origins or [None] * len(configs), strict=True)
        self._members = list[Member]()
        for number, (config, origin) in enumerate(pairs):
            with advice_on_memory(setting.batch_size(config)):
                self._members.append(Member(number, config, setting, origin))
        sizes = [sum(p.numel() for p in m.model.parameters()) for m in self._members]
        self._is_small = setting.device.type == "cpu" and max(sizes, default=0) <= _SMALL

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return [member.number for member in self._members]

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        last = self._setting.check_steps(self._step, n_steps)
        with own_random_state(self._setting.device), self._advice(), self._threads():
            for _ in range(self._step, last):
                self._train_step()
        self._step = last

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        check_alive(alive, len(self._members))
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        window = self._setting.loss_window
        return [
            math.nan if member.is_out else _finite_or_nan(member.mean_loss(window))
            for member in self._members
        ]

    def grad_norms(self) -> list[float]:
        """Return the mean norm of the gradient over the last steps."""
        window = self._setting.loss_window
        return [_finite_or_nan(member.mean_grad_norm(window)) for member in self._members]

    def evaluate(
        self,
        split: Split | None = None,
        *,
        measure: Callable[[Any, Tensor], Tensor] | None = None,
    ) -> list[float]:
        """Measure the members."""
        there = to_device(split or self._setting.splits.valid, self._setting.device)
        measure = measure or self._setting.task.metric
        with self._advice(), self._threads():
            return [
                math.nan if member.has_diverged else self._mean(member, there, measure)
                for member in self._members
            ]

    def outputs(self, split: Split) -> list[Any]:
        """Return what each model makes of the inputs of a split."""
        there = to_device(split, self._setting.device)
        with self._advice(), self._threads():
            return [
                None if member.has_diverged else self._whole(member, there)
                for member in self._members
            ]

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        for member, factor in zip(self._members, factors, strict=True):
            member.scale_lr(factor)

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        found: list[Mapping[str, Tensor]] = []
        for member in self._members:
            with member.averaged():
                state = member.model.state_dict()
                found.append({name: tensor.clone() for name, tensor in state.items()})
        return found

    def checkpoints(self) -> list[Checkpoint]:
        """Return what each member can go on from; the tensors are not copied."""
        return [member.checkpoint() for member in self._members]

    def _train_step(self) -> None:
        """Do one step of all members; those that take the same rows share the batch."""
        batches: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        for member in self._members:
            if member.is_out:
                continue
            rows = (member.step, member.position, member.batch_size)
            if rows not in batches:
                batches[rows] = self._setting.batch(*rows)
            member.train(*batches[rows])

    def _advice(self) -> contextlib.AbstractContextManager[None]:
        return advice_on_memory(max((m.batch_size for m in self._members), default=0))

    def _threads(self) -> contextlib.AbstractContextManager[None]:
        return one_thread_if(self._is_small)

    @torch.inference_mode()
    def _mean(
        self, member: Member, split: Split, measure: Callable[[Any, Tensor], Tensor]
    ) -> float:
        total = torch.zeros((), device=self._setting.device)
        for outputs, targets in self._batches(member, split):
            with self._setting.autocast():
                value = measure(outputs, targets)
            total += torch.where(are_finite(outputs), value, math.nan) * len(targets)
        return _finite_or_nan(total.item() / len(split))

    @torch.inference_mode()
    def _whole(self, member: Member, split: Split) -> Any:
        batches = list(self._batches(member, split))
        outputs = whole([each for each, _ in batches], [len(targets) for _, targets in batches])
        return outputs if bool(are_finite(outputs)) else None

    def _batches(self, member: Member, split: Split) -> Iterator[tuple[Any, Tensor]]:
        """Yield (outputs, targets) of each batch, the model in evaluation mode meanwhile."""
        setting = self._setting
        size = evaluation_rows(setting.task, member.batch_size, setting.device)
        member.model.eval()
        with member.averaged():
            for inputs, targets in zip(
                torch.split(split.inputs, size), torch.split(split.targets, size), strict=True
            ):
                with setting.autocast():
                    outputs = member.model(inputs)
                yield outputs, targets
        member.model.train()


def _finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan

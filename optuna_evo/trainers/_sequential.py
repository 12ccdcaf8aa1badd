"""Training members one after another: the reference that every other trainer must agree with."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.tasks import Split
from optuna_evo.trainers._divergence import beyond_hope
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._setting import Setting


__all__ = ["SequentialRun"]

# On one core 5,000 validation images take the small CNN 269 ms by 128 and 595 ms by 500 (cache).
_EVALUATION_BATCH_CPU = 128
_EVALUATION_BATCH = 2_000


@dataclass(kw_only=True)
class _Member:
    number: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch_size: int
    losses: Tensor  # (total_steps,), NaN where not yet trained
    diverged: bool = False


class SequentialRun:
    """Train one member for some steps, then the next (see `Run` and `start`)."""

    def __init__(self, configs: Sequence[TrainingConfig], setting: Setting) -> None:
        self._setting = setting
        self._step = 0
        self._members = [self._build(number, config) for number, config in enumerate(configs)]

    @property
    def step(self) -> int:
        """Optimizer steps done so far."""
        return self._step

    @property
    def members(self) -> Sequence[int]:
        """Numbers of the live members."""
        return [member.number for member in self._members]

    def advance(self, n_steps: int) -> list[float]:
        """Train for `n_steps` more steps and return the metric on the validation split."""
        self.train(n_steps)
        return self.evaluate(self._setting.splits.valid)

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        last = self._setting.check_steps(self._step, n_steps)
        with own_random_state(self._setting.device):
            for step in range(self._step, last):
                self._train_step(step)
        self._step = last

    def keep(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        if len(alive) != len(self._members):
            raise ValueError(
                f"`alive` must have one entry for each of {len(self._members)} live members, "
                f"got {len(alive)}."
            )
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]

    def losses(self) -> list[float]:
        """Return the mean training loss of the last steps."""
        window = slice(max(0, self._step - self._setting.loss_window), self._step)
        return [
            _finite_or_nan(math.nan if member.diverged else member.losses[window].mean().item())
            for member in self._members
        ]

    def evaluate(
        self, split: Split, *, measure: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> list[float]:
        """Measure the members on other rows."""
        there = to_device(split, self._setting.device)
        measure = measure or self._setting.task.metric
        return [
            math.nan if member.diverged else self._mean(member.model, there, measure)
            for member in self._members
        ]

    def outputs(self, split: Split) -> list[Tensor | None]:
        """Return what each model makes of the inputs of a split."""
        there = to_device(split, self._setting.device)
        return [
            None if member.diverged else self._whole(member.model, there)
            for member in self._members
        ]

    def scale_lr(self, factors: Sequence[float]) -> None:
        """Multiply the learning rate of each member from now on."""
        for member, factor in zip(self._members, factors, strict=True):
            for group in member.optimizer.param_groups:
                group["lr"] *= factor

    def state_dicts(self) -> list[Mapping[str, Tensor]]:
        """Return a copy of the weights and buffers of each model."""
        return [
            {name: tensor.clone() for name, tensor in member.model.state_dict().items()}
            for member in self._members
        ]

    def _build(self, number: int, config: TrainingConfig) -> _Member:
        total_steps, device = self._setting.total_steps, self._setting.device
        model = self._setting.build_model(config)
        return _Member(
            number=number,
            model=model,
            optimizer=EvolvedOptimizer(model.parameters(), config.genome, total_steps=total_steps),
            batch_size=self._setting.batch_size(config),
            losses=torch.full((total_steps,), math.nan, device=device),
        )

    def _train_step(self, step: int) -> None:
        """Do step number `step` of all members; those of one batch size share the batch."""
        batches: dict[int, tuple[Tensor, Tensor]] = {}
        for member in self._members:
            if member.diverged:
                continue
            size = member.batch_size
            if size not in batches:
                batches[size] = self._setting.batch(step, size)
            self._train_member(member, step, *batches[size])

    def _train_member(self, member: _Member, step: int, inputs: Tensor, targets: Tensor) -> None:
        self._setting.seed_dropout(step)
        with self._setting.autocast():
            loss = self._setting.task.loss(member.model(inputs), targets)
        member.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        member.optimizer.step()
        member.losses[step] = loss.detach()
        if (step + 1) % STEPS_BETWEEN_CHECKS == 0:
            (member.diverged,) = beyond_hope(member.losses[None, : step + 1])

    @torch.inference_mode()
    def _mean(
        self, model: nn.Module, split: Split, measure: Callable[[Tensor, Tensor], Tensor]
    ) -> float:
        total = torch.zeros((), device=self._setting.device)
        for outputs, targets in self._batches(model, split):
            with self._setting.autocast():
                value = measure(outputs, targets)
            finite = torch.isfinite(outputs).all()
            total += torch.where(finite, value, math.nan) * len(targets)
        return _finite_or_nan(total.item() / len(split))

    @torch.inference_mode()
    def _whole(self, model: nn.Module, split: Split) -> Tensor | None:
        outputs = torch.cat([outputs.float() for outputs, _ in self._batches(model, split)])
        return outputs if bool(torch.isfinite(outputs).all()) else None

    def _batches(self, model: nn.Module, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (outputs, targets) of each batch, the model in evaluation mode meanwhile."""
        model.eval()
        size = _EVALUATION_BATCH_CPU if self._setting.device.type == "cpu" else _EVALUATION_BATCH
        for inputs, targets in zip(
            torch.split(split.inputs, size), torch.split(split.targets, size), strict=True
        ):
            with self._setting.autocast():
                outputs = model(inputs)
            yield outputs, targets
        model.train()


def _finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan

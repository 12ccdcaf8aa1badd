"""Training members one after another: the reference that every other trainer must agree with."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import inspect
import math
from pathlib import Path

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.tasks import Split
from optuna_evo.tasks import Task
from optuna_evo.trainers._divergence import beyond_hope
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._hardware import global_generator
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._hardware import pick_precision
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._hardware import with_fast_layout
from optuna_evo.trainers._streams import batch_rows
from optuna_evo.trainers._streams import Streams


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

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        task: Task,
        *,
        seed: int,
        total_steps: int,
        device: torch.device,
        precision: str,
        data_dir: Path | None,
        loss_window: int,
    ) -> None:
        _check_at_least("seed", seed, 0)
        _check_at_least("total_steps", total_steps, 1)
        _check_at_least("loss_window", loss_window, 1)
        self._use_bfloat16 = pick_precision(precision, task, device) == "bfloat16"
        self._task = task
        self._device = device
        self._total_steps = total_steps
        self._loss_window = loss_window
        self._streams = Streams.of(seed, task.name, total_steps)
        self._splits = load_splits(task, data_dir, device)
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
        return self.evaluate(self._splits.valid)

    def train(self, n_steps: int) -> None:
        """Train for `n_steps` more steps."""
        last = self._step + n_steps
        if n_steps < 0 or last > self._total_steps:
            raise ValueError(
                f"`n_steps` must be between 0 and {self._total_steps - self._step}, what is left "
                f"of {self._total_steps} total steps; got {n_steps}."
            )
        for member in self._members:
            with _own_random_state(self._device):
                for step in range(self._step, last):
                    if member.diverged:
                        break
                    self._train_step(member, step)
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
        window = slice(max(0, self._step - self._loss_window), self._step)
        return [
            _finite_or_nan(math.nan if member.diverged else member.losses[window].mean().item())
            for member in self._members
        ]

    def evaluate(
        self, split: Split, *, measure: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> list[float]:
        """Measure the members on other rows."""
        there = to_device(split, self._device)
        measure = measure or self._task.metric
        return [
            math.nan if member.diverged else self._mean(member.model, there, measure)
            for member in self._members
        ]

    def outputs(self, split: Split) -> list[Tensor | None]:
        """Return what each model makes of the inputs of a split."""
        there = to_device(split, self._device)
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
        batch_size = self._task.batch_size if config.batch_size is None else config.batch_size
        _check_at_least("batch_size", batch_size, 1)
        with _own_random_state(torch.device("cpu")):
            torch.default_generator.manual_seed(self._streams.weights)
            model = _build_model(self._task, config)
        model = model.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        return _Member(
            number=number,
            model=model,
            optimizer=EvolvedOptimizer(
                model.parameters(), config.genome, total_steps=self._total_steps
            ),
            batch_size=batch_size,
            losses=torch.full((self._total_steps,), math.nan, device=self._device),
        )

    def _train_step(self, member: _Member, step: int) -> None:
        """Do step number `step`; everything random in it is seeded here."""
        train, streams = self._splits.train, self._streams
        rows = batch_rows(
            step, member.batch_size, n_rows=len(train), seed=streams.order, device=self._device
        )
        inputs = train.inputs[rows]
        if self._task.augment is not None:
            generator = torch.Generator(self._device).manual_seed(streams.augmentation[step])
            inputs = with_fast_layout(self._task.augment(inputs, generator))
        global_generator(self._device).manual_seed(streams.steps[step])
        with self._precision():
            loss = self._task.loss(member.model(inputs), train.targets[rows])
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
        total = torch.zeros((), device=self._device)
        for outputs, targets in self._batches(model, split):
            with self._precision():
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
        size = _EVALUATION_BATCH_CPU if self._device.type == "cpu" else _EVALUATION_BATCH
        for inputs, targets in zip(
            torch.split(split.inputs, size), torch.split(split.targets, size), strict=True
        ):
            with self._precision():
                outputs = model(inputs)
            yield outputs, targets
        model.train()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self._use_bfloat16:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def _build_model(task: Task, config: TrainingConfig) -> nn.Module:
    signature = inspect.signature(task.build_model)
    try:
        signature.bind(**config.model)
    except TypeError as error:
        raise ValueError(
            f"The model of task {task.name!r} takes {list(signature.parameters)}, "
            f"got {dict(config.model)}."
        ) from error
    return task.build_model(**config.model)


@contextlib.contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """Let code seed and draw from torch's global generators; put them back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _finite_or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")

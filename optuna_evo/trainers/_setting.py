"""What all members of a run have in common: the task, the rows, the streams, the device."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import inspect
from pathlib import Path

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from optuna_evo.trainers._hardware import autocast_dtype
from optuna_evo.trainers._hardware import global_generator
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._hardware import mixed_precision
from optuna_evo.trainers._hardware import with_fast_layout
from optuna_evo.trainers._streams import rows_from
from optuna_evo.trainers._streams import Streams


__all__ = ["check_alive", "clip_and_sparsity", "own_random_state", "Setting"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """One task with one seed on one device.

    Args:
        task: What is trained.
        total_steps: Optimizer steps of the whole run.
        loss_window: Last steps that the training loss is averaged over.
        device: Where.
        autocast_dtype: What models run in under autocast; None: float32.
        segment: Whether the run is a segment of a longer training: schedules go by the
            optimizers' own horizons.
        seed: What the streams are drawn from.
        streams: Everything random.
        splits: Rows on the device.
    """

    task: Task
    total_steps: int
    loss_window: int
    device: torch.device
    autocast_dtype: torch.dtype | None
    segment: bool
    seed: int
    streams: Streams
    splits: Splits

    @classmethod
    def of(
        cls,
        task: Task,
        *,
        seed: int,
        total_steps: int,
        device: torch.device,
        precision: str,
        data_dir: Path | None,
        loss_window: int,
        segment: bool = False,
        first_steps: Sequence[int] = (),
    ) -> "Setting":
        """Check the arguments of `start`, and load the rows.

        `first_steps` are the steps that members have done before the run.
        """
        check_at_least("seed", seed, 0)
        check_at_least("total_steps", total_steps, 1)
        check_at_least("loss_window", loss_window, 1)
        pick = mixed_precision if segment else autocast_dtype
        return cls(
            task=task,
            total_steps=total_steps,
            loss_window=loss_window,
            device=device,
            autocast_dtype=pick(precision, task, device),
            segment=segment,
            seed=seed,
            # a step draws by its number since fresh weights, wherever the segment begins
            streams=Streams.of(seed, task.name, total_steps + max(first_steps, default=0)),
            splits=load_splits(task, data_dir, device),
        )

    def batch(self, step: int, position: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of a step.

        Args:
            step: Steps that were done since fresh weights.
            position: Rows that were taken since fresh weights.
            batch_size: Rows to take.
        """
        train = self.splits.train
        rows = rows_from(
            position, batch_size, n_rows=len(train), seed=self.streams.order, device=self.device
        )
        inputs = train.inputs[rows]
        if self.task.augment is not None:
            seed = self.streams.augmentation[step]
            generator = torch.Generator(self.device).manual_seed(seed)
            inputs = with_fast_layout(self.task.augment(inputs, generator))
        return inputs, train.targets[rows]

    def seed_dropout(self, step: int) -> None:
        """Seed what dropout draws from; call it within `own_random_state`."""
        global_generator(self.device).manual_seed(self.streams.steps[step])

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context that models and losses run in."""
        if self.autocast_dtype is not None:
            return torch.autocast(self.device.type, dtype=self.autocast_dtype)
        return contextlib.nullcontext()

    @property
    def schedule_steps(self) -> int | None:
        """Steps that schedules refer to; None: each optimizer's own horizon."""
        return None if self.segment else self.total_steps

    def batch_size(self, config: TrainingConfig) -> int:
        """Return the rows of a training step."""
        size = self.task.batch_size if config.batch_size is None else config.batch_size
        check_at_least("batch_size", size, 1)
        return size

    def build_model(self, config: TrainingConfig) -> nn.Module:
        """Return the model with the weights that all members of the seed start from."""
        return _build_model(self.task, config, seed=self.streams.weights, device=self.device)

    def check_steps(self, step: int, n_steps: int) -> int:
        """Return the step after `n_steps` more; raise if that is beyond the run."""
        last = step + n_steps
        if n_steps < 0 or last > self.total_steps:
            raise ValueError(
                f"`n_steps` must be between 0 and {self.total_steps - step}, what is left "
                f"of {self.total_steps} total steps; got {n_steps}."
            )
        return last


@contextlib.contextmanager
def own_random_state(device: torch.device) -> Iterator[None]:
    """Let code seed and draw from torch's global generators; put them back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def clip_and_sparsity(config: TrainingConfig) -> tuple[float | None, float]:
    """Return the bound on the gradient's norm and the share of weights held at zero."""
    if isinstance(config, SegmentConfig):
        return config.clip_norm, config.sparsity
    return None, 0.0


def check_alive(alive: Sequence[bool], n_members: int) -> None:
    """Raise if there is not one entry for each live member."""
    if len(alive) != n_members:
        raise ValueError(
            f"`alive` must have one entry for each of {n_members} live members, got {len(alive)}."
        )


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise if a number is too small."""
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")


def _build_model(
    task: Task, config: TrainingConfig, *, seed: int, device: torch.device
) -> nn.Module:
    """Return the task's model in training mode, its weights drawn from a seed on the CPU.

    Raises:
        ValueError: If the configuration's model arguments are not those of the task's builder.
    """
    signature = inspect.signature(task.build_model)
    try:
        signature.bind(**config.model)
    except TypeError as error:
        raise ValueError(
            f"The model of task {task.name!r} takes {list(signature.parameters)}, "
            f"got {dict(config.model)}."
        ) from error
    with own_random_state(torch.device("cpu")):
        torch.default_generator.manual_seed(seed)
        model = task.build_model(**config.model)
    return model.to(device, memory_format=torch.channels_last).train()  # type: ignore[no-any-return, call-overload]

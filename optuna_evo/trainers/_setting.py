"""What all members of a run have in common: the task, the rows, the streams, the device."""

from collections.abc import Iterator
import contextlib
from dataclasses import dataclass
import inspect
from pathlib import Path

import torch
from torch import nn
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from optuna_evo.trainers._hardware import global_generator
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._hardware import pick_precision
from optuna_evo.trainers._hardware import with_fast_layout
from optuna_evo.trainers._streams import batch_rows
from optuna_evo.trainers._streams import Streams


__all__ = ["build_model", "own_random_state", "Setting"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """One task with one seed on one device.

    Args:
        task: What is trained.
        total_steps: Optimizer steps of the whole run.
        loss_window: Last steps that the training loss is averaged over.
        device: Where.
        bfloat16: Whether models run under autocast.
        streams: Everything random.
        splits: Rows on the device.
    """

    task: Task
    total_steps: int
    loss_window: int
    device: torch.device
    bfloat16: bool
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
    ) -> "Setting":
        """Check the arguments of `start`, and load the rows."""
        check_at_least("seed", seed, 0)
        check_at_least("total_steps", total_steps, 1)
        check_at_least("loss_window", loss_window, 1)
        return cls(
            task=task,
            total_steps=total_steps,
            loss_window=loss_window,
            device=device,
            bfloat16=pick_precision(precision, task, device) == "bfloat16",
            streams=Streams.of(seed, task.name, total_steps),
            splits=load_splits(task, data_dir, device),
        )

    def batch(self, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of a step."""
        train = self.splits.train
        rows = batch_rows(
            step, batch_size, n_rows=len(train), seed=self.streams.order, device=self.device
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
        if self.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def batch_size(self, config: TrainingConfig) -> int:
        """Return the rows of a training step."""
        size = self.task.batch_size if config.batch_size is None else config.batch_size
        check_at_least("batch_size", size, 1)
        return size

    def build_model(self, config: TrainingConfig) -> nn.Module:
        """Return the model with the weights that all members of the seed start from."""
        return build_model(self.task, config, seed=self.streams.weights, device=self.device)

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


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise if a number is too small."""
    if value < least:
        raise ValueError(f"`{name}` must be at least {least}, got {value}.")


def build_model(
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

"""One training that stops and goes on: with other hyperparameters, from a checkpoint."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import copy
import math
from pathlib import Path

import torch
from torch import nn

from optuna_evo.config import SegmentConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.curves import has_diverged
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import MemoryLimitError
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.tasks import Split
from optuna_evo.tasks import Task
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._hardware import global_generator
from optuna_evo.trainers._hardware import load_splits
from optuna_evo.trainers._hardware import mixed_precision
from optuna_evo.trainers._hardware import to_device
from optuna_evo.trainers._hardware import with_fast_layout
from optuna_evo.trainers._setting import build_model
from optuna_evo.trainers._setting import own_random_state
from optuna_evo.trainers._sparsity import apply_masks
from optuna_evo.trainers._sparsity import magnitude_masks
from optuna_evo.trainers._streams import rows_from
from optuna_evo.trainers._streams import Streams


__all__ = ["Training"]


class Training:
    """A model and its optimizer, some steps after fresh weights or after a checkpoint.

    Step t of a training does the same whether it is reached in one go or over checkpoints: all
    random numbers are functions of (seed, task, t), and the rows follow each other.

    Args:
        config: What the steps to come train with.
        task: What is trained on.
        seed: Decides fresh weights, order of rows and dropout.
        n_steps: Steps to come at most.
        origin: Where to go on from; None: fresh weights.
        device: torch device.
        precision: "auto", "float32", "bfloat16" or "float16" (with a gradient scaler).
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.

    Raises:
        CheckpointError: If the checkpoint does not fit the task or the model.
        ValueError: If the configuration does not fit the task.
    """

    def __init__(
        self,
        config: TrainingConfig,
        task: Task,
        *,
        seed: int,
        n_steps: int,
        origin: Checkpoint | None,
        device: torch.device,
        precision: str,
        data_dir: Path | None,
    ) -> None:
        self.step = origin.step if origin else 0
        self._position = origin.position if origin else 0
        self._first_step = self.step
        self._task = task
        self._seed = seed
        self._device = device
        self._batch_size = config.batch_size or task.batch_size
        self._dtype = mixed_precision(precision, task, device)
        self._splits = load_splits(task, data_dir, device)
        self._streams = Streams.of(seed, task.name, self.step + n_steps)
        self._losses = torch.full((n_steps,), math.nan, device=device)
        self._norms = torch.full((n_steps,), math.nan, device=device)
        segment = config if isinstance(config, SegmentConfig) else None
        self._clip_norm = math.inf if segment is None else segment.clip_norm or math.inf
        with _advice_on_memory(self._batch_size):
            self.model = self._fresh_model(config)
            self._optimizer = EvolvedOptimizer(
                self.model.parameters(), config.genome, total_steps=config.genome.horizon
            )
            self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
            if origin is not None:
                self._restore(origin)
            self._masks = magnitude_masks(self.model, segment.sparsity if segment else 0.0)
            apply_masks(self._masks)

    def train(self, n_steps: int) -> None:
        """Do `n_steps` more steps."""
        with own_random_state(self._device), _advice_on_memory(self._batch_size):
            for _ in range(n_steps):
                self._train_step()

    def measure(self, split: Split | None = None) -> float:
        """Return the task's metric on the rows to validate on, or others; NaN if it diverged."""
        there = self._splits.valid if split is None else to_device(split, self._device)
        if _is_beyond_hope(self._losses[: self._n_done].tolist()):
            return math.nan
        with _advice_on_memory(self._batch_size):
            return self._mean(there)

    def checkpoint(self) -> Checkpoint:
        """Return the state, on whatever device it is; it is not copied."""
        return Checkpoint(
            task=self._task.name,
            seed=self._seed,
            step=self.step,
            position=self._position,
            model=self.model.state_dict(),
            optimizer=self._optimizer.state_dict(),
            scaler=self._scaler.state_dict(),
        )

    def mean_loss(self) -> float:
        """Return the mean training loss of the steps done here; NaN before any."""
        return float(self._losses[: self._n_done].mean())

    def mean_grad_norm(self) -> float:
        """Return the mean norm of the gradient before clipping; NaN before any step."""
        return float(self._norms[: self._n_done].mean())

    @property
    def _n_done(self) -> int:
        return self.step - self._first_step

    def _fresh_model(self, config: TrainingConfig) -> nn.Module:
        return build_model(self._task, config, seed=self._streams.weights, device=self._device)

    def _restore(self, origin: Checkpoint) -> None:
        if (origin.task, origin.seed) != (self._task.name, self._seed):
            raise CheckpointError(
                f"The checkpoint is of task {origin.task!r} with seed {origin.seed}, not of "
                f"{self._task.name!r} with seed {self._seed}."
            )
        try:
            self.model.load_state_dict(origin.model)
            self._optimizer.inherit_state(copy.deepcopy(dict(origin.optimizer)))
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"The checkpoint does not fit the training: {reason}") from error
        if origin.scaler and self._scaler.is_enabled():
            self._scaler.load_state_dict(dict(origin.scaler))

    def _train_step(self) -> None:
        train, streams = self._splits.train, self._streams
        rows = rows_from(
            self._position,
            self._batch_size,
            n_rows=len(train),
            seed=streams.order,
            device=self._device,
        )
        inputs = train.inputs[rows]
        if self._task.augment is not None:
            seed = streams.augmentation[self.step]
            generator = torch.Generator(self._device).manual_seed(seed)
            inputs = with_fast_layout(self._task.augment(inputs, generator))
        global_generator(self._device).manual_seed(streams.steps[self.step])
        with self._autocast():
            loss = self._task.loss(self.model(inputs), train.targets[rows])
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        apply_masks(self._masks)
        self._losses[self._n_done] = loss.detach()
        self._norms[self._n_done] = norm
        self.step += 1
        self._position += self._batch_size

    @torch.inference_mode()
    def _mean(self, split: Split) -> float:
        """Return the metric; batches of the size that training holds in memory."""
        self.model.eval()
        total = torch.zeros((), device=self._device)
        batches = (torch.split(rows, self._batch_size) for rows in (split.inputs, split.targets))
        for inputs, targets in zip(*batches, strict=True):
            with self._autocast():
                outputs = self.model(inputs)
            value = self._task.metric(outputs, targets)
            total += torch.where(torch.isfinite(outputs).all(), value, math.nan) * len(targets)
        self.model.train()
        mean = float(total) / len(split)
        return mean if math.isfinite(mean) else math.nan

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, dtype=self._dtype)


def _is_beyond_hope(losses: Sequence[float]) -> bool:
    """Tell whether no loss of the last steps is near those before; one spike is no divergence."""
    n_recent = min(STEPS_BETWEEN_CHECKS, max(1, len(losses) // 4))
    *earlier, recent = *losses[:-n_recent], min(losses[-n_recent:], default=0.0)
    return math.isnan(sum(losses[-n_recent:])) or has_diverged([*earlier, recent])


@contextlib.contextmanager
def _advice_on_memory(batch_size: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryLimitError(
            f"Out of memory on the device with a batch size of {batch_size}: lower the batch size "
            "or its range, shorten task.sequence_length, or take a smaller model."
        ) from error

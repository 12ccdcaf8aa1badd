"""One member that trains alone: its model, its optimizer, and the step that both do."""

from collections.abc import Iterator
import contextlib
import math

import torch
from torch import Tensor

from optuna_evo.config import TrainingConfig
from optuna_evo.optimizers import EvolvedOptimizer
from optuna_evo.optimizers import TorchOptimizers
from optuna_evo.trainers._checkpoint import Checkpoint
from optuna_evo.trainers._divergence import diverged
from optuna_evo.trainers._divergence import STEPS_BETWEEN_CHECKS
from optuna_evo.trainers._origin import build_optimizer
from optuna_evo.trainers._origin import check_origin
from optuna_evo.trainers._origin import Origin
from optuna_evo.trainers._origin import restore
from optuna_evo.trainers._setting import clip_and_sparsity
from optuna_evo.trainers._setting import Setting
from optuna_evo.trainers._sparsity import apply_masks
from optuna_evo.trainers._sparsity import magnitude_masks


__all__ = ["Member"]


class Member:
    """A model and its optimizer, some steps after fresh weights or after a checkpoint.

    Step t of a training does the same whether it is reached in one go or over checkpoints: all
    random numbers are functions of (seed, task, t), and the rows follow each other.

    Args:
        number: Its place among the configurations of the cohort.
        config: What it trains with.
        setting: What it has in common with the others.
        origin: Where it goes on from.

    Raises:
        CheckpointError: If the checkpoint does not fit the task, the model or the optimizer.
        ValueError: If the configuration does not fit the task.
    """

    def __init__(
        self, number: int, config: TrainingConfig, setting: Setting, origin: Origin
    ) -> None:
        check_origin(origin, setting)
        self.number = number
        self.batch_size = setting.batch_size(config)
        self.step = origin.step if origin else 0  # since fresh weights, as the position
        self.position = origin.position if origin else 0
        self.model = setting.build_model(config)
        self.optimizer = build_optimizer(
            config.optimizer, self.model, total_steps=setting.schedule_steps
        )
        self.is_out = False  # it has diverged and trains no more
        self._setting = setting
        self._n_done = 0
        self._losses = torch.full((setting.total_steps,), math.nan, device=setting.device)
        scales = setting.autocast_dtype == torch.float16
        self._scaler = torch.amp.GradScaler(setting.device.type) if scales else None
        if origin is not None:
            restore(origin, self.model, self.optimizer, self._scaler)
        clip_norm, sparsity = clip_and_sparsity(config)
        # an infinite bound clips nothing and says the norm
        self._clip_norm = clip_norm or math.inf
        measures = setting.segment or clip_norm is not None
        self._norms = torch.full_like(self._losses, math.nan) if measures else None
        self._masks = magnitude_masks(self.model, sparsity)
        apply_masks(self._masks)

    @property
    def has_diverged(self) -> bool:
        """Whether its losses show now that it has diverged."""
        is_over = self._n_done == len(self._losses)
        return self.is_out or diverged(self._losses[None, : self._n_done], is_over=is_over)[0]

    def train(self, inputs: Tensor, targets: Tensor) -> None:
        """Do one step on a batch."""
        setting = self._setting
        setting.seed_dropout(self.step)
        with setting.autocast():
            loss = setting.task.loss(self.model(inputs), targets)
        self.optimizer.zero_grad()
        if self._scaler is None:
            self._differentiate(loss)
            if self._norms is not None:
                self._clip(self._norms)
            self.optimizer.step()
        else:
            self._train_scaled(loss, self._scaler)
        if self._masks:
            apply_masks(self._masks)
        self._losses[self._n_done] = loss.detach()
        self._n_done += 1
        self.step += 1
        self.position += self.batch_size
        if self._n_done % STEPS_BETWEEN_CHECKS == 0:
            self.is_out = diverged(self._losses[None, : self._n_done])[0]

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Let the model be as it is used: without dropout, with the weights that are meant."""
        self.model.eval()
        try:
            with self._averaged():
                yield
        finally:
            self.model.train()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Let the model have the weights that its optimizer is to be measured by."""
        if isinstance(self.optimizer, EvolvedOptimizer):
            with self.optimizer.averaged():
                yield
        elif isinstance(self.optimizer, TorchOptimizers):
            self.optimizer.eval()
            try:
                yield
            finally:
                self.optimizer.train()
        else:
            yield

    def mean_loss(self, window: int) -> float:
        """Return the mean loss of the last steps."""
        return self._mean(self._losses, window)

    @property
    def known_losses(self) -> Tensor:
        """The losses of all steps done."""
        return self._losses[: self._n_done]

    def mean_grad_norm(self, window: int) -> float:
        """Return the mean norm of the gradient over the last steps."""
        return math.nan if self._norms is None else self._mean(self._norms, window)

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rate from now on."""
        if isinstance(self.optimizer, TorchOptimizers):
            self.optimizer.scale_lr(factor)
            return
        for group in self.optimizer.param_groups:
            group["lr"] *= factor

    def checkpoint(self) -> Checkpoint:
        """Return the state; it is not copied."""
        return Checkpoint(
            task=self._setting.task.name,
            seed=self._setting.seed,
            step=self.step,
            position=self.position,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler={} if self._scaler is None else self._scaler.state_dict(),
        )

    def _differentiate(self, loss: Tensor) -> None:
        if not getattr(self.optimizer, "needs_graph", False):
            loss.backward()  # type: ignore[no-untyped-call]
            return
        # not `backward(create_graph=True)`, which warns of the cycle that `zero_grad` breaks
        weights = [p for p in self.model.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient

    def _train_scaled(self, loss: Tensor, scaler: torch.amp.GradScaler) -> None:
        """Do a step whose gradients would underflow in float16 if the loss were not scaled."""
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
        if self._norms is not None:
            self._clip(self._norms)
        scaler.step(self.optimizer)  # type: ignore[arg-type]
        scaler.update()

    def _clip(self, norms: Tensor) -> None:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        norms[self._n_done] = norm

    def _mean(self, values: Tensor, window: int) -> float:
        return float(values[max(0, self._n_done - window) : self._n_done].mean())

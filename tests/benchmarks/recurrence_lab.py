"""The trainer that all methods of `tests.benchmarks.recurrence` share; counts the steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Any

from optuna.trial import FixedTrial
import torch

from optuna_evo import tasks
from optuna_evo.config import SegmentConfig
from optuna_evo.objectives import SegmentObjective
from optuna_evo.spaces import language_model_space
from optuna_evo.tasks import Task
from optuna_evo.trainers._checkpoint import Checkpoint


PUBLISHED = {"lr": 1e-4, "beta1": 0.9, "weight_decay": 0.01}
LR_RANGE = (1e-5, 1e-2)
SEQUENCE_LENGTH = 32
CLIP_NORM = 1.0
WARMUP_STEPS = 20
DIVERGED = 1e3
TITLES = {
    "gpt2": f"GPT-2, 1.4 million parameters, tiny Shakespeare, rows of {SEQUENCE_LENGTH} bytes",
    "fashion_mnist": "CNN, 0.8 million parameters, Fashion-MNIST, validation cross entropy",
    "digits": "MLP, 9 thousand parameters, scikit-learn's digits, validation cross entropy",
}
# Validation rows of the loss after a segment.
SEEN_ROWS = {"gpt2": 32, "fashion_mnist": 500, "digits": 180}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every method may spend, and how it is cut up."""

    task: str = "gpt2"
    population: int = 8
    rounds: int = 8
    segment: int = 10
    batch: int = 4
    cooling: float = 0.97

    @property
    def segments(self) -> int:
        """Segments of a method."""
        return self.population * self.rounds

    @property
    def total(self) -> int:
        """Optimizer steps of a method."""
        return self.segments * self.segment


@dataclass
class State:
    """A model some steps on, with what it trained with on the way."""

    checkpoint: Checkpoint | None
    schedule: tuple[Mapping[str, Any], ...] = ()
    loss: float = math.inf


class Spent(Exception):
    """All steps are done."""


class Lab:
    """The trainer that all methods share; counts the steps."""

    def __init__(self, budget: Budget, seed: int) -> None:
        self.budget = budget
        self.steps = 0
        self._task = _task(budget.task)
        self._objective = SegmentObjective(task=self._task, seed=seed, steps=budget.segment)
        self._valid = self._task.load(None).valid
        rows = torch.arange(SEEN_ROWS[budget.task])
        self._seen = self._valid.take(rows * len(self._valid) // len(rows))

    def go_on(self, origin: State, params: Mapping[str, Any]) -> State:
        """Train one more segment."""
        if self.steps + self.budget.segment > self.budget.total:
            raise Spent
        self.steps += self.budget.segment
        cohort = self._objective.cohort([self._config(params)], [origin.checkpoint])
        cohort.train(self.budget.segment)
        (loss,) = cohort.evaluate(self._seen, measure=self._task.loss)
        (checkpoint,) = cohort.checkpoints()
        schedule = (*origin.schedule, dict(params))
        return State(checkpoint, schedule, loss if math.isfinite(loss) else DIVERGED)

    def final_loss(self, state: State) -> float:
        """Return the loss on all validation rows."""
        params = state.schedule[-1]
        cohort = self._objective.cohort([self._config(params)], [state.checkpoint])
        return cohort.evaluate(self._valid, measure=self._task.loss)[0]

    def _config(self, params: Mapping[str, Any]) -> SegmentConfig:
        config = space(FixedTrial(dict(params)))
        return replace(
            config,
            genome=replace(config.genome, use_warmup=True, warmup_steps=WARMUP_STEPS),
            batch_size=self.budget.batch,
            clip_norm=CLIP_NORM,
            model={"dropout": 0.0},
        )


def space(trial: Any) -> SegmentConfig:
    """Suggest what was published as evolving: learning rate, momentum, weight decay."""
    return language_model_space(
        trial,
        lr=LR_RANGE,
        beta2=None,
        warmup_steps=None,
        clip_norm=None,
        dropout=None,
        sparsity=None,
    )


def _task(name: str) -> Task:
    if name == "gpt2":
        text = "tinyshakespeare"
        return tasks.get(name, size="tiny", text=text, sequence_length=SEQUENCE_LENGTH)
    return tasks.get(name)

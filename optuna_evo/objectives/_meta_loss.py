"""Update rules valued by held-out tasks of task families: genomes, controllers, meta-trained ones.

A genome or a trained controller is measured as it is. A `MetaTrainingConfig` is measured before it
is meta-trained, which is its base and costs no more than a genome; then it is trained by a budget
of inner steps and measured on the way, and what counts is the best state. The cost of both is
counted in inner steps: a step of one training.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
import hashlib
import json
import math
import time
from typing import Any
from typing import Final
from typing import Protocol

import torch

from optuna_evo.attributes import CONTROLLER
from optuna_evo.config import ControllerConfig
from optuna_evo.config import MetaTrainingConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import MetaTrainingError
from optuna_evo.errors import UsageError
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import packed
from optuna_evo.learned import resolve
from optuna_evo.learned import step_cost
from optuna_evo.learned import with_base
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import Domain
from optuna_evo.meta_training import Horizons
from optuna_evo.meta_training import MetaLoss
from optuna_evo.meta_training import MetaSpec
from optuna_evo.meta_training import MetaTraining
from optuna_evo.meta_training import OuterSpec
from optuna_evo.meta_training import Selection
from optuna_evo.meta_training import SelectionSpec
from optuna_evo.objectives._repetition import seed_of
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import UpdateRule
from optuna_evo.spec import Part


__all__ = ["adapted", "LossAndCost", "MetaLossObjective", "MetaLossRun"]

_LATE: Final = 1.0  # what counts is the end of a run, as where meta-trained ones are valued


@dataclass(frozen=True, kw_only=True)
class MetaLossObjective:
    """The held-out loss at the end of a run: the geometric mean over tasks and families.

    Args:
        families: The task families, with weights.
        steps: Length of inner runs.
        budget: Inner steps of a meta-training.
        reports: Reports of a trial, the first of the base, before anything is trained.
        held_out: Tasks of each family that rules are measured on.
        cost_weight: w of the trade-off: values are the loss times (1 + cost)^w, where the cost is
            `step_cost` of the controller, and 0 of genomes.
        seed: Of meta-training.
        device: Where inner runs are done.
    """

    families: Sequence[Domain]
    steps: int
    budget: int = 20_000
    reports: int = 5
    held_out: int = 32
    cost_weight: float = 0.0
    seed: int = 0
    device: str = "cpu"
    penalty: float | None = None

    @property
    def n_reports(self) -> int:
        """Number of reports."""
        return self.reports

    def start(
        self, configs: Sequence[TrainingConfig | MetaTrainingConfig], *, repetition: int = 0
    ) -> "MetaLossRun":
        """Begin the trials of a batch; another `repetition` has other seeds and tasks."""
        return MetaLossRun(configs, self, repetition)

    def value(self, reported: Sequence[float]) -> float:
        """Return the last report: reports are of the best state so far."""
        return reported[-1]

    def fingerprint(self) -> str:
        """Return the same text for objectives that train and report alike."""
        values = dataclasses.asdict(self)
        del values["device"], values["penalty"]
        text = json.dumps(["MetaLossObjective", values], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def spec(self, config: MetaTrainingConfig, repetition: int = 0) -> MetaSpec:
        """Return the meta-training of a trial, as long as the budget lets it be."""
        outer = OuterSpec(
            estimator=config.estimator,
            pairs=config.pairs,
            truncation=min(config.truncation, self.steps),
            perturbation=config.perturbation,
            lr=config.lr,
        )
        n_outer = max(1, self.budget // outer_cost(outer, self.steps))
        return MetaSpec(
            name="trial",
            controller=Part(
                name=config.kind, options={**config.settings, "genome": config.genome.to_dict()}
            ),
            families=tuple(self.families),
            seed=seed_of(self.seed, repetition),
            outer=dataclasses.replace(outer, steps=n_outer),
            horizon=Horizons(low=self.steps, high=self.steps),
            meta_loss=MetaLoss(late=_LATE),
            selection=SelectionSpec(tasks=self.held_out, steps=self.steps),
        )

    def whole_cost(self, config: TrainingConfig | MetaTrainingConfig) -> int:
        """Return the inner steps of a trial that is not pruned, its measurements among them."""
        measured = self.held_out * self.steps * len(self.families)
        if not isinstance(config, MetaTrainingConfig):
            return measured
        outer = self.spec(config).outer
        return outer.steps * outer_cost(outer, self.steps) + max(2, self.reports) * measured

    def selection(self, repetition: int = 0) -> Selection:
        """Return the measurement on held-out tasks."""
        built = [
            build_family(d.name, d.options, reparametrise=d.reparametrise) for d in self.families
        ]
        spec = self.spec(MetaTrainingConfig())
        first = repetition * self.held_out
        return Selection(spec, built, torch.device(self.device), first=first)


class _Member(Protocol):
    """A trial on its way."""

    inner_steps: int
    cost: float

    def advance(self, report: int) -> float:
        """Go on to a report; return the best held-out loss."""

    def trained(self) -> Controller | None:
        """Return what was meta-trained."""


class MetaLossRun:
    """A batch of trials on their way."""

    def __init__(
        self,
        configs: Sequence[TrainingConfig | MetaTrainingConfig],
        objective: MetaLossObjective,
        repetition: int,
    ) -> None:
        self.step = 0
        self._objective = objective
        selection = objective.selection(repetition)
        self._members: list[_Member] = [
            _MetaTrained(config, objective, selection, repetition)
            if isinstance(config, MetaTrainingConfig)
            else _Fixed(config, objective, selection)
            for config in configs
        ]
        self._seconds = [0.0] * len(configs)

    def advance(self) -> list[float]:
        """Go on to the next report and return the value of each live member."""
        self.step += 1
        values = []
        for i, member in enumerate(self._members):
            began = time.perf_counter()
            loss = member.advance(self.step)
            self._seconds[i] += time.perf_counter() - began
            values.append(loss * (1 + member.cost) ** self._objective.cost_weight)
        return values

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]
        self._seconds = [s for s, stays in zip(self._seconds, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return inner steps, cost and seconds; of a whole meta-training its controller too."""
        found: list[Mapping[str, Any]] = []
        for member, seconds in zip(self._members, self._seconds, strict=True):
            record: dict[str, Any] = {
                "inner_steps": member.inner_steps,
                "step_cost": round(member.cost, 3),
                "seconds": round(seconds, 3),
            }
            controller = member.trained() if self.step >= self._objective.reports else None
            if controller is not None:
                head, *texts = packed(controller)
                record[CONTROLLER.key] = head
                record |= {f"{CONTROLLER.key}:{i}": text for i, text in enumerate(texts)}
            found.append(record)
        return found


class _Fixed:
    """A genome, or a trained controller, measured once."""

    def __init__(
        self, config: TrainingConfig, objective: MetaLossObjective, selection: Selection
    ) -> None:
        controller, self._rule = _rule_of(config)
        self.cost = 0.0 if controller is None else step_cost(controller)
        self.inner_steps = 0
        self._selection, self._loss = selection, math.nan
        self._n_steps = selection.inner_steps

    def advance(self, report: int) -> float:
        if not self.inner_steps:
            self._loss = self._selection.measure_rule(self._rule)
            self.inner_steps += self._n_steps
        return self._loss

    def trained(self) -> Controller | None:
        return None


class _MetaTrained:
    """A controller that is meta-trained."""

    def __init__(
        self,
        config: MetaTrainingConfig,
        objective: MetaLossObjective,
        selection: Selection,
        repetition: int,
    ) -> None:
        self._spec = objective.spec(config, repetition)
        self._training = MetaTraining(self._spec, device=objective.device, selection=selection)
        self._reports, self._is_over = objective.reports, False
        self.cost = step_cost(self._training.controller())
        self.inner_steps = 0
        self._n_measured = selection.inner_steps
        self._n_outer = outer_cost(self._spec.outer, objective.steps)

    def advance(self, report: int) -> float:
        training, last = self._training, self._spec.outer.steps
        if report == 1:
            self._measure()  # the base is the first candidate, and the first report
        # with one report, that is all of it
        share = (report - 1) / (self._reports - 1) if self._reports > 1 else 1.0
        began = training.number
        while training.number < round(last * share) and not self._is_over:
            try:
                training.step()
            except MetaTrainingError:  # the best state so far is kept, and is all there will be
                self._is_over = True
            self.inner_steps += self._n_outer
        if training.number > began and not self._is_over:
            self._measure()
        score = training.best_score
        return score if math.isfinite(score) else math.nan

    def _measure(self) -> None:
        self._training.select()
        self.inner_steps += self._n_measured

    def trained(self) -> Controller | None:
        return self._training.controller()


class LossAndCost:
    """Two objectives for a study of Optuna: held-out loss, and `step_cost` of the controller.

    Optuna prunes studies of one objective only, so here every trial goes to its end. What a trial
    trained is among its user attributes, as in other studies.

    Args:
        objective: Says what is meta-trained on, and for how long.
        space: From a trial to a configuration, such as `suggest_learned_optimizer`.

    Example:
        >>> study = optuna.create_study(
        ...     directions=["minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=0)
        ... )
        >>> study.optimize(LossAndCost(objective, suggest_learned_optimizer), n_trials=30)
        >>> study.best_trials
    """

    def __init__(self, objective: MetaLossObjective, space: Any) -> None:
        self._objective, self._space = objective, space

    def __call__(self, trial: Any) -> tuple[float, float]:
        """Return loss and cost of a trial; a trial that diverges fails."""
        plain = dataclasses.replace(self._objective, cost_weight=0.0)
        run = plain.start([self._space(trial)])
        reported = [run.advance()[0] for _ in range(plain.n_reports)]
        (record,) = run.records()
        for key, value in record.items():
            trial.set_user_attr(key, value)
        return plain.value(reported), float(record["step_cost"])


def outer_cost(outer: OuterSpec, steps: int) -> int:
    """Return the inner steps of an outer step, for inner runs of so many steps."""
    length = steps if outer.estimator == "full_es" else outer.truncation
    return 2 * outer.pairs * length


def adapted(config: ControllerConfig) -> Controller:
    """Return the controller of a configuration, its multiplier and schedule in the base genome.

    Raises:
        UsageError: If there is no such controller, or not with those weights (a ValueError).
    """
    if config.current_weights() != config.weights:
        raise UsageError(
            f"The controller {config.controller!r} is not the one of the trial any more: its "
            "weights are others."
        )
    controller = resolve(config.folder)
    genome = controller.genome
    changed = dataclasses.replace(genome, lr=genome.lr * config.lr)
    changed = changed.with_cosine() if config.cosine else changed
    return with_base(controller, changed)


def _rule_of(config: TrainingConfig) -> tuple[Controller | None, Any]:
    """Return the controller, if there is one, and a function from members to an `UpdateRule`."""
    if isinstance(config.optimizer, ControllerConfig):
        controller = adapted(config.optimizer)

        def learned(n_members: int) -> UpdateRule:
            return ControllerRule(controller)

        return controller, learned
    rule = config.genome.rule
    if rule.tail:
        raise UsageError('Objective "meta_loss" averages no weights: leave out `tail_average`.')

    def constant(n_members: int) -> UpdateRule:
        return ConstantRule([rule] * n_members)

    return None, constant

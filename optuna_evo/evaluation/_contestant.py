"""A contestant: an optimizer, how it is built, its defaults, and what of it is tuned.

Everybody declares a space and gets the same number of trials in it. A learning rate's range spans
what the optimizer's publication and its users take, widened where short runs of small networks
need it; the decays of averages are tuned by their distance to 1, on a logarithmic scale.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
import hashlib
import json
from typing import Any
from typing import Literal

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import distribution_to_json
from optuna.distributions import FloatDistribution

from optuna_evo.config import ControllerConfig
from optuna_evo.config import GraftedOptimizer
from optuna_evo.config import NamedOptimizer
from optuna_evo.config import OptimizerConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._workload import Workload
from optuna_evo.rules import Genome


__all__ = [
    "Contestant",
    "DECAYS",
    "given",
    "log",
    "Params",
    "Schedule",
    "scheduled",
    "WARMUP_SHARE",
]

Params = Mapping[str, Any]
Schedule = Literal["own", "constant", "cosine", "warmup"]
WARMUP_SHARE = 0.05  # of the steps, where the schedule has a warm-up
_FACTOR = 10.0  # that the judged optimizer's own learning rate is tuned up and down by


def log(low: float, high: float) -> FloatDistribution:
    """Return a range on a logarithmic scale."""
    return FloatDistribution(low, high, log=True)


DECAYS = {"beta1_gap": log(0.02, 0.3), "beta2_gap": log(1e-3, 0.1)}
"""1 - beta1 and 1 - beta2 of rules with Adam's averages."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One who competes.

    Args:
        key: What it is called on the command line and in names of studies.
        label: What it is called in tables.
        build: Makes the optimizer from parameters, for a workload.
        space: What is tuned, beside the schedule.
        defaults: The parameters at which tuning begins.
        schedules: Schedules it may have where schedules are granted, its usual one first.
        judged: Whether it is the one that is judged.
    """

    key: str
    label: str
    build: Callable[[Params, Workload], OptimizerConfig]
    space: Mapping[str, BaseDistribution]
    defaults: Params
    schedules: tuple[Schedule, ...] = ("cosine", "constant")
    judged: bool = False

    def tuned_space(self, *, granted: bool) -> dict[str, BaseDistribution]:
        """Return what is tuned; a schedule only where schedules are granted."""
        space = dict(self.space)
        if granted and len(self.schedules) > 1:
            space["schedule"] = CategoricalDistribution(self.schedules)
        return space

    def start(self, *, granted: bool) -> dict[str, Any]:
        """Return the parameters of the first tuning trial."""
        first = dict(self.defaults)
        if granted and len(self.schedules) > 1:
            first["schedule"] = self.schedules[0]
        return first

    def optimizer(self, params: Params, workload: Workload, *, granted: bool) -> OptimizerConfig:
        """Return the optimizer that parameters stand for.

        Args:
            params: Of `tuned_space`.
            workload: What it is to train.
            granted: Whether it may have a schedule; without one the learning rate is constant.
        """
        own = {key: value for key, value in params.items() if key != "schedule"}
        schedule: Schedule = "constant"
        if granted:
            schedule = params.get("schedule", self.schedules[0])
        return scheduled(self.build(own, workload), schedule, workload.steps)

    def digest(self, workload: Workload, *, granted: bool) -> str:
        """Return 8 digits: the same for contestants that are built and tuned alike."""
        first = self.start(granted=granted)
        space = self.tuned_space(granted=granted).items()
        whole = [
            self.optimizer(first, workload, granted=granted).fingerprint(),
            first,
            sorted((name, distribution_to_json(each)) for name, each in space),
        ]
        text = json.dumps(whole, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def scheduled(optimizer: OptimizerConfig, schedule: Schedule, steps: int) -> OptimizerConfig:
    """Return the optimizer with a schedule over so many steps; "own" leaves it as it is."""
    if schedule == "own":
        return optimizer
    decays = schedule == "cosine"
    warmup = 0 if schedule == "constant" else max(1, round(WARMUP_SHARE * steps))
    if isinstance(optimizer, Genome):
        return dataclasses.replace(
            optimizer,
            use_warmup=warmup > 0,
            warmup_steps=warmup or optimizer.warmup_steps,
            use_cosine_decay=decays,
            warmup_share=0.0,
            decay=None,
            # warm-up is a share of it: the steps of the run make it that number
            horizon=steps,
        )
    if isinstance(optimizer, NamedOptimizer):
        return dataclasses.replace(optimizer, warmup_steps=warmup, cosine=decays, horizon=steps)
    if isinstance(optimizer, GraftedOptimizer):
        raise _grafted()
    return dataclasses.replace(optimizer, cosine=decays, horizon=steps)


def given(key: str, label: str, optimizer: OptimizerConfig, *, judged: bool = False) -> Contestant:
    """Return what is given as it is: its own learning rate is tuned by a factor, and its schedule.

    The first trial is the optimizer untouched.

    Raises:
        UsageError: If it is a pair (`GraftedOptimizer`), which has two rates and two schedules.
    """
    has_schedule = _has_schedule(optimizer)
    schedules: tuple[Schedule, ...] = ("own", "constant", "cosine")
    return Contestant(
        key=key,
        label=label,
        build=lambda params, workload: _scaled(optimizer, params["lr_factor"]),
        space={"lr_factor": log(1 / _FACTOR, _FACTOR)},
        defaults={"lr_factor": 1.0},
        schedules=schedules if has_schedule else ("own", "cosine"),
        judged=judged,
    )


def _has_schedule(optimizer: OptimizerConfig) -> bool:
    if isinstance(optimizer, Genome):
        rule = optimizer.rule
        return rule.cosine or bool(rule.decay or rule.warmup_steps or rule.warmup_share)
    if isinstance(optimizer, NamedOptimizer):
        return optimizer.cosine or optimizer.warmup_steps > 0
    if isinstance(optimizer, GraftedOptimizer):
        raise _grafted()
    return optimizer.cosine


def _grafted() -> UsageError:
    return UsageError(
        "A grafted optimizer has two learning rates and two schedules: judge its direction; the "
        "table with equal step sizes compares directions alone."
    )


def _scaled(optimizer: OptimizerConfig, factor: float) -> OptimizerConfig:
    """Return the optimizer with its learning rates multiplied."""
    if factor == 1:
        return optimizer
    if isinstance(optimizer, Genome | ControllerConfig):
        return dataclasses.replace(optimizer, lr=optimizer.lr * factor)
    if isinstance(optimizer, GraftedOptimizer):
        raise _grafted()
    from optuna_evo.optimizers import default_lr

    groups = [
        dataclasses.replace(group, options={**group.options, "lr": default_lr(group) * factor})
        for group in optimizer.groups
    ]
    return dataclasses.replace(optimizer, groups=groups)

"""The optimizers to judge against, one row each: `--against adamw,nadamw,sgd`.

Torch's are torch's. Lion is a term of ours (`catalog["lion"]`, held to its paper by tests).
Sophia, Schedule-Free and SOAP are those of the package pytorch-optimizer. Defaults are those that
the class or its paper gives; ranges are around what papers and AlgoPerf's tuning spaces take.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any
from typing import Final

from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import ParamGroup
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._contestant import DECAYS
from optuna_evo.evaluation._contestant import log
from optuna_evo.evaluation._contestant import Params
from optuna_evo.evaluation._workload import Workload
from optuna_evo.rules import catalog


__all__ = ["BASELINES"]

# On digits a range that ended at 0.03 tuned AdamW to 0.029, its end (studies/LOG.md): hence 0.1.
_ADAM_LR = log(1e-4, 1e-1)
_DECAY = log(1e-4, 0.3)
_ADAM = {"lr": 1e-3, "beta1_gap": 0.1, "beta2_gap": 1e-3}


def _named(
    key: str,
    label: str,
    optimizer: str,
    space: Mapping[str, BaseDistribution],
    defaults: Params,
    *,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Contestant:
    def build(params: Params, workload: Workload) -> OptimizerConfig:
        return NamedOptimizer.of(optimizer, **_options(params), **(options or {}))

    return Contestant(key=key, label=label, build=build, space=space, defaults=defaults, **more)


def _options(params: Params) -> dict[str, Any]:
    """Return the arguments of a class from parameters: gaps become `betas`."""
    options = {key: value for key, value in params.items() if not key.endswith("_gap")}
    if "beta1_gap" in params:
        options["betas"] = (1 - params["beta1_gap"], 1 - params["beta2_gap"])
    if "momentum_gap" in params:
        options["momentum"] = 1 - params["momentum_gap"]
    if "alpha_gap" in params:
        options["alpha"] = 1 - params["alpha_gap"]
    return options


def _lion(params: Params, workload: Workload) -> OptimizerConfig:
    return dataclasses.replace(
        catalog["lion"],
        lr=params["lr"],
        beta1=1 - params["beta1_gap"],
        beta2=1 - params["beta2_gap"],
        weight_decay=params["weight_decay"],
    )


def _muon(params: Params, workload: Workload) -> OptimizerConfig:
    if not workload.hidden:
        raise UsageError(
            f"Muon trains hidden matrices, and the model of {workload.name!r} has none: leave it "
            "out of --against, or judge on other tasks."
        )
    names = "|".join(map(re.escape, workload.hidden))
    # Jordan et al.: AdamW has a rate of its own for embeddings, the head, and what is no matrix
    return NamedOptimizer(
        groups=[
            ParamGroup(
                optimizer="Muon",
                options={
                    "lr": params["lr"],
                    "momentum": 1 - params["momentum_gap"],
                    "weight_decay": params["weight_decay"],
                },
                pattern=f"^({names})$",
            ),
            ParamGroup(
                optimizer="AdamW",
                options={"lr": params["adamw_lr"], "weight_decay": params["weight_decay"]},
            ),
        ]
    )


def _rows() -> list[Contestant]:
    adam: dict[str, BaseDistribution] = {"lr": _ADAM_LR, **DECAYS}
    adamw = {**adam, "weight_decay": _DECAY}
    momentum = {
        "lr": log(1e-3, 1.0),
        "momentum_gap": log(0.01, 0.3),
        "weight_decay": log(1e-6, 1e-2),
    }
    package = "pytorch_optimizer."
    return [
        _named(
            "sgd",
            "SGD with momentum",
            "SGD",
            momentum,
            {"lr": 1e-2, "momentum_gap": 0.1, "weight_decay": 1e-6},
        ),
        _named(
            "nesterov",
            "SGD with Nesterov momentum",
            "SGD",
            momentum,
            {"lr": 1e-2, "momentum_gap": 0.1, "weight_decay": 1e-6},
            options={"nesterov": True},
        ),
        _named(
            "rmsprop",
            "RMSprop",
            "RMSprop",
            {
                "lr": log(1e-4, 1e-1),
                "alpha_gap": log(1e-3, 0.1),
                "momentum": FloatDistribution(0, 0.95),
            },
            {"lr": 1e-2, "alpha_gap": 0.01, "momentum": 0.0},
        ),
        _named("adam", "Adam", "Adam", adam, _ADAM),
        _named("adamw", "AdamW", "AdamW", adamw, {**_ADAM, "weight_decay": 1e-2}),
        _named(
            "nadamw",
            "NAdamW",
            "NAdam",
            adamw,
            {**_ADAM, "lr": 2e-3, "weight_decay": 1e-2},
            options={"decoupled_weight_decay": True},
        ),
        _named(
            "adafactor",
            "Adafactor",
            "Adafactor",
            {"lr": log(1e-3, 1.0), "weight_decay": _DECAY},
            {"lr": 1e-2, "weight_decay": 1e-4},
        ),
        Contestant(
            key="lion",
            label="Lion",
            build=_lion,
            space={"lr": log(1e-5, 1e-2), **DECAYS, "weight_decay": log(1e-4, 1.0)},
            defaults={"lr": 1e-4, "beta1_gap": 0.1, "beta2_gap": 0.01, "weight_decay": 1e-4},
        ),
        Contestant(
            key="muon",
            label="Muon, AdamW for the rest",
            build=_muon,
            space={
                "lr": log(1e-3, 0.3),
                "adamw_lr": _ADAM_LR,
                "momentum_gap": log(0.02, 0.3),
                "weight_decay": _DECAY,
            },
            defaults={"lr": 2e-2, "adamw_lr": 1e-3, "momentum_gap": 0.05, "weight_decay": 1e-2},
        ),
        _named(
            "soap",
            "SOAP",
            f"{package}SOAP",
            {
                "lr": _ADAM_LR,
                "beta1_gap": log(0.02, 0.3),
                "beta2_gap": log(5e-3, 0.1),
                "weight_decay": _DECAY,
            },
            {"lr": 3e-3, "beta1_gap": 0.05, "beta2_gap": 0.05, "weight_decay": 1e-2},
        ),
        _named(
            "sophia",
            "Sophia-H",
            f"{package}SophiaH",
            {
                "lr": log(1e-3, 1.0),
                "beta1_gap": log(0.02, 0.1),
                "beta2_gap": log(1e-3, 0.05),
                "weight_decay": _DECAY,
                "p": log(1e-3, 1.0),
            },
            {"lr": 6e-2, "beta1_gap": 0.04, "beta2_gap": 0.01, "weight_decay": 1e-4, "p": 1e-2},
        ),
        _named(
            "schedulefree",
            "Schedule-Free AdamW",
            f"{package}ScheduleFreeAdamW",
            adamw,
            {**_ADAM, "lr": 2.5e-3, "weight_decay": 1e-4},
            # its average takes the place of a decay; a warm-up is part of it
            schedules=("warmup",),
        ),
    ]


BASELINES: Final[Mapping[str, Contestant]] = {row.key: row for row in _rows()}
"""By the names that `--against` takes."""

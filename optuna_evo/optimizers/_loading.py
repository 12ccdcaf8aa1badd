"""Whether a saved state fits an optimizer, and what torch would lose of it."""

from typing import Any

import torch

from optuna_evo.optimizers._buckets import STATES
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.rules import Genome
from optuna_evo.rules import Needs
from optuna_evo.rules import UpdateRule


__all__ = ["check_averages", "check_owner", "restore_averages"]


def check_owner(state_dict: dict[str, Any], owner: Genome | UpdateRule) -> None:
    """Raise unless a state belongs to this genome or rule."""
    own = owner.fingerprint()
    if not isinstance(owner, Genome):
        found = {group.get("rule") for group in state_dict["param_groups"]}
        if found != {own}:
            raise ValueError(
                f"The state does not belong to rule {own}, which this optimizer runs, but to "
                f"{', '.join(map(str, found))}."
            )
        if "coefficients" not in state_dict:
            raise ValueError(
                f"The state holds no `coefficients` of rule {own}, as one that was gathered by a "
                "ZeroRedundancyOptimizer does not: save the optimizer's own `state_dict()`."
            )
        return
    for group in state_dict["param_groups"]:
        if "genome" not in group:
            raise ValueError(
                "The state was not saved by an EvolvedOptimizer: its parameter groups hold no "
                f"`genome`, only {sorted(group)}."
            )
        saved = group["genome"]
        genome = saved if isinstance(saved, Genome) else Genome.from_dict(saved)
        if genome.fingerprint() != own:
            raise ValueError(
                f"The state belongs to genome {genome.fingerprint()}, this optimizer runs {own}: "
                'build it with `Genome.from_dict(state_dict["param_groups"][0]["genome"])` first.'
            )


def check_averages(state_dict: dict[str, Any], needs: Needs, owner: Genome | UpdateRule) -> None:
    """Raise unless a state has the averages that a genome reads."""
    names = [STATES[symbol] for symbol in sorted(needs)]
    for state in state_dict["state"].values():
        if lacking := [name for name in names if name not in state]:
            raise ValueError(
                f"The state holds no `{lacking[0]}`, which genome {owner.fingerprint()} reads: "
                "its rule has other averages."
            )


def restore_averages(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    """Take over averages as they are: torch has rounded them to the type of the parameter."""
    saved = [i for group in state_dict["param_groups"] for i in group["params"]]
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for i, p in zip(saved, params, strict=True):
        wide = average_dtype(p.dtype)
        for name, value in state_dict["state"].get(i, {}).items():
            if name in STATES.values() and not value.dtype == p.dtype == wide:
                optimizer.state[p][name] = value.to(p.device, wide, copy=True)

"""What a parameter group says, in one form: read or refused, never ignored.

The decays of m and v are `betas`, as in torch's Adam: `OneCycleLR` and `CyclicLR` look for them
there and cycle the first. Groups and checkpoints that say `beta1` and `beta2` mean the same.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Final

from torch import Tensor

from optuna_evo.optimizers._roles import check_role
from optuna_evo.rules import Genome
from optuna_evo.rules import Rule


__all__ = ["check_group", "group_settings", "merge_betas", "plain", "restore_group", "settings_of"]

_WAYS: Final = ("foreach", "fused", "capturable")
_BETAS: Final = ("beta1", "beta2")
_SCALARS: Final = ("betas", "weight_decay", "eps", *_BETAS)
# Of torch's optimizers, with the value under which they change nothing here.
_FOREIGN: Final = {
    "momentum": 0,
    "dampening": 0,
    "nesterov": False,
    "amsgrad": False,
    "centered": False,
    "alpha": None,
    "rho": None,
    "lr_decay": 0,
    "momentum_decay": None,
    "differentiable": False,
    "decoupled_weight_decay": True,
}


def group_settings(rule: Rule) -> dict[str, Any]:
    """Return what a group of a genome may have of its own."""
    s = rule.settings()
    betas = (s.pop("beta1"), s.pop("beta2"))
    return plain(s | {"betas": betas})  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """Return a value in types that `torch.load(weights_only=True)` reads."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value.item() if hasattr(value, "item") else value  # a number of numpy


def check_group(
    group: dict[str, Any], defaults: Mapping[str, Any], ways: Mapping[str, Any]
) -> None:
    """Bring a new group into its one form.

    Args:
        group: As the user gave it.
        defaults: Of the optimizer.
        ways: `foreach`, `fused` and `capturable` of the optimizer. `ZeroRedundancyOptimizer`
            repeats these, the genome and all other keywords in each group.

    Raises:
        ValueError: If the group says what would not be done.
    """
    _check_owner(group, defaults)
    for name in _WAYS:
        if group.pop(name, None) not in (None, False, ways[name]):
            raise ValueError(
                f"`{name}` is one for all groups, here {ways[name]}: say it to the optimizer, not "
                "in a group."
            )
    for name, neutral in _FOREIGN.items():
        if name in group and group[name] not in (None, neutral):
            if name == "decoupled_weight_decay" and not group.get("weight_decay"):
                continue
            raise ValueError(
                f"A parameter group has `{name}`={group[name]}, which this optimizer does not do: "
                "leave it out; a group may have `lr`, `betas`, `weight_decay`, `eps`, `maximize`."
            )
    if "betas" not in defaults:
        if said := [name for name in _SCALARS if name in group]:
            raise ValueError(
                f"A parameter group has `{said[0]}`, which the rule computes by itself: leave it "
                "out; a group of a rule may have `lr` and `maximize`."
            )
    elif "betas" in group and any(name in group for name in _BETAS):
        raise ValueError("A parameter group says `betas` twice: leave out `beta1` and `beta2`.")
    if isinstance(group.get("role"), list | tuple) and isinstance(group["params"], Iterator):
        group["params"] = list(group["params"])
    check_role(group.get("role"), group["params"])
    if group.get("total_steps", 0) is None:
        del group["total_steps"]
    _fill(group, defaults)
    _check_values(group)


def restore_group(group: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Bring a loaded group into its one form; what it does not know has its default."""
    for name in _WAYS:
        group.pop(name, None)
    _check_owner(group, defaults)
    _fill(group, defaults)
    if "betas" in defaults:  # formats such as JSON have no pairs
        group["betas"] = tuple(group["betas"])


def merge_betas(group: dict[str, Any]) -> None:
    """Let `beta1` and `beta2`, where they are said, replace those in `betas`."""
    if "beta1" in group or "beta2" in group:
        beta1, beta2 = group["betas"]
        group["betas"] = (group.pop("beta1", beta1), group.pop("beta2", beta2))


def settings_of(group: Mapping[str, Any], *, on_device: bool) -> dict[str, Any]:
    """Return the settings by the names that `step_numbers` reads.

    Args:
        group: In its one form.
        on_device: Whether tensors stay tensors, without their dimensions of length 1.
    """
    beta1, beta2 = group["betas"]
    settings = {
        "lr": group["lr"],
        "beta1": beta1,
        "beta2": beta2,
        "eps": group["eps"],
        "weight_decay": group["weight_decay"],
    }
    if on_device:
        return {k: v.reshape(()) if isinstance(v, Tensor) else v for k, v in settings.items()}
    return {name: float(value) for name, value in settings.items()}


def _check_owner(group: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Let the group name the genome or rule in plain types, and no other one."""
    if "genome" not in group:
        return
    said = group["genome"]
    if "genome" not in defaults:  # the rule itself, or what stands for it
        group["genome"] = defaults["rule"]
        said = said if isinstance(said, str) else said.fingerprint()
        if said == defaults["rule"]:
            return
    elif said == defaults["genome"]:
        return
    else:
        genome = said if isinstance(said, Genome) else Genome.from_dict(said)
        group["genome"] = plain(genome.to_dict())
        own = Genome.from_dict(defaults["genome"])
        if genome.fingerprint() == own.fingerprint():
            return
    raise ValueError(
        "A parameter group has another genome than the optimizer: one optimizer runs one rule; "
        "leave `genome` out of the group."
    )


def _fill(group: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    for name, default in defaults.items():
        if name != "differentiable":  # torch's own, not read here
            group.setdefault(name, default)
    if "betas" in defaults:
        merge_betas(group)


def _check_values(group: Mapping[str, Any]) -> None:
    """Raise as torch's Adam does for what no step can be done with."""
    lr = group["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, got shape {tuple(lr.shape)}.")
    if not lr >= 0:
        raise ValueError(f"Invalid learning rate: {lr}; it must be 0 or more.")
    if "betas" not in group:
        return
    betas = group["betas"]
    if not isinstance(betas, (list, tuple)) or len(betas) != 2:
        raise ValueError(f"`betas` must be a pair of numbers, got {betas!r}.")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(
                f"Tensor betas[{i}] must be 1-element, got shape {tuple(beta.shape)}."
            )
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}; allowed is [0, 1).")
    for name in ("weight_decay", "eps"):
        if not group[name] >= 0:
            raise ValueError(f"Invalid {name} value: {group[name]}; it must be 0 or more.")

"""Whether a saved state fits an optimizer, and what torch would lose of it."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import Final

import torch

from optuna_evo.optimizers._buckets import STATES
from optuna_evo.optimizers._dense import BASIS
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._tail import TAIL
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule


__all__ = ["check_averages", "check_owner", "checked_loading"]

_WIDE: Final = frozenset({*STATES.values(), *BASIS.values(), TAIL})


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


def check_averages(
    state_dict: dict[str, Any], kept: Sequence[Sequence[str]], owner: Genome | UpdateRule
) -> None:
    """Raise unless a state has what a genome reads.

    Args:
        state_dict: The state.
        kept: Names in the state of each parameter.
        owner: The genome.
    """
    saved = [i for group in state_dict["param_groups"] for i in group["params"]]
    names = dict(zip(saved, kept, strict=False))
    for i, state in state_dict["state"].items():
        if lacking := [name for name in names.get(i, ()) if name not in state]:
            raise ValueError(
                f"The state holds no `{lacking[0]}`, which genome {owner.fingerprint()} reads: "
                "its rule has other averages."
            )


@contextlib.contextmanager
def checked_loading(
    optimizer: torch.optim.Optimizer,
    check: Callable[[dict[str, Any]], None],
    then: Callable[[dict[str, Any]], None],
) -> Iterator[None]:
    """Let a state that is loaded meanwhile be checked, as the hooks of others have left it.

    Args:
        optimizer: Whose state.
        check: Raises for a state that does not fit.
        then: Called when all is loaded.
    """
    final: dict[str, Any] = {}

    def last(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        check(state)
        final.update(state)

    def first(optimizer: torch.optim.Optimizer) -> None:
        restore_averages(optimizer, final)
        then(final)

    handles = (
        optimizer.register_load_state_dict_pre_hook(last),
        optimizer.register_load_state_dict_post_hook(first, prepend=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def restore_averages(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    """Take over averages as they are: torch has rounded them to the type of the parameter."""
    saved = [i for group in state_dict["param_groups"] for i in group["params"]]
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for i, p in zip(saved, params, strict=True):
        wide = average_dtype(p.dtype)
        for name, value in state_dict["state"].get(i, {}).items():
            if name in _WIDE and not value.dtype == p.dtype == wide:
                optimizer.state[p][name] = value.to(p.device, wide, copy=True)

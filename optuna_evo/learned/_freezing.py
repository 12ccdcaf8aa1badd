"""Hold parameters of a controller fixed: they become buffers, so that nothing trains them.

They stay in the `state_dict` under their names, and are not among the meta-parameters that
evolution strategies perturb.
"""

from collections.abc import Collection

import torch
from torch import nn


__all__ = ["freeze_"]


def freeze_(module: nn.Module, *, keep: Collection[str] = ()) -> None:
    """Turn parameters into buffers, in place.

    Args:
        module: Whose parameters.
        keep: Names, as in `named_parameters`, of those that stay parameters.

    Raises:
        ValueError: If a name is none of the module's parameters.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> freeze_(layer, keep=["bias"])
        >>> [name for name, _ in layer.named_parameters()], [*layer.state_dict()]
        (['bias'], ['bias', 'weight'])
    """
    named = dict(module.named_parameters())
    if unknown := sorted({*keep} - named.keys()):
        raise ValueError(f"There is no parameter {unknown[0]!r}; there are {sorted(named)}.")
    for name in named.keys() - {*keep}:
        owner_name, _, last = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        value = torch.empty_like(named[name]).copy_(named[name].detach())
        delattr(owner, last)
        owner.register_buffer(last, value)

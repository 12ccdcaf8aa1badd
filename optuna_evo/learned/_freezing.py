"""Hold a controller fixed: its parameters become buffers, so that nothing trains them.

They stay in the `state_dict` under their names, and are not among the meta-parameters that
evolution strategies perturb.
"""

import torch
from torch import nn


__all__ = ["freeze_"]


def freeze_(module: nn.Module) -> None:
    """Turn all parameters into buffers, in place.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> freeze_(layer)
        >>> [*layer.parameters()], [*layer.state_dict()]
        ([], ['weight', 'bias'])
    """
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, torch.empty_like(parameter).copy_(parameter).detach())

"""Which parameters are hidden matrices: those that matrix terms move.

By module where a model is there (`roles_of`), else by shape: a hidden matrix is a tensor of at
least two dimensions that is none in the end, convolutions flattened to (out, in * height * width)
as Muon does. A row or column alone is none, nor is the last matrix of all parameters, which is the
head; embeddings cannot be told from shapes. A parameter group's `role` overrides it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import re
from typing import Any
from typing import Final

from torch import nn
from torch import Tensor

from optuna_evo.rules import Layout


__all__ = ["check_role", "hidden_in_groups", "hidden_of_layout", "is_matrix", "roles_of", "ROLES"]

ROLES: Final = ("matrix", "elementwise")
"""What a group's `role` may be; or a list with one for each parameter."""

_OUTER: Final = re.compile(r"emb|\bw[tp]e\b|\b(lm_|cls_)?head\b|classifier|logits", re.IGNORECASE)


def is_matrix(shape: Sequence[int]) -> bool:
    """Tell whether a tensor has rows and columns, flattened to (first, all others)."""
    return len(shape) >= 2 and shape[0] > 1 and math.prod(shape[1:]) > 1


def hidden_of_layout(layout: Layout) -> list[bool]:
    """Tell which tensors are hidden matrices by their shapes and their order."""
    matrices = [t for t, shape in enumerate(layout) if is_matrix(shape)]
    return [t in matrices[:-1] for t in range(len(layout))]


def roles_of(model: nn.Module) -> list[str]:
    """Return the role of each of a model's parameters, in the order of `model.parameters()`.

    Embeddings are told by their modules, heads and embeddings by names such as "wte", "lm_head"
    and "classifier"; where no name tells a head, it is the last matrix.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> roles_of(model)
        ['matrix', 'elementwise', 'elementwise', 'elementwise']
        >>> group = {"params": model.parameters(), "role": roles_of(model)}
        >>> optimizer = EvolvedOptimizer([group], catalog["muon"])
    """
    embeddings = {
        id(p)
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        for p in module.parameters(recurse=False)
    }
    named = [(name, p) for name, p in model.named_parameters()]
    hidden = _hidden([(p, name) for name, p in named if id(p) not in embeddings])
    return [ROLES[id(p) not in hidden] for _, p in named]


def hidden_in_groups(groups: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the ids of the parameters that are hidden matrices.

    Args:
        groups: Parameter groups; their `role`, and `param_names` where torch was given names.
    """
    found: set[int] = set()
    unsaid: list[tuple[Tensor, str]] = []
    for group in groups:
        params, role = group["params"], group.get("role")
        if role is None:
            unsaid += zip(params, group.get("param_names") or [""] * len(params), strict=False)
            continue
        said = [role] * len(params) if isinstance(role, str) else role
        pairs = zip(params, said, strict=True)
        found |= {id(p) for p, one in pairs if one == "matrix" and is_matrix(p.shape)}
    return found | _hidden(unsaid)


def check_role(role: Any, params: Any) -> None:
    """Raise a ValueError unless a group of these parameters may say this."""
    if role is None or (isinstance(role, str) and role in ROLES):
        return
    n = len(params) if isinstance(params, Sequence) else 1
    if not isinstance(role, list | tuple) or len(role) != n or not {*role} <= {*ROLES}:
        raise ValueError(
            f"`role` of a parameter group must be one of {ROLES}, or a list with one for each of "
            f"its {n} parameters, got {str(role)[:100]}."
        )


def _hidden(named: list[tuple[Tensor, str]]) -> set[int]:
    """Return the ids of hidden matrices among parameters with their names, or "" for none."""
    matrices = [(p, name) for p, name in named if is_matrix(p.shape)]
    inner = [p for p, name in matrices if not _OUTER.search(name)]
    told_head = any("head" in n or "classifier" in n or "logits" in n for _, n in matrices)
    return {id(p) for p in (inner if told_head else inner[:-1])}

"""Updates that are no elementwise functions of (g, m, v), computed outside of the kernels.

They enter a kernel as one more tensor, the dense direction, whose number is the learning rate.

Shape legend: P members of one rule's structure, or 1; a tensor of the members is (P, *shape).
"""

from collections.abc import Mapping
from collections.abc import MutableMapping
from collections.abc import Sequence
from typing import Any
from typing import Final

import torch
from torch import Tensor

from optuna_evo.optimizers._reference import by_name
from optuna_evo.optimizers._reference import Elements
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import cautious
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import LONGEST
from optuna_evo.rules import norm_bounded
from optuna_evo.rules import orthogonalised
from optuna_evo.rules import rms_normalised
from optuna_evo.rules import rotated_update
from optuna_evo.rules import Rule


__all__ = ["BASIS", "basis_of", "dense_direction", "needs_basis", "structure_of"]

BASIS: Final = {
    "left": "basis_left",
    "left_factor": "basis_left_factor",
    "right": "basis_right",
    "right_factor": "basis_right_factor",
    "square": "basis_sq",
}
"""The names in the state of a parameter of what SOAP keeps."""


def needs_basis(rule: Rule, *, hidden: bool) -> bool:
    """Tell whether SOAP is among the terms of a tensor."""
    return hidden and rule.has_basis


def basis_of(shape: Sequence[int], like: Tensor, lead: Sequence[int] = ()) -> dict[str, Tensor]:
    """Return the basis of a matrix as it begins: zeros.

    Args:
        shape: Of the tensor.
        like: Has its type, as averages have, and its device.
        lead: Dimensions in front.
    """
    rows = shape[0]
    columns = int(torch.Size(shape[1:]).numel())
    basis = {"square": like.new_zeros(*lead, rows, columns)}
    for side, n in (("left", rows), ("right", columns)):
        if n <= LONGEST:
            basis |= {name: like.new_zeros(*lead, n, n) for name in (side, f"{side}_factor")}
    return basis


def dense_direction(
    rule: Rule,
    w: Tensor,
    g: Tensor,
    averages: Mapping[str, Tensor],
    numbers: Sequence[Any],
    *,
    step: int,
    hidden: bool,
    matrix: Sequence[Any],
    basis: MutableMapping[str, Tensor] | None = None,
    norm_bound: Any = None,
) -> Tensor:
    """Return an update before the learning rate, (P, *shape); hidden matrices are (P, r, c).

    Args:
        rule: Says which terms and modifiers there are.
        w: Weights, in the type of averages as all tensors are.
        g: Gradients.
        averages: By their symbols, before the step; they are left alone.
        numbers: `unit_numbers`, each a number or (P, 1, ...).
        step: Number of the step, counted from 1.
        hidden: Whether it is a hidden matrix.
        matrix: `matrix_numbers`, likewise.
        basis: What SOAP keeps, changed in place.
        norm_bound: That of the members, likewise; None: the rule's.
    """
    n = by_name(numbers)
    x = Elements(_clipped(g, n["clip"]), dict(averages), n)
    for symbol, average in averages.items():
        if not AVERAGES[symbol].after_use:
            setattr(x, symbol, AVERAGES[symbol].update(average, x))
    if hidden and rule.has_matrix:
        u = _matrix_update(rule, x, matrix, step - 1, basis)
    else:
        u = torch.zeros_like(g)
        for term, number, c in zip(DIRECTIONS, numbers, rule.present, strict=False):
            if c:  # 0 * inf is NaN
                assert term.row.expression is not None
                u += number * term.row.expression(x)
    if rule.cautious:
        u = cautious(u, x.g)
    if rule.rms_normalised:
        u = rms_normalised(u)
    if rule.norm_bound is not None:
        u = norm_bounded(u, w, rule.norm_bound if norm_bound is None else norm_bound)
    return u


def structure_of(rule: Rule) -> tuple[Any, ...]:
    """Return what rules must have in common for their members to be computed at once."""
    return (
        tuple(c != 0 for c in rule.present),
        tuple(c != 0 for c in rule.matrix),
        rule.cautious,
        rule.rms_normalised,
        rule.norm_bound is None,
        rule.needs,
    )


def _matrix_update(
    rule: Rule,
    x: Any,
    coefficients: Sequence[Any],
    step: int,
    basis: MutableMapping[str, Tensor] | None,
) -> Tensor:
    """Return the sum of the matrix terms, (P, r, c)."""
    averaged = "m" in rule.needs_of(hidden=True)
    m = x.m if averaged else x.g
    u = torch.zeros_like(x.g)
    orthogonal, soap = coefficients
    if rule.matrix[0]:
        u += orthogonal * orthogonalised(m.lerp(x.g, x.m_share) if averaged else m)
    if rule.matrix[1]:
        assert basis is not None
        squares = (x.v_decay, x.v_share, x.rms_scale, x.eps)
        u += soap * rotated_update(x.g, m, basis, step, *squares, torch.linalg)
    return u


def _clipped(g: Tensor, bound: Any) -> Tensor:
    if isinstance(bound, Tensor):
        return torch.maximum(torch.minimum(g, bound), -bound)
    return g.clamp(-bound, bound)

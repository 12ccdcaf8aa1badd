"""The parts of a written rule that only some rules have: dense updates, schedules, averages."""

from __future__ import annotations

import ast
from collections.abc import Callable
import inspect
import textwrap
from typing import Any

from optuna_evo.rules import _dense
from optuna_evo.rules import _numbers
from optuna_evo.rules._rule import Rule
from optuna_evo.rules._rule import WSD_SHARE


__all__ = [
    "averaged",
    "basis",
    "functions",
    "matrices",
    "matrix_update",
    "modifiers",
    "schedule",
    "tail",
]


def schedule(rule: Rule) -> list[str]:
    """Return the lines of the function of the schedule; none if there is no schedule."""
    warms_up = bool(rule.warmup_steps or rule.warmup_share)
    if not (warms_up or rule.cosine or rule.decay):
        return []
    lines = [
        "",
        "",
        "def _scale(done, total_steps):",
        '    """Return the factor on the learning rate after `done` steps."""',
    ]
    if rule.warmup_share:
        lines.append(f"    warmup = max(1, round({rule.warmup_share!r} * total_steps))")
    elif rule.warmup_steps:
        lines.append(f"    warmup = {rule.warmup_steps!r}")
        if rule.horizon is not None:
            lines.append("    if total_steps is not None:")
            share = f"{rule.warmup_steps!r} * total_steps / {rule.horizon!r}"
            lines.append(f"        warmup = max(1, round({share}))")
    if warms_up:
        lines.append("    scale = min(1.0, (done + 1) / warmup)")
    before = "scale * " if warms_up else ""
    if rule.cosine:
        lines.append("    angle = math.pi * min(1.0, done / total_steps)")
        lines.append(f"    scale = {before}0.5 * (1.0 + math.cos(angle))")
    if rule.decay:
        lines.append("    left = 1.0 - min(1.0, done / total_steps)")
        left = "left" if rule.decay == "linear" else f"min(1.0, left / {WSD_SHARE!r})"
        lines.append(f"    scale = {before}{left}")
    return [*lines, "    return scale"]


def functions(rule: Rule) -> list[str]:
    """Return the functions that a rule calls, as they stand in this package without types."""
    used: list[Callable[..., Any]] = []
    if rule.nadam:
        used += [_numbers.nadam_shares, _numbers.nadam_mu, _numbers.nadam_product]
    if rule.matrix[0]:
        used.append(_dense.orthogonalised)
    if rule.has_basis:
        used.append(_dense.rotated_update)
    used += [_dense.cautious] if rule.cautious else []
    used += [_dense.rms_normalised] if rule.rms_normalised else []
    used += [_dense.norm_bounded] if rule.norm_bound is not None else []
    used += [_dense.per_member] if rule.is_modified else []
    return [line for function in used for line in ("", "", *_written(function))]


def matrices(rule: Rule) -> list[str]:
    """Return the function that tells hidden matrices from all else, if the rule does."""
    return _MATRICES.splitlines() if rule.has_matrix else []


def matrix_update(rule: Rule) -> list[str]:
    """Return the lines that compute the update of a hidden matrix from g and m."""
    has_m = "m" in rule.needs_of(hidden=True)
    lines = ["g = g[None].flatten(2)"]
    lines += ["m = m[None].flatten(2)"] if has_m else []
    orthogonal, soap = rule.matrix
    if orthogonal:
        inner = "m.lerp(g, m_share)" if has_m else "g"
        lines.append(f"u = {orthogonal!r} * orthogonalised({inner})")
    if soap:
        correction = '1 - beta2 ** max(1, state["step"] - 1)'
        lines.append(f"scale = ({correction}) ** -0.5" if rule.bias_correction else "scale = 1.0")
        weight = repr(soap)
        if rule.bias_correction:
            lines.append('correction = 1 - beta1 ** max(1, state["step"] - 1)')
            weight = f"{soap!r} / correction"
        lines += [
            "turned = rotated_update(",
            f'    *(g, {"m" if has_m else "g"}, state["basis"], state["step"] - 1),',
            '    *(beta2, 1 - beta2, scale, group["eps"], torch.linalg),',
            ")",
            f"u {'+=' if orthogonal else '='} {weight} * turned",
        ]
    return lines


def basis() -> list[str]:
    """Return the lines that begin the basis of a hidden matrix."""
    return [
        "rows, columns = len(p), p[0].numel()",
        'state["basis"] = {"square": p.new_zeros(1, rows, columns, dtype=wide)}',
        'for side, n in (("left", rows), ("right", columns)):',
        f'    for name in (side, side + "_factor") if n <= {_dense.LONGEST} else ():',
        '        state["basis"][name] = p.new_zeros(1, n, n, dtype=wide)',
    ]


def modifiers(rule: Rule) -> list[str]:
    """Return the lines that modify u, a stack of one as g and w are."""
    lines = ["u = cautious(u, g)"] if rule.cautious else []
    lines += ["u = rms_normalised(u)"] if rule.rms_normalised else []
    if rule.norm_bound is not None:
        lines.append(f"u = norm_bounded(u, w[None].reshape(u.shape), {rule.norm_bound!r})")
    return lines


def tail(rule: Rule) -> list[str]:
    """Return the lines that average the weights of a tensor."""
    if not rule.tail:
        return []
    return [
        f'tail = max(1, round({rule.tail!r} * group["total_steps"]))',
        'n = group["schedule_step"] + 1 - (group["total_steps"] - tail)',
        'if n >= 1 and "tail_average" in state:',
        '    state["tail_average"].lerp_(p.to(wide), 1 / n)',
        "elif n >= 1:",
        '    state["tail_average"] = p.to(wide, copy=True)',
    ]


def averaged(rule: Rule) -> list[str]:
    """Return the method that lets a model have its averaged weights, if the rule averages."""
    return textwrap.indent(_AVERAGED, "    ").splitlines() if rule.tail else []


def _written(function: Callable[..., Any]) -> list[str]:
    """Return the source of a function without the types of its arguments."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.unparse(tree).splitlines()


_MATRICES = '''

def _hidden(groups):
    """Return the ids of hidden matrices: as a group's `role` says, else all but the last."""
    found, unsaid = set(), []
    for group in groups:
        role, params = group["role"], group["params"]
        if role is None:
            unsaid += params
            continue
        roles = [role] * len(params) if isinstance(role, str) else role
        found |= {id(p) for p, one in zip(params, roles) if one == "matrix" and _is_matrix(p)}
    return found | {id(p) for p in [p for p in unsaid if _is_matrix(p)][:-1]}


def _is_matrix(p):
    return p.ndim >= 2 and len(p) > 1 and p[0].numel() > 1
'''

_AVERAGED = '''
@contextlib.contextmanager
@torch.no_grad()
def averaged(self):
    """Hold averages of the last weights in their place meanwhile, to evaluate a model."""
    found = [(p, s["tail_average"]) for p, s in self.state.items() if "tail_average" in s]
    kept = [p.clone() for p, _ in found]
    for p, average in found:
        p.copy_(average)
    try:
        yield
    finally:
        for (p, _), weights in zip(found, kept):
            p.copy_(weights)
'''

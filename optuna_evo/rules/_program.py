"""A rule as a file of Python that needs nothing but torch.

The lines of the update are made from the rows of `TermType` and `AVERAGES`: their expressions are
called with operands that write down what is done to them. State that the rule does not read,
clipping and schedules that it does not have are not in the file.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
import pprint
import textwrap

from optuna_evo.rules import _program_parts as parts
from optuna_evo.rules._genome import Genome
from optuna_evo.rules._rule import Rule
from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import TermType
from optuna_evo.rules._written import Names
from optuna_evo.rules._written import text_of
from optuna_evo.rules._written import Written


__all__ = ["FIRST_LINE", "program"]

FIRST_LINE = "An update rule as an optimizer in one file: it needs nothing but torch."
"""Of a module: what tells ours from others."""


def program(genome: Genome, *, name: str = "EvolvedRule", origin: str = "") -> str:
    """Return the text of a module with one class, an optimizer that updates by a genome's rule.

    It steps as `EvolvedOptimizer(..., foreach=False)` does, bit for bit.

    Args:
        genome: What it computes; the module ends with it as data.
        name: Name of the class.
        origin: Where the rule comes from, for the module's docstring.

    Raises:
        ValueError: If the name is none for a class.

    Example:
        >>> from optuna_evo import catalog
        >>> print(program(catalog["lion"], name="Lion"))
    """
    if not name.isidentifier():
        raise ValueError(f"The name of a class must be an identifier, got {name!r}.")
    rule = genome.rule
    has_betas, has_eps = bool(rule.betas), "eps" in rule.reads
    arguments = [f"lr={rule.lr!r}", "*"]
    checks = [("not float(lr) >= 0", "`lr` must not be negative, got {lr}.")]
    if has_betas:
        arguments.append(f"betas={(rule.beta1, rule.beta2)!r}")
        none_below = "not all(0 <= beta < 1 for beta in betas)"
        checks.append((none_below, "`betas` must be in [0, 1), got {betas}."))
    if has_eps:
        arguments.append(f"eps={rule.eps!r}")
        checks.append(("not eps >= 0", "`eps` must not be negative, got {eps}."))
    arguments.append(f"weight_decay={rule.weight_decay!r}")
    checks.append(
        ("not weight_decay >= 0", "`weight_decay` must not be negative: {weight_decay}.")
    )
    if rule.needs_length or rule.warmup_steps:
        arguments.append(f"total_steps={rule.horizon!r}")
        low = "total_steps is not None and total_steps < 1"
        checks.append((low, "`total_steps` must be positive, got {total_steps}."))
    if rule.needs_length:
        what = "`lr` decays" if rule.cosine else "the schedule goes"
        checks.append(("total_steps is None", f"Say over how many `total_steps` {what}."))
    arguments.append("maximize=False")
    names = [argument.partition("=")[0] for argument in arguments if argument != "*"]
    length = 'group["total_steps"]' if "total_steps" in names else "None"
    schedule = parts.schedule(rule)
    scale = f' * _scale(group["schedule_step"], {length})' if schedule else ""
    quoted = origin.replace("\\", "/").replace('"', "'")
    return _MODULE.format(
        name=name,
        genome=pprint.pformat(genome.to_dict(), width=95, sort_dicts=False),
        equation="\n".join(
            textwrap.fill(line, 95, initial_indent="    ", subsequent_indent="        ")
            for line in rule.equation().splitlines()
        ),
        origin="\n" + textwrap.fill(quoted, 95) + "\n" if origin else "",
        imports=_imports(rule),
        role='            "role": None,\n' if rule.has_matrix else "",
        inner="                inner = id(p) in hidden\n" if rule.has_matrix else "",
        hidden="        hidden = _hidden(self.param_groups)\n" if rule.has_matrix else "",
        averaged=_indented(parts.averaged(rule), 0),
        tail=_indented(parts.tail(rule), 16),
        documented=_indented([_MEANING[n] for n in names], 8),
        arguments=_indented([f"{argument}," for argument in arguments], 8),
        checks=_indented(
            [
                line
                for test, message in checks
                for line in (f"if {test}:", f'    raise ValueError(f"{message}")')
            ],
            8,
        ).replace('(f"Say', '("Say'),
        defaults=_indented([f'"{n}": {n},' for n in names], 12),
        scale=scale,
        states=_indented(_states(rule), 20),
        numbers=_indented(_numbers(rule), 16),
        update=_indented(_update(rule), 16),
        schedule=_indented([*schedule, *parts.matrices(rule), *parts.functions(rule)], 0),
    )


def _imports(rule: Rule) -> str:
    needed = {"contextlib": bool(rule.tail), "functools": bool(rule.nadam), "math": rule.cosine}
    lines = [f"import {name}\n" for name, used in needed.items() if used]
    return "".join(lines) + ("\n" if lines else "") + "import torch"


_MEANING = {
    "lr": "lr: Learning rate.",
    "betas": "betas: Decays of the averages.",
    "eps": "eps: Added to denominators.",
    "weight_decay": "weight_decay: Decoupled weight decay.",
    "total_steps": "total_steps: Length of the run, which the schedule is scaled to.",
    "maximize": "maximize: Ascend instead of descend.",
}


def _terms(rule: Rule) -> tuple[list[tuple[str, str]], set[str]]:
    """Return number and expression of each term of the rule, and all that is read.

    An update that is modified has the learning rate afterwards.
    """
    names, lines = Names(), []
    rate, rate_m = ("1.0", "m_scale") if rule.is_modified else ("lr", "lr_m")
    shares = {TermType.ADAM_TERM: "nadam_m", TermType.RMS_NORM: "nadam_g"} if rule.nadam else {}
    for coefficient, term in zip(rule.coefficients, DIRECTIONS, strict=True):
        if not coefficient and term not in shares:
            continue
        assert term.row.expression is not None
        # an average enters these in proportion: its correction is in the number
        scaled = "m" in term.row.reads and not term.row.sign_only and rule.bias_correction
        number = f"{rate_m if scaled else rate} * {coefficient!r}" if coefficient else ""
        if term in shares:
            number += f"{' + ' if number else ''}{rate} * {rule.nadam!r} * {shares[term]}"
        lines.append((f"({number})", text_of(term.row.expression(names))))
    return lines, names.read


def _averages(rule: Rule, *, after_use: bool, hidden: bool = False) -> tuple[list[str], set[str]]:
    names = Names()
    lines = [
        f"{s}.copy_({_bare(text_of(average.update(Written(s), names)))})"
        for s, average in AVERAGES.items()
        if s in rule.needs_of(hidden=hidden) and average.after_use == after_use
    ]
    return lines, names.read


def _read(rule: Rule) -> set[str]:
    found = set(_terms(rule)[1])
    for hidden in (False, True):
        for after_use in (False, True):
            found |= _averages(rule, after_use=after_use, hidden=hidden)[1]
    return found | ({"g"} if rule.is_dense else set())


def _states(rule: Rule) -> list[str]:
    by_role = [rule.needs_of(hidden=hidden) for hidden in (False, True)]

    def kept(symbols: Iterable[str]) -> list[str]:
        names = [AVERAGES[s].state for s in AVERAGES if s in symbols]
        return [f'state["{name}"] = torch.zeros_like(p, dtype=wide)' for name in names]

    lines = kept(by_role[0] & by_role[1])
    for test, own in (("not inner", by_role[0] - by_role[1]), ("inner", by_role[1] - by_role[0])):
        lines += [f"if {test}:", *_indent(kept(own))] if own else []
    return [*lines, *(["if inner:", *_indent(parts.basis())] if rule.has_basis else [])]


def _numbers(rule: Rule) -> list[str]:
    """Return the lines that compute what all elements of a tensor share."""
    read = _read(rule)
    terms, _ = _terms(rule)
    lines = []
    betas = sorted(rule.betas)
    if betas:
        names = [b if b in betas else "_" for b in ("beta1", "beta2")]
        lines.append(f'{", ".join(names)} = group["betas"]')
    shares = {
        "m_share": "1 - beta1",
        "v_decay": "beta2",
        "v_share": "1 - beta2",
        "rms_scale": '(1 - beta2 ** state["step"]) ** -0.5',
    }
    corrects = "rms" in read and rule.bias_correction
    used = read | ({"rms_scale"} if corrects else set())
    lines += [f"{name} = {text}" for name, text in shares.items() if name in used]
    if rule.nadam:
        lines.append('nadam_m, nadam_g = nadam_shares(beta1, state["step"])')
    for name, rate in (("lr_m", "lr"), ("m_scale", "1.0")):
        if any(number.startswith(f"({name}") for number, _ in terms):
            lines.append(f'{name} = {rate} / (1 - beta1 ** state["step"])')
    return lines


def _update(rule: Rule) -> list[str]:
    """Return the lines that update a tensor."""
    read = _read(rule)
    lines = ["g = p.grad.to(wide)", 'g = -g if group["maximize"] else g']
    if not read:  # a rule of nothing but decay
        lines = []
    elif rule.clip_value is not None:
        lines.append(f"g = g.clamp({-rule.clip_value!r}, {rule.clip_value!r})")
    if rule.is_dense:
        lines += _dense_update(rule)
    else:
        lines += _elementwise(rule, read, "update")
        lines += ["w = p.to(wide)  # p itself, unless it is of 16 bits"]
        lines += ['w.mul_(1 - lr * group["weight_decay"])']
        lines += ["w.sub_(update)"] if _terms(rule)[0] else []
        lines += _averages(rule, after_use=True)[0]
    return [*lines, "if w is not p:", "    p.copy_(w)"]


def _elementwise(rule: Rule, read: Collection[str], name: str) -> list[str]:
    """Return the lines that sum up the terms of all but hidden matrices."""
    needs = rule.needs_of(hidden=False)
    lines = [f'{s} = state["{AVERAGES[s].state}"]' for s in AVERAGES if s in needs]
    lines += _averages(rule, after_use=False)[0]
    if "rms" in read:
        scaled = "v.sqrt() * rms_scale" if rule.bias_correction else "v.sqrt()"
        lines.append(f'rms = {scaled} + group["eps"]')
    if "size" in read:
        lines.append('size = g.abs() + group["eps"]')
    for i, (number, text) in enumerate(_terms(rule)[0]):
        lines.append(f"{name} {'+=' if i else '='} {number} * {_bracketed(text)}")
    return lines


def _dense_update(rule: Rule) -> list[str]:
    """Return the lines of an update that is computed for a whole tensor."""
    # the first step of a matrix only begins its basis
    rate = "rate" if rule.has_basis else "lr"
    lines = ['rate = 0.0 if inner and state["step"] == 1 else lr'] if rule.has_basis else []
    elementwise = _elementwise(rule, _read(rule), "u" if rule.is_modified else "update")
    elementwise += _averages(rule, after_use=True)[0]
    elementwise += ["u, g = u[None], g[None]"] if rule.is_modified else []
    if rule.has_matrix:
        needs = rule.needs_of(hidden=True)
        inner = [f'{s} = state["{AVERAGES[s].state}"]' for s in AVERAGES if s in needs]
        moved = _averages(rule, after_use=False, hidden=True)[0]
        if rule.has_basis and moved:
            moved = ['if state["step"] > 1:', *_indent(moved)]
        inner += [*moved, *parts.matrix_update(rule)]
        inner += [] if rule.is_modified else [f"update = {rate} * u.reshape(p.shape)"]
        lines += ["if inner:", *_indent(inner), "else:", *_indent(elementwise)]
    else:
        lines += elementwise
    lines += ["w = p.to(wide)  # p itself, unless it is of 16 bits", *parts.modifiers(rule)]
    lines += [f"update = {rate} * u.reshape(p.shape)"] if rule.is_modified else []
    return [*lines, f'w.mul_(1 - {rate} * group["weight_decay"])', "w.sub_(update)"]


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text and not text.startswith("(") else text


def _indented(lines: Sequence[str], width: int) -> str:
    return "".join(f"{' ' * width}{line}\n" if line else "\n" for line in lines)


_MODULE = (
    f'"""{FIRST_LINE}'
    + '''

{equation}
{origin}"""

{imports}


class {name}(torch.optim.Optimizer):
    """The update rule above.

    Args:
        params: Parameters or parameter groups.
{documented}    """

    def __init__(
        self,
        params,
{arguments}    ):
{checks}        defaults = {{
{defaults}            "schedule_step": 0,
{role}        }}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Do one step; return what the closure returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
{hidden}        for group in self.param_groups:
            lr = float(group["lr"]){scale}
            for p in group["params"]:
                if p.grad is None:
                    continue
                # averages of 16 bits would lose small changes
                wide = torch.promote_types(p.dtype, torch.float32)
                state = self.state[p]
{inner}                if not state:
                    state["step"] = 0
{states}                state["step"] += 1
{numbers}{update}{tail}            group["schedule_step"] += 1
        return loss
{averaged}{schedule}
# What this file was made from: optuna_evo.Genome.from_dict(GENOME)
GENOME = {genome}
'''
)

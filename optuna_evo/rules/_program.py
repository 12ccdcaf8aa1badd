"""A rule as a file of Python that needs nothing but torch.

The lines of the update are made from the rows of `TermType` and `AVERAGES`: their expressions are
called with operands that write down what is done to them. State that the rule does not read,
clipping and schedules that it does not have are not in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
import textwrap
from typing import Any

from optuna_evo.rules._rule import Rule
from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS


__all__ = ["FIRST_LINE", "program"]

FIRST_LINE = "An update rule as an optimizer in one file: it needs nothing but torch."
"""Of a module: what tells ours from others."""


def program(rule: Rule, *, name: str = "EvolvedRule", origin: str = "") -> str:
    """Return the text of a module with one class, an optimizer that updates by a rule.

    It steps as `EvolvedOptimizer(..., foreach=False)` does, bit for bit.

    Args:
        rule: What it computes.
        name: Name of the class.
        origin: Where the rule comes from, for the module's docstring.

    Raises:
        ValueError: If the name is none for a class.

    Example:
        >>> from optuna_evo import catalog
        >>> print(program(catalog["lion"].rule, name="Lion"))
    """
    if not name.isidentifier():
        raise ValueError(f"The name of a class must be an identifier, got {name!r}.")
    has_betas, has_eps = bool(rule.betas), "eps" in _items(rule)
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
    if rule.cosine or rule.warmup_steps:
        arguments.append(f"total_steps={rule.horizon!r}")
        low = "total_steps is not None and total_steps < 1"
        checks.append((low, "`total_steps` must be positive, got {total_steps}."))
    if rule.cosine:
        checks.append(("total_steps is None", "Say over how many `total_steps` `lr` decays."))
    arguments.append("maximize=False")
    names = [argument.partition("=")[0] for argument in arguments if argument != "*"]
    length = 'group["total_steps"]' if "total_steps" in names else "None"
    schedule = _schedule(rule)
    scale = f' * _scale(group["schedule_step"], {length})' if schedule else ""
    quoted = origin.replace("\\", "/").replace('"', "'")
    return _MODULE.format(
        name=name,
        equation="\n".join(
            textwrap.fill(line, 95, initial_indent="    ", subsequent_indent="        ")
            for line in rule.equation().splitlines()
        ),
        origin="\n" + textwrap.fill(quoted, 95) + "\n" if origin else "",
        imports="import math\n\nimport torch" if rule.cosine else "import torch",
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
        schedule=_indented(schedule, 0),
    )


_MEANING = {
    "lr": "lr: Learning rate.",
    "betas": "betas: Decays of the averages.",
    "eps": "eps: Added to denominators.",
    "weight_decay": "weight_decay: Decoupled weight decay.",
    "total_steps": "total_steps: Length of the run, which the schedule is scaled to.",
    "maximize": "maximize: Ascend instead of descend.",
}


class _Written:
    """A tensor or number that writes down what is done to it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getattr__(self, method: str) -> Any:
        return functools.partial(self._call, method)

    def _call(self, method: str, *arguments: Any) -> _Written:
        return _Written(f"{self.text}.{method}({', '.join(map(_text, arguments))})")

    def __add__(self, other: Any) -> _Written:
        return _Written(f"({self.text} + {_text(other)})")

    def __mul__(self, other: Any) -> _Written:
        return _Written(f"{self.text} * {_text(other)}")

    def __truediv__(self, other: Any) -> _Written:
        return _Written(f"{self.text} / {_text(other)}")

    def __eq__(self, other: object) -> Any:
        return _Written(f"{self.text} == {_text(other)}")

    __hash__ = None  # type: ignore[assignment]


def _text(value: Any) -> str:
    return value.text if isinstance(value, _Written) else repr(value)


class _Names:
    """The `Operands` of the rows, each by its name; notes which were read."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> _Written:
        self.read.add(name)
        return _Written(name)


def _terms(rule: Rule) -> tuple[list[tuple[str, str]], set[str]]:
    """Return number and expression of each term of the rule, and all that is read."""
    names, lines = _Names(), []
    for coefficient, term in zip(rule.coefficients, DIRECTIONS, strict=True):
        if coefficient:
            assert term.row.expression is not None
            # an average enters these in proportion: its correction is in the number
            scaled = "m" in term.row.reads and not term.row.sign_only and rule.bias_correction
            number = f"({'lr_m' if scaled else 'lr'} * {coefficient!r})"
            lines.append((number, _text(term.row.expression(names))))
    return lines, names.read


def _averages(rule: Rule, *, after_use: bool) -> tuple[list[str], set[str]]:
    names = _Names()
    lines = [
        f"{s}.copy_({_bare(_text(average.update(_Written(s), names)))})"
        for s, average in AVERAGES.items()
        if s in rule.needs and average.after_use == after_use
    ]
    return lines, names.read


def _read(rule: Rule) -> set[str]:
    parts = (_terms(rule), _averages(rule, after_use=False), _averages(rule, after_use=True))
    return set[str]().union(*(read for _, read in parts))


def _states(rule: Rule) -> list[str]:
    return [
        f'state["{AVERAGES[s].state}"] = torch.zeros_like(p, dtype=wide)'
        for s in AVERAGES
        if s in rule.needs
    ]


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
    if any(number.startswith("(lr_m") for number, _ in terms):
        lines.append('lr_m = lr / (1 - beta1 ** state["step"])')
    return lines


def _update(rule: Rule) -> list[str]:
    """Return the lines that update a tensor."""
    read = _read(rule)
    lines = ["g = p.grad.to(wide)", 'g = -g if group["maximize"] else g']
    if not read:  # a rule of nothing but decay
        lines = []
    elif rule.clip_value is not None:
        lines.append(f"g = g.clamp({-rule.clip_value!r}, {rule.clip_value!r})")
    lines += [f'{s} = state["{AVERAGES[s].state}"]' for s in AVERAGES if s in rule.needs]
    lines += _averages(rule, after_use=False)[0]
    if "rms" in read:
        scaled = "v.sqrt() * rms_scale" if rule.bias_correction else "v.sqrt()"
        lines.append(f'rms = {scaled} + group["eps"]')
    if "size" in read:
        lines.append('size = g.abs() + group["eps"]')
    terms, _ = _terms(rule)
    for i, (number, text) in enumerate(terms):
        lines.append(f"update {'+=' if i else '='} {number} * {_bracketed(text)}")
    lines += ["w = p.to(wide)  # p itself, unless it is of 16 bits"]
    lines += ['w.mul_(1 - lr * group["weight_decay"])']
    lines += ["w.sub_(update)"] if terms else []
    lines += _averages(rule, after_use=True)[0]
    return [*lines, "if w is not p:", "    p.copy_(w)"]


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text and not text.startswith("(") else text


def _schedule(rule: Rule) -> list[str]:
    """Return the lines of the function of the schedule; none if there is no schedule."""
    if not (rule.warmup_steps or rule.cosine):
        return []
    lines = [
        "",
        "",
        "def _scale(done, total_steps):",
        '    """Return the factor on the learning rate after `done` steps."""',
    ]
    if rule.warmup_steps:
        lines.append(f"    warmup = {rule.warmup_steps!r}")
        if rule.horizon is not None:
            lines.append("    if total_steps is not None:")
            share = f"{rule.warmup_steps!r} * total_steps / {rule.horizon!r}"
            lines.append(f"        warmup = max(1, round({share}))")
        lines.append("    scale = min(1.0, (done + 1) / warmup)")
    if rule.cosine:
        lines.append("    angle = math.pi * min(1.0, done / total_steps)")
        before = "scale * " if rule.warmup_steps else ""
        lines.append(f"    scale = {before}0.5 * (1.0 + math.cos(angle))")
    return [*lines, "    return scale"]


def _items(rule: Rule) -> set[str]:
    pairs = zip(DIRECTIONS, rule.coefficients, strict=True)
    return {item for term, c in pairs if c for item in term.row.reads}


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
        }}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Do one step; return what the closure returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr = float(group["lr"]){scale}
            for p in group["params"]:
                if p.grad is None:
                    continue
                # averages of 16 bits would lose small changes
                wide = torch.promote_types(p.dtype, torch.float32)
                state = self.state[p]
                if not state:
                    state["step"] = 0
{states}                state["step"] += 1
{numbers}{update}            group["schedule_step"] += 1
        return loss
{schedule}'''
)

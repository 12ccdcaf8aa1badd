"""A rule as a person would write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS


if TYPE_CHECKING:
    from optuna_evo.rules._rule import Rule

__all__ = ["equation"]


def equation(rule: Rule) -> str:
    """Return the update, one statement a line."""
    lines = [] if rule.clip_value is None else [f"g ← clip(g, ±{rule.clip_value:.3g})"]
    lines += _averages(rule, after_use=False)
    if rule.bias_correction:
        hats = [
            f"{_hat(symbol)} = {symbol}/(1 − {getattr(rule, AVERAGES[symbol].beta):.4g}ᵗ)"
            for symbol in AVERAGES
            if symbol in rule.needs and AVERAGES[symbol].corrected
        ]
        lines.append(",  ".join(hats))
    decay = f" − η·{rule.weight_decay:.3g}·w" if rule.weight_decay else ""
    update = f" − η·{_sum(rule)}" if any(rule.coefficients) else ""
    lines.append(f"w ← w{decay}{update}")
    lines += _averages(rule, after_use=True)
    lines.append(f"η = {rule.lr:.4g}{_schedule(rule)}")
    return "\n".join(lines)


def _averages(rule: Rule, *, after_use: bool) -> list[str]:
    lines = []
    for symbol, average in AVERAGES.items():
        if symbol in rule.needs and average.after_use == after_use:
            beta = getattr(rule, average.beta)
            lines.append(f"{symbol} ← {beta:.4g}·{symbol} + {1 - beta:.4g}·{average.of}")
    return lines


def _hat(symbol: str) -> str:
    return f"{symbol}̂"


def _sum(rule: Rule) -> str:
    names = {
        symbol: _hat(symbol) if rule.bias_correction and average.corrected else symbol
        for symbol, average in AVERAGES.items()
    }
    scalars = {
        "eps": f"{rule.eps:.2g}",
        "beta1": f"{rule.beta1:.4g}",
        "rest1": f"{1 - rule.beta1:.4g}",
    }
    text = ""
    for coefficient, term in zip(rule.coefficients, DIRECTIONS, strict=True):
        if coefficient:
            sign = (" − " if text else "−") if coefficient < 0 else (" + " if text else "")
            size, name = abs(coefficient), term.row.symbol.format(**names, **scalars)
            text += sign + (name if size == 1 else f"{size:.4g}·{name}")
    alone = sum(c != 0 for c in rule.coefficients) == 1 and text[0] != "−"
    return text if alone else f"({text})"


def _schedule(rule: Rule) -> str:
    text = ""
    if rule.warmup_steps:
        share = f"({rule.warmup_steps / rule.horizon:.4g}·T)" if rule.horizon else ""
        text += f"·min(1, t/{share or rule.warmup_steps})"
    return text + ("·½(1 + cos(π·t/T))" if rule.cosine else "")

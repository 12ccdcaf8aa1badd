"""The canonical form of a genome: one dense coefficient vector and the scalars that matter.

Terms of one type add up, and several terms are the same function under some settings (`Row.folds`
and `Row.parts` of `optuna_evo.rules.TermType`):

    NESTEROV                -> beta1 * m + (1 - beta1) * g: a share of MOMENTUM and one of GRAD
    use_m off, or beta1 = 0 -> m is g
    use_v off, or beta2 = 0 -> sqrt(v) is |g|

What is left are the `DIRECTIONS`. A scalar that no remaining direction reads is set to its neutral
value, so that equal updates have equal rules. The optimizers run rules, never genomes:
coefficients are data, so one update serves all.
"""

from dataclasses import dataclass
import functools
import hashlib
import math
from typing import Any

from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import Needs


__all__ = ["Rule"]

# Fingerprints are kept in databases: directions that came after the first release are hashed by
# name, and only where a rule has them.
_N_FIRST_DIRECTIONS = 7


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an optimizer step computes, in canonical form.

    Args:
        coefficients: One number for each of `DIRECTIONS`.
        lr: Learning rate before the schedule.
        beta1: Decay of m; 0 where nothing reads it.
        beta2: Decay of v; 0 where nothing reads it.
        eps: Added to denominators; 0 where there is none.
        weight_decay: Decoupled weight decay.
        bias_correction: Whether m and v are divided by 1 - beta^t.
        clip_value: Bound on gradient elements; None: no clipping.
        warmup_steps: Length of the linear warm-up; 0: none.
        cosine: Whether the learning rate decays along a half cosine.
        horizon: Number of steps that `warmup_steps` refers to; None: to any.
    """

    coefficients: tuple[float, ...]
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    bias_correction: bool
    clip_value: float | None
    warmup_steps: int
    cosine: bool
    horizon: int | None

    @functools.cached_property
    def needs(self) -> Needs:
        """The averages that the update keeps."""
        return frozenset(self._items & AVERAGES.keys())

    @functools.cached_property
    def betas(self) -> frozenset[str]:
        """Which of beta1 and beta2 the update reads."""
        return frozenset(self._items & {"beta1", "beta2"}) | {AVERAGES[s].beta for s in self.needs}

    @property
    def _items(self) -> set[str]:
        pairs = zip(DIRECTIONS, self.coefficients, strict=True)
        return {item for term, c in pairs if c for item in term.row.reads}

    def settings(self) -> dict[str, float]:
        """Return the scalars that a parameter group may have of its own."""
        return {
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "beta1": self.beta1,
            "beta2": self.beta2,
            "eps": self.eps,
        }

    def lr_scale(self, step: Any, total_steps: int | None) -> Any:
        """Return the schedule's factor on the learning rate at `step`, counted from 0.

        Args:
            step: Steps done so far, a number or a tensor.
            total_steps: Length of the run. After it the cosine stays at its end, 0. Needed only
                with cosine decay.
        """
        scale = 1.0
        if self.warmup_steps:
            scale = _at_most_one((step + 1) / self.warmup_over(total_steps))
        if self.cosine:
            if total_steps is None:
                raise ValueError("Cosine decay needs `total_steps`, got None.")
            scale = scale * 0.5 * (1.0 + _cos(math.pi * _at_most_one(step / total_steps)))
        return scale

    def warmup_over(self, total_steps: int | None) -> int:
        """Return the length of the warm-up in a run of `total_steps`."""
        if self.horizon is None or total_steps is None:
            return self.warmup_steps
        return max(1, round(self.warmup_steps * total_steps / self.horizon))

    def fingerprint(self) -> str:
        """Return 16 hex digits, equal for equal updates over runs of equal length.

        Only the products of the learning rate with coefficients and weight decay matter, and of a
        warm-up with a horizon only its share: they are what is hashed, to 10 significant digits.
        """
        numbers = (
            *(self.lr * c for c in self.coefficients[:_N_FIRST_DIRECTIONS]),
            self.lr * self.weight_decay,
            self.beta1,
            self.beta2,
            self.eps,
            self.clip_value or 0.0,
        )
        text = ",".join(f"{number + 0.0:.9e}" for number in numbers)
        warmup = f"{self.warmup_steps / self.horizon:.9e}" if self.horizon else self.warmup_steps
        text += f";{self.bias_correction};{warmup};{self.cosine}"
        for term, c in list(zip(DIRECTIONS, self.coefficients, strict=True))[_N_FIRST_DIRECTIONS:]:
            text += f";{term.name}={self.lr * c:.9e}" if c else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def equation(self) -> str:
        """Return the update as a person would write it, one statement a line."""
        return _equation(self)


def _at_most_one(x: Any) -> Any:
    return x.clamp(max=1.0) if hasattr(x, "clamp") else min(1.0, x)


def _cos(x: Any) -> Any:
    return x.cos() if hasattr(x, "cos") else math.cos(x)


def _equation(rule: Rule) -> str:
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

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

from optuna_evo.rules._fold import items_read
from optuna_evo.rules._terms import AVERAGES
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import MATRIX_TERMS
from optuna_evo.rules._terms import Needs
from optuna_evo.rules._terms import TermType


__all__ = ["Rule", "WSD_SHARE"]

WSD_SHARE = 0.2
"""The share of a run over which "wsd" decays."""

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
        warmup_share: Length of the linear warm-up as a share of the run; 0: none.
        decay: "linear", "wsd" or "" (`Genome.decay`; a cosine is `cosine`).
        nadam: The coefficient of NADAM, whose shares of two directions change from step to step.
        matrix: One coefficient for each of `MATRIX_TERMS`, of hidden matrices; all else is moved
            by `coefficients` and `nadam`, and they by nothing else.
        cautious, rms_normalised, norm_bound: How the update of a tensor is modified.
        tail: Share of the run over whose end weights are averaged; 0: none.
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
    warmup_share: float = 0.0
    decay: str = ""
    nadam: float = 0.0
    matrix: tuple[float, ...] = (0.0,) * len(MATRIX_TERMS)
    cautious: bool = False
    rms_normalised: bool = False
    norm_bound: float | None = None
    tail: float = 0.0

    @functools.cached_property
    def needs(self) -> Needs:
        """The averages that the update keeps."""
        return self.needs_of(hidden=False) | self.needs_of(hidden=True)

    def needs_of(self, *, hidden: bool) -> Needs:
        """Return the averages that the update of a hidden matrix, or of all else, keeps."""
        return self._needs[hidden]

    @functools.cached_property
    def _needs(self) -> tuple[Needs, Needs]:
        both = (self._items(hidden=hidden) & AVERAGES.keys() for hidden in (False, True))
        elementwise, matrix = map(frozenset, both)
        return elementwise, matrix

    @functools.cached_property
    def present(self) -> tuple[float, ...]:
        """Numbers that are 0 where those of an elementwise step are, of each term and "dense"."""
        in_nadam = (TermType.ADAM_TERM, TermType.RMS_NORM) if self.nadam else ()
        pairs = zip(self.coefficients, DIRECTIONS, strict=True)
        return (*(c or float(term in in_nadam) for c, term in pairs), 0.0)

    @functools.cached_property
    def has_matrix(self) -> bool:
        """Whether hidden matrices move otherwise than all else."""
        return any(self.matrix)

    @functools.cached_property
    def has_basis(self) -> bool:
        """Whether hidden matrices have a basis of SOAP."""
        return self.matrix[MATRIX_TERMS.index(TermType.SOAP)] != 0

    @functools.cached_property
    def is_modified(self) -> bool:
        """Whether the update of a tensor is modified as a whole."""
        return self.cautious or self.rms_normalised or self.norm_bound is not None

    @functools.cached_property
    def is_dense(self) -> bool:
        """Whether an update of some tensor is no elementwise function of gradient and averages."""
        return self.has_matrix or self.is_modified

    @functools.cached_property
    def needs_length(self) -> bool:
        """Whether there is no step without the length of the run."""
        return self.cosine or bool(self.decay or self.warmup_share or self.tail)

    @functools.cached_property
    def betas(self) -> frozenset[str]:
        """Which of beta1 and beta2 the update reads."""
        return frozenset(self.reads & {"beta1", "beta2"}) | {AVERAGES[s].beta for s in self.needs}

    @property
    def reads(self) -> set[str]:
        """The averages and scalars that the terms read."""
        return self._items(hidden=False) | self._items(hidden=True)

    def terms(self, *, hidden: bool) -> list[tuple[float, TermType]]:
        """Return the terms that move hidden matrices, or all else, with their coefficients."""
        if hidden and self.has_matrix:
            return [*zip(self.matrix, MATRIX_TERMS, strict=True)]
        return [*zip(self.coefficients, DIRECTIONS, strict=True), (self.nadam, TermType.NADAM)]

    def _items(self, *, hidden: bool) -> set[str]:
        terms = [term for c, term in self.terms(hidden=hidden) if c]
        return items_read(terms, m_is_g=self.beta1 == 0)

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
                where `needs_length`.
        """
        scale = 1.0
        if self.needs_length and total_steps is None:
            kind = "Cosine decay" if self.cosine else "A schedule over the whole run"
            raise ValueError(f"{kind} needs `total_steps`, got None.")
        if self.warmup_steps or self.warmup_share:
            scale = _at_most_one((step + 1) / self.warmup_over(total_steps))
        if self.cosine:
            scale = scale * 0.5 * (1.0 + _cos(math.pi * _at_most_one(step / total_steps)))
        if self.decay:
            left = 1.0 - _at_most_one(step / total_steps)
            scale = scale * (left if self.decay == "linear" else _at_most_one(left / WSD_SHARE))
        return scale

    def tail_start(self, total_steps: int) -> int:
        """Return the number of steps after which weights are averaged."""
        return total_steps - max(1, round(self.tail * total_steps))

    def warmup_over(self, total_steps: int | None) -> int:
        """Return the length of the warm-up in a run of `total_steps`."""
        if total_steps is not None and self.warmup_share:
            return max(1, round(self.warmup_share * total_steps))
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
        share = self.warmup_share or (self.warmup_steps / self.horizon if self.horizon else 0)
        warmup = f"{share:.9e}" if share else self.warmup_steps
        text += f";{self.bias_correction};{warmup};{self.cosine}"
        for term, c in list(zip(DIRECTIONS, self.coefficients, strict=True))[_N_FIRST_DIRECTIONS:]:
            text += f";{term.name}={self.lr * c:.9e}" if c else ""
        for name, c in (("NADAM", self.nadam), *zip(MATRIX_TERMS, self.matrix, strict=True)):
            text += f";{str(getattr(name, 'name', name))}={self.lr * c:.9e}" if c else ""
        later = ("decay", "cautious", "rms_normalised", "norm_bound", "tail")
        given = {name: getattr(self, name) for name in later}
        text += "".join(f";{name}={value}" for name, value in given.items() if value)
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
    elementwise = _sum(rule, hidden=False)
    if rule.is_dense:
        lines.append(f"u = {elementwise}")
        if rule.has_matrix:
            lines.append(f"of hidden matrices: u = {_sum(rule, hidden=True)}")
        lines += _modifiers(rule)
        elementwise = "u"
    update = f" − η·{elementwise}" if elementwise else ""
    lines.append(f"w ← w{decay}{update}")
    lines += _averages(rule, after_use=True)
    lines.append(f"η = {rule.lr:.4g}{_schedule(rule)}")
    if rule.tail:
        lines.append(f"evaluated: the mean of w over the last {rule.tail:.4g}·T steps")
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


def _modifiers(rule: Rule) -> list[str]:
    lines = []
    if rule.cautious:
        lines.append("u ← u·[u·g > 0]/mean([u·g > 0])")
    if rule.rms_normalised:
        lines.append("u ← u/rms(u)")
    if rule.norm_bound is not None:
        lines.append(f"u ← u·min(1, {rule.norm_bound:.4g}·max(rms(w), 0.001)/rms(u))")
    return lines


def _sum(rule: Rule, *, hidden: bool) -> str:
    names = {
        symbol: _hat(symbol) if rule.bias_correction and average.corrected else symbol
        for symbol, average in AVERAGES.items()
    }
    beta1, rest1 = f"{rule.beta1:.4g}", f"{1 - rule.beta1:.4g}"
    scalars = {"eps": f"{rule.eps:.2g}", "beta1": beta1, "rest1": rest1}
    scalars["beta2"] = f"{rule.beta2:.4g}"
    scalars["nesterov"] = f"{beta1}·m + {rest1}·g" if rule.beta1 else "g"
    if hidden and not rule.beta1:
        names["m"] = "g"
    text, present = "", [(c, term) for c, term in rule.terms(hidden=hidden) if c]
    for coefficient, term in present:
        sign = (" − " if text else "−") if coefficient < 0 else (" + " if text else "")
        size, name = abs(coefficient), term.row.symbol.format(**names, **scalars)
        text += sign + (name if size == 1 else f"{size:.4g}·{name}")
    return text if not text or (len(present) == 1 and text[0] != "−") else f"({text})"


def _schedule(rule: Rule) -> str:
    text = ""
    if rule.warmup_steps:
        share = f"({rule.warmup_steps / rule.horizon:.4g}·T)" if rule.horizon else ""
        text += f"·min(1, t/{share or rule.warmup_steps})"
    if rule.warmup_share:
        text += f"·min(1, t/({rule.warmup_share:.4g}·T))"
    decays = {"linear": "·(1 − t/T)", "wsd": f"·min(1, (1 − t/T)/{WSD_SHARE})", "": ""}
    return text + ("·½(1 + cos(π·t/T))" if rule.cosine else "") + decays[rule.decay]

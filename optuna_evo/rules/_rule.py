"""The canonical form of a genome: one dense coefficient vector and the scalars that matter.

Terms of one type add up, and several terms are the same function under some settings:

    NESTEROV                -> beta1 * m + (1 - beta1) * g: a share of MOMENTUM and one of GRAD
    use_m off, or beta1 = 0 -> m is g
    use_v off, or beta2 = 0 -> sqrt(v) is |g|

What is left are the seven directions of `Direction`. A scalar that no remaining direction reads
is set to its neutral value, so that equal updates have equal rules. The optimizers run rules,
never genomes: coefficients are data, so one update serves all.
"""

from __future__ import annotations

from dataclasses import dataclass
import enum
import hashlib
import math
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.rules._genome import Genome

__all__ = ["canonical_rule", "Direction", "Rule"]


class Direction(enum.IntEnum):
    """The linearly independent directions of an update, in the order of `Rule.coefficients`."""

    GRAD = 0
    MOMENTUM = 1
    GRAD_OVER_RMS = 2
    MOMENTUM_OVER_RMS = 3
    SIGN = 4
    GRAD_OVER_ABS = 5
    MOMENTUM_OVER_ABS = 6


_TERM_NAMES = (
    "GRAD",
    "MOMENTUM",
    "RMS_NORM",
    "ADAM_TERM",
    "SIGN_GRAD",
    "SQRT_GRAD",
    "NESTEROV",
)
_READS_M = (Direction.MOMENTUM, Direction.MOMENTUM_OVER_RMS, Direction.MOMENTUM_OVER_ABS)
_READS_V = (Direction.GRAD_OVER_RMS, Direction.MOMENTUM_OVER_RMS)
_READS_EPS = (*_READS_V, Direction.GRAD_OVER_ABS, Direction.MOMENTUM_OVER_ABS)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an optimizer step computes, in canonical form.

    Args:
        coefficients: One number for each `Direction`.
        lr: Learning rate before the schedule.
        beta1: Decay of m; 0 where no direction reads m.
        beta2: Decay of v; 0 where no direction reads v.
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

    @property
    def needs_m(self) -> bool:
        """Whether the update keeps an average of gradients."""
        return any(self.coefficients[d] for d in _READS_M)

    @property
    def needs_v(self) -> bool:
        """Whether the update keeps an average of squared gradients."""
        return any(self.coefficients[d] for d in _READS_V)

    def lr_scale(self, step: int, total_steps: int | None) -> float:
        """Return the schedule's factor on the learning rate at `step`, counted from 0.

        Args:
            step: Steps done so far.
            total_steps: Length of the run. After it the cosine stays at its end, 0. Needed only
                with cosine decay.
        """
        scale = 1.0
        if self.warmup_steps:
            scale = min(1.0, (step + 1) / self.warmup_over(total_steps))
        if self.cosine:
            if total_steps is None:
                raise ValueError("Cosine decay needs `total_steps`, got None.")
            scale *= 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / total_steps)))
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
            *(self.lr * c for c in self.coefficients),
            self.lr * self.weight_decay,
            self.beta1,
            self.beta2,
            self.eps,
            self.clip_value or 0.0,
        )
        text = ",".join(f"{number + 0.0:.9e}" for number in numbers)
        warmup = f"{self.warmup_steps / self.horizon:.9e}" if self.horizon else self.warmup_steps
        text += f";{self.bias_correction};{warmup};{self.cosine}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def equation(self) -> str:
        """Return the update as a person would write it, one statement a line."""
        lines = []
        if self.clip_value is not None:
            lines.append(f"g ← clip(g, ±{self.clip_value:.3g})")
        if self.needs_m:
            lines.append(f"m ← {self.beta1:.4g}·m + {1 - self.beta1:.4g}·g")
        if self.needs_v:
            lines.append(f"v ← {self.beta2:.4g}·v + {1 - self.beta2:.4g}·g²")
        if self.bias_correction:
            hats = [f"m̂ = m/(1 − {self.beta1:.4g}ᵗ)"] * self.needs_m
            hats += [f"v̂ = v/(1 − {self.beta2:.4g}ᵗ)"] * self.needs_v
            lines.append(",  ".join(hats))
        decay = f" − η·{self.weight_decay:.3g}·w" if self.weight_decay else ""
        update = f" − η·{self._sum()}" if any(self.coefficients) else ""
        lines.append(f"w ← w{decay}{update}")
        lines.append(f"η = {self.lr:.4g}{self._schedule()}")
        return "\n".join(lines)

    def _sum(self) -> str:
        m, v = ("m̂", "v̂") if self.bias_correction else ("m", "v")
        eps = f" + {self.eps:.2g}"
        names = (
            "g",
            m,
            f"g/(√{v}{eps})",
            f"{m}/(√{v}{eps})",
            "sign(g)",
            f"g/(|g|{eps})",
            f"{m}/(|g|{eps})",
        )
        text = ""
        for coefficient, name in zip(self.coefficients, names, strict=True):
            if coefficient:
                sign = (" − " if text else "−") if coefficient < 0 else (" + " if text else "")
                size = abs(coefficient)
                text += sign + (name if size == 1 else f"{size:.4g}·{name}")
        alone = sum(c != 0 for c in self.coefficients) == 1 and text[0] != "−"
        return text if alone else f"({text})"

    def _schedule(self) -> str:
        text = ""
        if self.warmup_steps:
            share = f"({self.warmup_steps / self.horizon:.4g}·T)" if self.horizon else ""
            text += f"·min(1, t/{share or self.warmup_steps})"
        return text + ("·½(1 + cos(π·t/T))" if self.cosine else "")


def canonical_rule(genome: Genome) -> Rule:
    """Return the canonical rule of a genome."""
    coefficients = _fold(genome)
    reads_m = any(coefficients[d] for d in _READS_M)
    reads_v = any(coefficients[d] for d in _READS_V)
    reads_g = any(c for d, c in enumerate(coefficients) if d != Direction.SIGN)
    scheduled = any(coefficients) or genome.weight_decay > 0
    warmup_steps = genome.warmup_steps if genome.use_warmup and scheduled else 0
    if warmup_steps == 1 and genome.horizon is None:  # one step starts at the full rate
        warmup_steps = 0
    return Rule(
        coefficients=coefficients,
        lr=genome.lr,
        beta1=genome.beta1 if reads_m else 0.0,
        beta2=genome.beta2 if reads_v else 0.0,
        eps=genome.eps if any(coefficients[d] for d in _READS_EPS) else 0.0,
        weight_decay=genome.weight_decay,
        bias_correction=genome.use_bias_correction and (reads_m or reads_v),
        # the sign of a clipped gradient is the sign of the gradient
        clip_value=genome.clip_value if genome.use_gradient_clipping and reads_g else None,
        warmup_steps=warmup_steps,
        cosine=genome.use_cosine_decay and scheduled,
        horizon=genome.horizon if warmup_steps else None,
    )


def _fold(genome: Genome) -> tuple[float, ...]:
    """Add up terms and fold those that are the same function under the genome's settings."""
    # fsum is exact up to one rounding: the order of terms is no matter, and terms cancel to 0
    alpha = {
        name: math.fsum(weight for kind, weight in genome.terms if kind.name == name)
        for name in _TERM_NAMES
    }
    share = genome.beta1 if genome.nesterov_beta is None else genome.nesterov_beta
    c = [0.0] * len(Direction)
    c[Direction.GRAD] = alpha["GRAD"] + (1 - share) * alpha["NESTEROV"]
    c[Direction.MOMENTUM] = alpha["MOMENTUM"] + share * alpha["NESTEROV"]
    c[Direction.GRAD_OVER_RMS] = alpha["RMS_NORM"]
    c[Direction.MOMENTUM_OVER_RMS] = alpha["ADAM_TERM"]
    c[Direction.SIGN] = alpha["SIGN_GRAD"]
    c[Direction.GRAD_OVER_ABS] = alpha["SQRT_GRAD"]
    if not genome.use_v or genome.beta2 == 0:
        _move(c, Direction.GRAD_OVER_RMS, Direction.GRAD_OVER_ABS)
        _move(c, Direction.MOMENTUM_OVER_RMS, Direction.MOMENTUM_OVER_ABS)
    if not genome.use_m or genome.beta1 == 0:
        _move(c, Direction.MOMENTUM, Direction.GRAD)
        _move(c, Direction.MOMENTUM_OVER_RMS, Direction.GRAD_OVER_RMS)
        _move(c, Direction.MOMENTUM_OVER_ABS, Direction.GRAD_OVER_ABS)
    return tuple(c)


def _move(coefficients: list[float], source: Direction, target: Direction) -> None:
    coefficients[target] += coefficients[source]
    coefficients[source] = 0.0

"""An optimizer as data: a sum of update terms, their scalars and flags.

The update of a weight w with gradient g at step t (counted from 0) is

    g  <- clip(g, -clip_value, clip_value)                    if use_gradient_clipping
    w  <- w - eta * weight_decay * w                          decoupled weight decay
    m  <- beta1 * m + (1 - beta1) * g                         m = g where use_m is off
    v  <- beta2 * v + (1 - beta2) * g * g                     v = g * g where use_v is off
    w  <- w - eta * sum_k alpha_k * T_k(g, m, v)
    eta = lr * min(1, (t + 1) / warmup_steps) * (1 + cos(pi * t / total_steps)) / 2

with the terms T of `TermType`. With `use_bias_correction` the terms see m / (1 - beta1^(t+1)) and
v / (1 - beta2^(t+1)). Source: the notebook of "Evolving Deep Learning Optimizers"
(arXiv:2512.11853), whose genomes `Genome.from_dict` reads as they are.

Beyond it: hidden matrices may have terms of their own (ORTHOGONAL, SOAP), which then move them
alone; the sum may be modified before it is subtracted (`use_cautious`, `use_rms_norm`,
`norm_bound`, in this order); the schedule may have other shapes (`warmup_share`, `decay`); and
weights may be averaged (`tail_average`).

m is an exponential *average*: the new gradient enters with weight (1 - beta1). torch's SGD sums
instead (heavy ball), so its "momentum 0.9, lr 0.01" is lr 0.1 on the MOMENTUM term here.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import InitVar
from dataclasses import replace
import math
from typing import Any
from typing import Final
from typing import Self

from optuna_evo.rules._checks import check_range
from optuna_evo.rules._checks import cut
from optuna_evo.rules._checks import power_of_ten
from optuna_evo.rules._fold import fold
from optuna_evo.rules._fold import read_by
from optuna_evo.rules._fold import stands_alone
from optuna_evo.rules._fold import with_elementwise
from optuna_evo.rules._rule import Rule
from optuna_evo.rules._summands import as_terms
from optuna_evo.rules._summands import joined
from optuna_evo.rules._summands import Term
from optuna_evo.rules._terms import DIRECTIONS
from optuna_evo.rules._terms import FoldSettings
from optuna_evo.rules._terms import MATRIX_TERMS
from optuna_evo.rules._terms import TermType


__all__ = ["Genome", "Term"]

# The notebook fixes NESTEROV as m + 0.9 * (g - m), which is b * m + (1 - b) * g with b = 0.1.
_NOTEBOOK_NESTEROV_BETA = 0.1
_UNSET: Final[Sequence[Any]] = ("unset",)
_LOG10_KEYS = {"lr_log10": "lr", "eps_log10": "eps", "wd_log10": "weight_decay"}
_DECAYS: Final = ("constant", "linear", "cosine", "wsd")
_LATER: Final = (
    *("warmup_share", "decay"),
    *("use_cautious", "use_rms_norm", "norm_bound", "tail_average"),
)
_SEED_KEYS = ("term_types", "alphas", *_LOG10_KEYS)


@dataclass(frozen=True, kw_only=True)
class Genome:
    """An update rule with its hyperparameters, frozen and free of torch.

    It is also made from the keywords of the published code: `Genome(term_types=[4, 3],
    alphas=[0.4, 2.0], lr_log10=-2.9, eps_log10=-8.3, wd_log10=-3.0, use_m=1)`.

    Args:
        terms:
            The summands, `Term`s or pairs (type, alpha); a type is a `TermType`, its name or its
            integer. May be empty (only weight decay is left then).
        lr:
            Learning rate, > 0.
        beta1:
            Decay of the gradient average m, in [0, 1).
        beta2:
            Decay of the average v of squared gradients, in [0, 1).
        eps:
            Added to denominators, > 0.
        weight_decay:
            Decoupled weight decay (as in AdamW: multiplied by the learning rate), >= 0.
        use_m, use_v:
            Off: the terms see the gradient (its square) in place of the average.
        use_bias_correction:
            Divide m and v by 1 - beta^t, as Adam does.
        use_gradient_clipping, clip_value:
            Clip every gradient *element* to [-clip_value, clip_value].
        use_warmup, warmup_steps:
            Raise the learning rate linearly over the first steps.
        use_cosine_decay:
            Multiply the learning rate by (1 + cos(pi * t / total_steps)) / 2.
        horizon:
            The number of steps that the genome was evolved for. Over another number of steps the
            warm-up is scaled in proportion; None: `warmup_steps` is taken as it is.
        nesterov_beta:
            Weight of m in the NESTEROV term; None: `beta1`.
        warmup_share:
            Length of a linear warm-up as a share of the run, in [0, 1], in place of `use_warmup`.
        decay:
            What multiplies the learning rate in place of `use_cosine_decay`: "constant", "linear"
            (to 0), "cosine", or "wsd": constant, then linear to 0 over the last fifth of the run
            (arXiv:2404.06395).
        use_cautious:
            Leave out the elements of an update whose sign is not the gradient's, and lengthen the
            others by as much (arXiv:2411.16085).
        use_rms_norm:
            Divide the update of each tensor by its root mean square.
        norm_bound:
            The update of a tensor, before the learning rate, is no longer than so many times its
            weights, as LAMB's trust ratio (arXiv:1904.00962) would have it; > 0. None: no bound.
        tail_average:
            Share of the run, in [0, 1], at the end of which weights are averaged over steps: what
            an evaluation uses. 0: none.
        term_types, alphas:
            Types (integers or names) and weights in place of `terms`; a NESTEROV term then keeps
            the weights that the published code gives it.
        lr_log10, eps_log10, wd_log10:
            Logarithms in place of `lr`, `eps` and `weight_decay`.

    Flags may be 0 and 1.

    Raises:
        ValueError: If a value is outside its range.

    Example:
        >>> genome = Genome(terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.5)], lr=1e-3)
        >>> Genome.from_dict(genome.to_dict()) == genome
        True
    """

    terms: Sequence[Term] = _UNSET
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    use_m: bool = True
    use_v: bool = True
    use_bias_correction: bool = True
    use_gradient_clipping: bool = False
    clip_value: float = 1.0
    use_warmup: bool = False
    warmup_steps: int = 100
    use_cosine_decay: bool = False
    horizon: int | None = None
    nesterov_beta: float | None = None
    warmup_share: float = 0.0
    decay: str | None = None
    use_cautious: bool = False
    use_rms_norm: bool = False
    norm_bound: float | None = None
    tail_average: float = 0.0

    term_types: InitVar[Sequence[Any] | None] = None
    alphas: InitVar[Sequence[float] | None] = None
    lr_log10: InitVar[float | None] = None
    eps_log10: InitVar[float | None] = None
    wd_log10: InitVar[float | None] = None

    def __post_init__(
        self,
        term_types: Sequence[Any] | None,
        alphas: Sequence[float] | None,
        lr_log10: float | None,
        eps_log10: float | None,
        wd_log10: float | None,
    ) -> None:
        """Read what is in the seed format, and check the values."""
        if term_types is not None or alphas is not None:
            self._set(terms=joined(term_types, alphas))
            if self.nesterov_beta is None:
                self._set(nesterov_beta=_NOTEBOOK_NESTEROV_BETA)
        logs = {"lr_log10": lr_log10, "eps_log10": eps_log10, "wd_log10": wd_log10}
        given = {key: value for key, value in logs.items() if value is not None}
        self._set(**{_LOG10_KEYS[key]: power_of_ten(key, value) for key, value in given.items()})
        if self.terms is _UNSET:
            raise ValueError("A genome needs `terms` (or `term_types` and `alphas`), got neither.")
        self._set(terms=as_terms(self.terms))
        check_range("lr", self.lr, above=0)
        check_range("beta1", self.beta1, at_least=0, below=1)
        check_range("beta2", self.beta2, at_least=0, below=1)
        check_range("eps", self.eps, above=0)
        check_range("weight_decay", self.weight_decay, at_least=0)
        check_range("clip_value", self.clip_value, above=0)
        check_range("warmup_steps", self.warmup_steps, at_least=0)
        if self.horizon is not None:
            check_range("horizon", self.horizon, at_least=1)
        if self.nesterov_beta is not None:
            check_range("nesterov_beta", self.nesterov_beta, at_least=0, below=1)
        self._check_schedule()
        if self.norm_bound is not None:
            check_range("norm_bound", self.norm_bound, above=0)
        for name in _fields(type(self)):
            value = getattr(self, name)
            if not name.startswith("use_") or isinstance(value, bool):
                continue
            if not isinstance(value, int) or value not in (0, 1):
                raise ValueError(f"`{name}` must be true or false, got {cut(value)}.")
            self._set(**{name: bool(value)})
        self._check_sums()

    @property
    def rule(self) -> Rule:
        """The dense canonical form that runs (see `optuna_evo.rules.Rule`)."""
        weights, settings = self._weights(), self._fold_settings()
        coefficients = fold(weights, settings)
        alone = {t: w for t, w in weights.items() if w and stands_alone(t, settings)}
        directions = [d for d, c in zip(DIRECTIONS, coefficients, strict=True) if c]
        moves = bool(directions or alone)
        read = read_by([*directions, *alone], settings)
        scheduled = moves or self.weight_decay > 0
        warmup_steps = self.warmup_steps if self.use_warmup and scheduled else 0
        if warmup_steps == 1 and self.horizon is None:  # one step starts at the full rate
            warmup_steps = 0
        return Rule(
            coefficients=coefficients,
            lr=self.lr,
            beta1=self.beta1 if read.beta1 else 0.0,
            beta2=self.beta2 if read.beta2 else 0.0,
            eps=self.eps if read.eps else 0.0,
            weight_decay=self.weight_decay,
            bias_correction=self.use_bias_correction and read.correction,
            clip_value=self.clip_value if self.use_gradient_clipping and read.clipping else None,
            warmup_steps=warmup_steps,
            cosine=scheduled and (self.use_cosine_decay or self.decay == "cosine"),
            horizon=self.horizon if warmup_steps else None,
            warmup_share=self.warmup_share if scheduled else 0.0,
            decay=self.decay if scheduled and self.decay in ("linear", "wsd") else "",
            nadam=alone.get(TermType.NADAM, 0.0),
            matrix=tuple(alone.get(term, 0.0) for term in MATRIX_TERMS),
            cautious=self.use_cautious and moves,
            rms_normalised=self.use_rms_norm and moves,
            norm_bound=self.norm_bound if moves else None,
            tail=self.tail_average if scheduled else 0.0,
        )

    def equation(self) -> str:
        """Return the update as a person would write it, one statement a line."""
        return self.rule.equation()

    def fingerprint(self) -> str:
        """Return 16 hex digits that two genomes share exactly if they do the same update."""
        return self.rule.fingerprint()

    def with_cosine(self) -> Self:
        """Return the same with a learning rate that decays along a cosine."""
        return replace(self, use_cosine_decay=True, decay=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` gives an equal genome back.

        What was not there in the first release is left out where it has its default.
        """
        data = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in _LATER or getattr(self, field.name) != field.default
        }
        return data | {"terms": [[term.type.name, term.alpha] for term in self.terms]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read `to_dict`'s format or the published seed format.

        The seed format has `term_types` (integers), `alphas`, `lr_log10`, `eps_log10` and
        `wd_log10`; a NESTEROV term in it keeps the weights the notebook gives it.

        Raises:
            ValueError: If a key is unknown or a value out of range.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"A genome must be a table of its fields, got {cut(data)}.")
        allowed = [*_fields(cls), *_SEED_KEYS]
        if unknown := sorted(str(key) for key in data if key not in allowed):
            raise ValueError(f"Unknown genome keys {cut(unknown)}; allowed: {_fields(cls)}.")
        return cls(**data)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_schedule(self) -> None:
        """Raise for shares out of range, and for a schedule that is said twice."""
        for name in ("warmup_share", "tail_average"):
            check_range(name, getattr(self, name), at_least=0)
            if getattr(self, name) > 1:
                raise ValueError(f"`{name}` is a share of the run, in [0, 1].")
        if self.decay is not None and self.decay not in _DECAYS:
            raise ValueError(f"`decay` must be one of {_DECAYS} or None, got {cut(self.decay)}.")
        if self.warmup_share and self.use_warmup:
            raise ValueError("A genome warms up once: `warmup_share` or `use_warmup`, not both.")
        if self.use_cosine_decay and self.decay not in (None, "cosine"):
            raise ValueError("A genome decays once: `decay` or `use_cosine_decay`, not both.")

    def _check_sums(self) -> None:
        """Raise if weights of terms that are finite have a sum that is not."""
        try:
            sums = (*fold(self._weights(), self._fold_settings()), *self._weights().values())
            finite = all(map(math.isfinite, sums))
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("The weights `alpha` of the terms must have a finite sum.")

    def _weights(self) -> dict[TermType, float]:
        """Return the sum of the weights of each type of term."""
        # fsum is exact up to one rounding: the order of terms is no matter, and terms cancel to 0
        types = sorted({term.type for term in self.terms})
        return with_elementwise(
            {t: math.fsum(alpha for kind, alpha in self.terms if kind is t) for t in types}
        )

    def _fold_settings(self) -> FoldSettings:
        share = self.beta1 if self.nesterov_beta is None else self.nesterov_beta
        return FoldSettings(self.use_m, self.use_v, self.beta1, self.beta2, share)


def _fields(cls: type[Genome]) -> list[str]:
    return [field.name for field in fields(cls)]

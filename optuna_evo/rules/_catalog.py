"""Named genomes: the classic optimizers at their usual defaults, and published discoveries.

`catalog["adamw"]` is a `Genome`; `sorted(catalog)` lists the names. The classics do what their
`torch.optim` namesakes do (tests hold them together over 100 steps).

Sources: "published_2025" is the winner of arXiv:2512.11853 (50 x 50 generations on MNIST,
Fashion-MNIST and CIFAR-10, 500 steps). "generalized_adam_1" to "_5" are the five points of the
AlgoPerf v0.5 submission of that name (third in the external-tuning ruleset), read from its tuning
space. That submission also divides the gradient's share of the Nesterov sum by 1 - beta1^t, starts
its cosine after the warm-up and ends it at three quarters of the run in two points; the genomes
here do neither, so they differ early in a run and in the shape of the schedule.
"""

from collections.abc import Mapping
import math
from types import MappingProxyType
from typing import Final

from optuna_evo.rules._genome import Genome
from optuna_evo.rules._summands import Term
from optuna_evo.rules._terms import TermType


__all__ = ["catalog"]


def _heavy_ball(lr: float, momentum: float) -> Genome:
    """Torch's SGD sums gradients and m averages them: hence the factor 1 / (1 - momentum)."""
    term = Term(TermType.MOMENTUM, 1 / (1 - momentum))
    return Genome(terms=[term], lr=lr, beta1=momentum, use_bias_correction=False)


def _nadamw(lr: float, beta1: float, beta2: float, weight_decay: float, warmup: int) -> Genome:
    return Genome(
        terms=[Term(TermType.ADAM_TERM, beta1), Term(TermType.RMS_NORM, 1 - beta1)],
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay,
        use_warmup=True,
        warmup_steps=warmup,
        use_cosine_decay=True,
        horizon=1000,
    )


def _nesterov_sgd(lr: float, momentum: float, weight_decay: float, warmup: int) -> Genome:
    momentum_term = Term(TermType.MOMENTUM, momentum / (1 - momentum))
    return Genome(
        terms=[Term(TermType.GRAD, 1.0), momentum_term],
        lr=lr,
        beta1=momentum,
        weight_decay=weight_decay,
        use_bias_correction=False,
        use_warmup=True,
        warmup_steps=warmup,
        use_cosine_decay=True,
        horizon=1000,
    )


catalog: Final[Mapping[str, Genome]] = MappingProxyType(
    {
        "sgd": Genome(terms=[Term(TermType.GRAD, 1.0)], lr=1e-2),
        "momentum": _heavy_ball(lr=1e-2, momentum=0.9),
        "rmsprop": Genome(
            terms=[Term(TermType.RMS_NORM, 1.0)], lr=1e-2, beta2=0.99, use_bias_correction=False
        ),
        "adam": Genome(terms=[Term(TermType.ADAM_TERM, 1.0)], lr=1e-3),
        "adamw": Genome(terms=[Term(TermType.ADAM_TERM, 1.0)], lr=1e-3, weight_decay=1e-2),
        # arXiv:2302.06675, with the defaults of its published code
        "lion": Genome(terms=[Term(TermType.LION, 1.0)], lr=1e-4, beta1=0.9, beta2=0.99),
        # torch's NAdam with decoupled weight decay, at its defaults
        "nadamw": Genome(terms=[Term(TermType.NADAM, 1.0)], lr=2e-3, weight_decay=1e-2),
        # arXiv:2411.16085
        "cautious_adamw": Genome(
            terms=[Term(TermType.ADAM_TERM, 1.0)], lr=1e-3, weight_decay=1e-2, use_cautious=True
        ),
        "adamw_cosine": Genome(
            terms=[Term(TermType.ADAM_TERM, 1.0)],
            lr=1e-3,
            weight_decay=1e-2,
            warmup_share=0.05,
            decay="cosine",
        ),
        "adamw_wsd": Genome(
            terms=[Term(TermType.ADAM_TERM, 1.0)],
            lr=1e-3,
            weight_decay=1e-2,
            warmup_share=0.05,
            decay="wsd",
        ),
        # torch's Muon with adjust_lr_fn="match_rms_adamw" for hidden matrices, AdamW for all else
        "muon": Genome(
            terms=[Term(TermType.ORTHOGONAL, 1.0), Term(TermType.ADAM_TERM, 1.0)],
            lr=1e-3,
            beta1=0.95,
            beta2=0.95,
            weight_decay=1e-1,
        ),
        # arXiv:2409.11321, with the defaults of its published code
        "soap": Genome(
            terms=[Term(TermType.SOAP, 1.0), Term(TermType.ADAM_TERM, 1.0)],
            lr=3e-3,
            beta1=0.95,
            beta2=0.95,
            weight_decay=1e-2,
        ),
        # From before there was Lion's own term: the sign of the gradient with strong decay.
        "lion_like": Genome(terms=[Term(TermType.SIGN_GRAD, 1.0)], lr=1e-4, weight_decay=1e-1),
        "published_2025": Genome(
            terms=[
                Term(TermType.SIGN_GRAD, 0.41205802174892475),
                Term(TermType.SIGN_GRAD, 0.32238621456272765),
                Term(TermType.ADAM_TERM, 2.0030004279455267),
                Term(TermType.ADAM_TERM, 1.6322011630060542),
            ],
            lr=math.pow(10, -2.9198932483267144),
            beta1=0.8553020861538518,
            beta2=0.9357561078635277,
            eps=math.pow(10, -8.26423960220415),
            weight_decay=math.pow(10, -3.0112238437153316),
            use_bias_correction=False,
            use_warmup=True,
            warmup_steps=100,
            use_cosine_decay=True,
            horizon=500,
        ),
        "generalized_adam_1": _nesterov_sgd(
            1.9487942250159782, 0.9721703824185486, 0.00024022723093685417, warmup=100
        ),
        "generalized_adam_2": _nadamw(
            0.0023792566965593815, 0.9800966478498105, 0.9632738717172477, 0.3417568278549717, 10
        ),
        "generalized_adam_3": _nadamw(
            0.003705201967500061, 0.9735338788784104, 0.9785557586542197, 0.022670946869370066, 100
        ),
        "generalized_adam_4": _nadamw(
            0.0014271957958295392, 0.9661952124707597, 0.9957304053273589, 0.09153141484048229, 10
        ),
        "generalized_adam_5": _nadamw(
            0.001768509931943289, 0.9414979138541995, 0.9768053375036079, 0.0279513959224539, 20
        ),
    }
)

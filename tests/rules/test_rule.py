"""Genomes that do the same update share a rule's fingerprint; others never do."""

import math
from typing import Any

import pytest

from optuna_evo import Genome
from optuna_evo import TermType
from optuna_evo.rules import DIRECTIONS


Changes = dict[str, Any]
MOMENTUM: Changes = {"terms": [("MOMENTUM", 1.0)]}
GRAD: Changes = {"terms": [("GRAD", 1.0)]}
SIGN: Changes = {"terms": [("SIGN_GRAD", 1.0)]}
SIGN_MOMENTUM: Changes = {"terms": [("SIGN_MOMENTUM", 1.0)]}
LION: Changes = {"terms": [("LION", 1.0)]}
AGREEMENT: Changes = {"terms": [("AGREEMENT", 1.0)]}
RMS: Changes = {"terms": [("RMS_NORM", 1.0)]}
NO_V: Changes = {"use_v": False}


def genome(*changes: Changes) -> Genome:
    merged: Changes = {"terms": [("ADAM_TERM", 1.0)]}
    for change in changes:
        merged |= change
    return Genome(**merged)


EQUIVALENT: dict[str, tuple[Genome, Genome]] = {
    "terms of one type add up": (
        genome({"terms": [("GRAD", 1.0), ("GRAD", 0.5)]}),
        genome({"terms": [("GRAD", 1.5)]}),
    ),
    "the order of terms is no matter": (
        genome({"terms": [("GRAD", 0.1), ("SIGN_GRAD", 1.0), ("GRAD", 0.2), ("GRAD", 0.3)]}),
        genome({"terms": [("GRAD", 0.3), ("GRAD", 0.2), ("GRAD", 0.1), ("SIGN_GRAD", 1.0)]}),
    ),
    "a term and its negative cancel": (
        genome({"terms": [("GRAD", 1.0), ("MOMENTUM", 2.0), ("MOMENTUM", -2.0)]}),
        genome(GRAD),
    ),
    "several terms cancel in spite of rounding": (
        genome({"terms": [("GRAD", 1.0), *(("MOMENTUM", a) for a in (0.1, 0.2, -0.1, -0.2))]}),
        genome(GRAD),
    ),
    "a term of weight zero is none": (
        genome({"terms": [("GRAD", 1.0), ("RMS_NORM", 0.0)]}),
        genome(GRAD),
    ),
    "the learning rate scales the weights": (
        genome({"terms": [("GRAD", 1.0), ("SIGN_GRAD", 3.0)], "lr": 0.02}),
        genome({"terms": [("GRAD", 2.0), ("SIGN_GRAD", 6.0)], "lr": 0.01}),
    ),
    "the learning rate scales the weight decay": (
        genome({"terms": [("GRAD", 2.0)], "lr": 0.01, "weight_decay": 0.4}),
        genome({"terms": [("GRAD", 1.0)], "lr": 0.02, "weight_decay": 0.2}),
    ),
    "beta2 is not read without v": (genome(MOMENTUM, {"beta2": 0.5}), genome(MOMENTUM)),
    "beta2 is not read with v off": (genome(NO_V, {"beta2": 0.5}), genome(NO_V)),
    "beta1 is not read without m": (genome(RMS, {"beta1": 0.5}), genome(RMS)),
    "beta1 is not read with m off": (
        genome({"use_m": False, "beta1": 0.5}),
        genome({"use_m": False}),
    ),
    "eps is not read without a denominator": (genome(MOMENTUM, {"eps": 1e-4}), genome(MOMENTUM)),
    "Nesterov is a share of momentum and one of the gradient": (
        genome({"terms": [("NESTEROV", 2.0)], "beta1": 0.75}),
        genome({"terms": [("MOMENTUM", 1.5), ("GRAD", 0.5)], "beta1": 0.75}),
    ),
    "Nesterov with beta1 as its own weight": (
        genome({"terms": [("NESTEROV", 1.0)], "nesterov_beta": 0.9}),
        genome({"terms": [("NESTEROV", 1.0)]}),
    ),
    "Nesterov with m off is the gradient": (
        genome({"terms": [("NESTEROV", 1.0)], "use_m": False}),
        genome(GRAD),
    ),
    "m off makes momentum the gradient": (genome(MOMENTUM, {"use_m": False}), genome(GRAD)),
    "beta1 of zero makes momentum the gradient": (genome(MOMENTUM, {"beta1": 0.0}), genome(GRAD)),
    "m off makes Adam RMS normalisation": (genome({"use_m": False}), genome(RMS)),
    "v off is beta2 of zero": (genome(NO_V), genome({"beta2": 0.0})),
    "RMS normalisation with v off divides by |g|": (
        genome(RMS, NO_V),
        genome({"terms": [("SQRT_GRAD", 1.0)]}),
    ),
    "Adam with neither divides g by |g|": (
        genome({"use_m": False, "use_v": False}),
        genome({"terms": [("SQRT_GRAD", 1.0)]}),
    ),
    "bias correction is not read without averages": (
        genome(SIGN, {"use_bias_correction": False}),
        genome(SIGN),
    ),
    "bias correction is nothing where both betas are zero": (
        genome({"beta1": 0.0, "beta2": 0.0, "use_bias_correction": False}),
        genome({"beta1": 0.0, "beta2": 0.0}),
    ),
    "the sign of m does not feel bias correction": (
        genome(SIGN_MOMENTUM, {"use_bias_correction": False}),
        genome(SIGN_MOMENTUM),
    ),
    "m off makes the sign of m that of g": (genome(SIGN_MOMENTUM, {"use_m": False}), genome(SIGN)),
    "Lion with equal decays is the sign of m": (
        genome(LION, {"beta1": 0.9, "beta2": 0.9}),
        genome(SIGN_MOMENTUM, {"beta2": 0.5}),
    ),
    "Lion with m off is the sign of g": (genome(LION, {"use_m": False}), genome(SIGN)),
    "Lion corrects nothing, and has no v": (
        genome(LION, {"use_bias_correction": False, "use_v": False}),
        genome(LION),
    ),
    "m off makes m where it agrees with g all of g": (
        genome(AGREEMENT, {"use_m": False}),
        genome(GRAD),
    ),
    "the sign does not feel clipping": (
        genome(SIGN, {"use_gradient_clipping": True}),
        genome(SIGN),
    ),
    "clip_value is not read without clipping": (genome({"clip_value": 0.5}), genome()),
    "warmup_steps is not read without warm-up": (genome({"warmup_steps": 7}), genome()),
    "a warm-up of one step is none": (
        genome({"use_warmup": True, "warmup_steps": 1}),
        genome(),
    ),
    "a warm-up of no step is none": (
        genome({"use_warmup": True, "warmup_steps": 0, "horizon": 500}),
        genome(),
    ),
    "a warm-up is a share of its horizon": (
        genome({"use_warmup": True, "warmup_steps": 20, "horizon": 100}),
        genome({"use_warmup": True, "warmup_steps": 100, "horizon": 500}),
    ),
    "the horizon is not read without warm-up": (genome({"horizon": 500}), genome()),
    "nothing to do has no learning rate and no schedule": (
        genome({"terms": [], "lr": 1.0, "use_warmup": True, "use_cosine_decay": True}),
        genome({"terms": [("GRAD", 0.0)], "lr": 0.1}),
    ),
}

DIFFERENT: dict[str, tuple[Genome, Genome]] = {
    "learning rate": (genome({"lr": 2e-3}), genome()),
    "weight": (genome({"terms": [("ADAM_TERM", 1.001)]}), genome()),
    "direction of the step": (genome({"terms": [("ADAM_TERM", -1.0)]}), genome()),
    "sign and g / |g|": (genome(SIGN), genome({"terms": [("SQRT_GRAD", 1.0)]})),
    "gradient and momentum": (genome(MOMENTUM), genome(GRAD)),
    "beta1 with m": (genome({"beta1": 0.8}), genome()),
    "beta2 with v": (genome({"beta2": 0.99}), genome()),
    "eps": (genome({"eps": 1e-7}), genome()),
    "weight decay": (genome({"weight_decay": 1e-6}), genome()),
    "bias correction": (genome({"use_bias_correction": False}), genome()),
    "bias correction of v alone": (genome(RMS, {"use_bias_correction": False}), genome(RMS)),
    "m off": (genome({"use_m": False}), genome()),
    "sign of m and Lion": (genome(SIGN_MOMENTUM), genome(LION)),
    "beta1 of Lion": (genome(LION, {"beta1": 0.8}), genome(LION)),
    "beta2 of Lion": (genome(LION, {"beta2": 0.99}), genome(LION)),
    "m and m where it agrees with g": (genome(AGREEMENT), genome(MOMENTUM)),
    "bias correction of m where it agrees with g": (
        genome(AGREEMENT, {"use_bias_correction": False}),
        genome(AGREEMENT),
    ),
    "sign of m and of g": (genome(SIGN_MOMENTUM), genome(SIGN)),
    "clipping before an average of which the sign counts": (
        genome(SIGN_MOMENTUM, {"use_gradient_clipping": True}),
        genome(SIGN_MOMENTUM),
    ),
    "v off": (genome(NO_V), genome()),
    "clipping": (genome({"use_gradient_clipping": True}), genome()),
    "clipping beside a sign": (
        genome({"terms": [("SIGN_GRAD", 1.0), ("GRAD", 1.0)], "use_gradient_clipping": True}),
        genome({"terms": [("SIGN_GRAD", 1.0), ("GRAD", 1.0)]}),
    ),
    "the bound of clipping": (
        genome({"use_gradient_clipping": True, "clip_value": 0.5}),
        genome({"use_gradient_clipping": True, "clip_value": 0.6}),
    ),
    "warm-up": (genome({"use_warmup": True}), genome()),
    "length of warm-up": (
        genome({"use_warmup": True, "warmup_steps": 50}),
        genome({"use_warmup": True, "warmup_steps": 51}),
    ),
    "a warm-up that scales and one that does not": (
        genome({"use_warmup": True, "horizon": 500}),
        genome({"use_warmup": True}),
    ),
    "a warm-up of one step that a longer run stretches": (
        genome({"use_warmup": True, "warmup_steps": 1, "horizon": 10}),
        genome({"horizon": 10}),
    ),
    "cosine": (genome({"use_cosine_decay": True}), genome()),
    "the weight of Nesterov": (
        genome({"terms": [("NESTEROV", 1.0)], "nesterov_beta": 0.1}),
        genome({"terms": [("NESTEROV", 1.0)]}),
    ),
    "weight decay that the learning rate scales": (
        genome({"terms": [], "weight_decay": 0.1, "lr": 0.1}),
        genome({"terms": [], "weight_decay": 0.1, "lr": 0.2}),
    ),
}


@pytest.mark.parametrize("why", EQUIVALENT)
def test_equal_updates_share_a_fingerprint(why: str) -> None:
    one, other = EQUIVALENT[why]
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("why", DIFFERENT)
def test_different_updates_have_different_fingerprints(why: str) -> None:
    one, other = DIFFERENT[why]
    assert one.fingerprint() != other.fingerprint()


def test_a_fingerprint_is_16_hex_digits_and_stays_the_same_between_releases() -> None:
    assert genome().fingerprint() == "ea1cb4dc2c157ad0"


def test_terms_fold_into_the_directions_that_are_left() -> None:
    rule = genome({"terms": [("NESTEROV", 2.0), ("ADAM_TERM", 3.0)], "beta1": 0.75}, NO_V).rule
    expected = {TermType.GRAD: 0.5, TermType.MOMENTUM: 1.5, TermType.MOMENTUM_OVER_ABS: 3.0}
    assert {d: c for d, c in zip(DIRECTIONS, rule.coefficients, strict=True) if c} == expected
    assert rule.needs == {"m"}


def test_warm_up_rises_linearly_from_the_first_step() -> None:
    rule = genome({"use_warmup": True, "warmup_steps": 4}).rule
    assert [rule.lr_scale(step, None) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("total_steps", "first"), [(500, 1 / 100), (50, 1 / 10), (2, 1.0)])
def test_warm_up_keeps_its_share_of_another_run(total_steps: int, first: float) -> None:
    rule = genome({"use_warmup": True, "warmup_steps": 100, "horizon": 500}).rule
    assert rule.lr_scale(0, total_steps) == first


def test_cosine_falls_from_one_to_zero_and_stays_there() -> None:
    rule = genome({"use_cosine_decay": True}).rule
    scales = [rule.lr_scale(step, 4) for step in range(7)]
    assert scales == pytest.approx(
        [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0, 0, 0]
    )


def test_cosine_without_a_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Cosine decay needs `total_steps`"):
        genome({"use_cosine_decay": True}).rule.lr_scale(0, None)

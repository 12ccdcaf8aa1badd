"""Matrix terms, modifiers and schedules by shares as data: equations, fingerprints, ranges."""

from typing import Any

import pytest
import torch

from optuna_evo import catalog
from optuna_evo import Genome


SHOWN = {
    "muon": ["u = m̂/(√v̂ + 1e-08)", "of hidden matrices: u = orthogonal(0.95·m + 0.05·g)"],
    "soap": ["of hidden matrices: u = soap(m̂, g, 0.95)", "w ← w − η·0.01·w − η·u"],
    "nadamw": ["w ← w − η·0.01·w − η·nadam(m, g)/(√v̂ + 1e-08)"],
    "cautious_adamw": ["u ← u·[u·g > 0]/mean([u·g > 0])"],
    "adamw_wsd": ["η = 0.001·min(1, t/(0.05·T))·min(1, (1 − t/T)/0.2)"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_equation_shows_what_moves_hidden_matrices_and_what_modifies(name: str) -> None:
    assert {*SHOWN[name]} <= {*catalog[name].equation().splitlines()}


SAME = [
    # a matrix term alone is Adam's term elsewhere, with its weight
    ({"terms": [("SOAP", 2.0)]}, {"terms": [("SOAP", 2.0), ("ADAM_TERM", 2.0)]}, True),
    ({"terms": [("SOAP", 2.0)]}, {"terms": [("SOAP", 2.0), ("ADAM_TERM", 1.0)]}, False),
    ({"terms": [("SOAP", 2.0)]}, {"terms": [("ORTHOGONAL", 2.0)]}, False),
    # terms of one type add up, and what is 0 is not there
    ({"terms": [("ORTHOGONAL", 1.0)] * 2}, {"terms": [("ORTHOGONAL", 2.0)]}, True),
    (
        {"terms": [("NADAM", 1.0), ("NADAM", -1.0), ("GRAD", 1.0)]},
        {"terms": [("GRAD", 1.0)]},
        True,
    ),
    # without m there is no NAdam
    ({"terms": [("NADAM", 1.0)], "use_m": False}, {"terms": [("RMS_NORM", 1.0)]}, True),
    ({"terms": [("NADAM", 1.0)]}, {"terms": [("ADAM_TERM", 1.0)]}, False),
    # a rule of nothing but decay has nothing to modify
    ({"terms": [], "use_cautious": True, "norm_bound": 1.0}, {"terms": []}, True),
    # a warm-up is a share of the run, however it is said
    (
        {"terms": [("GRAD", 1.0)], "warmup_share": 0.1},
        {"terms": [("GRAD", 1.0)], "use_warmup": True, "warmup_steps": 50, "horizon": 500},
        True,
    ),
    (
        {"terms": [("GRAD", 1.0)], "decay": "cosine"},
        {"terms": [("GRAD", 1.0)], "use_cosine_decay": True},
        True,
    ),
    ({"terms": [("GRAD", 1.0)], "decay": "constant"}, {"terms": [("GRAD", 1.0)]}, True),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_later_genomes_share_a_fingerprint_exactly_if_they_are_one_update(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert (Genome(**one).fingerprint() == Genome(**other).fingerprint()) == same


TWICE = [
    ({"use_warmup": True, "warmup_share": 0.1}, "warms up once"),
    ({"use_cosine_decay": True, "decay": "linear"}, "decays once"),
    ({"decay": "exponential"}, "`decay` must be one of"),
    ({"warmup_share": 1.5}, r"`warmup_share` is a share of the run, in \[0, 1\]"),
    ({"tail_average": -0.1}, "`tail_average` must be >= 0"),
    ({"norm_bound": 0.0}, "`norm_bound` must be > 0"),
    ({"use_cautious": 2}, "`use_cautious` must be true or false"),
]


@pytest.mark.parametrize(("values", "message"), TWICE)
def test_values_of_later_fields_out_of_range_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Genome(terms=[("GRAD", 1.0)], **values)
    assert "\n" not in str(error.value)


def test_a_warm_up_stable_decay_schedule_is_flat_between() -> None:
    rule = Genome(terms=[("GRAD", 1.0)], warmup_share=0.1, decay="wsd").rule
    scales = [rule.lr_scale(step, 100) for step in range(101)]
    assert scales[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert scales[10:81] == pytest.approx([1.0] * 71)
    assert scales[90] == pytest.approx(0.5) and scales[100] == 0.0
    linear = Genome(terms=[("GRAD", 1.0)], decay="linear").rule
    steps = torch.arange(101, dtype=torch.float64)
    for own in (rule, linear):
        assert own.lr_scale(steps, 100).tolist() == pytest.approx(
            [own.lr_scale(step, 100) for step in range(101)]
        )
    assert linear.lr_scale(25, 100) == 0.75

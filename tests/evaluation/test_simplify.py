"""A rule loses what it does not need, keeps what it does, and the evidence says so."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import sign_flip
from optuna_evo.evaluation import simplify
from optuna_evo.evaluation import simplify_by
from optuna_evo.evaluation import tidy
from optuna_evo.evaluation._simplify import Measure
from optuna_evo.objectives import FitnessObjective


RULE = Genome(
    terms=[("ADAM_TERM", 1.0), ("SIGN_GRAD", 0.3), ("GRAD", 0.01)],
    lr=0.01237,
    beta1=0.9123,
    use_gradient_clipping=True,
    use_cosine_decay=True,
    weight_decay=0.02,
)


def worth(genome: Genome, **values: float) -> float:
    """Return what a rule is worth when each of its parts is worth so much."""
    names = {term.type.name for term in genome.terms if abs(term.alpha) > 1e-9}
    names |= {
        name for name in ("use_gradient_clipping", "use_cosine_decay") if getattr(genome, name)
    }
    names |= {"weight_decay"} if genome.weight_decay else set()
    names |= {"m"} if "m" in genome.rule.needs else set()
    names |= {"v"} if "v" in genome.rule.needs else set()
    names |= {"use_bias_correction"} if genome.rule.bias_correction else set()
    return sum(value for name, value in values.items() if name in names)


def measuring(noise: float, calls: list[list[int]] | None = None, **values: float) -> Measure:
    def measure(genomes: Sequence[Genome], seeds: Sequence[int]) -> list[list[float]]:
        if calls is not None:
            calls.append([*seeds])
        drawn = np.array([np.random.default_rng(s).normal(size=1 + len(genomes)) for s in seeds])
        means = np.array([worth(genome, **values) for genome in genomes])
        # what a seed does to all rules alike is no matter
        rows = means[:, None] + noise * drawn[:, 1:].T + 10 * drawn[:, 0]
        return [[float(value) for value in row] for row in rows]

    return measure


def test_what_is_worth_nothing_goes_and_what_is_worth_something_stays() -> None:
    calls: list[list[int]] = []
    parts = {"ADAM_TERM": 1.0, "m": 0.5, "v": 0.5, "use_cosine_decay": 0.3, "SIGN_GRAD": -0.05}
    found = simplify_by(RULE, measuring(0.01, calls, **parts), margin=0.05)
    rule = found.genome
    assert [(term.type.name, term.alpha) for term in rule.terms] == [("ADAM_TERM", 1.0)]
    assert rule.use_cosine_decay and rule.rule.needs == {"m", "v"}
    assert not (rule.use_gradient_clipping or rule.weight_decay or rule.rule.bias_correction)
    # rounded to one digit, of the decay what it forgets
    assert (rule.lr, rule.beta1) == (0.01, 0.91)
    taken = [look.change for look in found.looks if look.taken]
    assert taken[0] == "without 0.3 SIGN_GRAD"  # the best of the first round, not the first
    assert sorted(taken[1:-1]) == [
        "without 0.01 GRAD",
        "without bias correction",
        "without clipping",
        "without weight decay",
    ]
    assert taken[-1] == "all numbers to 1 digit"
    # a loss of 0.05 at the most each, in truth -0.05 together
    assert found.total.low < -0.05 < found.total.high and found.total.half_width < 0.02
    flat = [seed for seeds in calls for seed in seeds]
    assert len(flat) == len(set(flat)) == 16 * len(calls) and min(flat) == 2_000_000
    rounds = {look.round for look in found.looks}
    assert len(calls) == len(rounds) + 1  # all rules of a round at once, then the whole


def test_a_look_is_a_paired_test_corrected_for_all_looks() -> None:
    rule = Genome(terms=[("GRAD", 1.0), ("SIGN_GRAD", 0.5)], lr=0.1)
    values = {"GRAD": 0.5, "SIGN_GRAD": 0.04}
    measure = measuring(0.02, **values)
    found = simplify_by(rule, measure, margin=0.06, seeds=12)
    first = [look for look in found.looks if look.round == 1]
    assert [look.change for look in first] == ["without 1 GRAD", "without 0.5 SIGN_GRAD"]
    simpler = [
        rule,
        Genome(terms=[("SIGN_GRAD", 0.5)], lr=0.1),
        Genome(terms=[("GRAD", 1.0)], lr=0.1),
    ]
    now, _, other = measure(simpler, range(2_000_000, 2_000_012))
    lost = [a - b for a, b in zip(now, other, strict=True)]
    assert first[1].loss == Interval.bootstrap(lost)
    # 2 looks, then 1, and 3 numbers of digits
    beyond = [value - 0.06 for value in lost]
    assert first[1].p_value == pytest.approx(6 * sign_flip(beyond, alternative="less"))
    assert first[0].p_value == 1 and not first[0].taken
    assert first[1].taken == (first[1].p_value <= 0.05)


def test_a_rule_whose_every_part_is_worth_the_margin_seldom_loses_one() -> None:
    rule = Genome(terms=[("GRAD", 1.0), ("SIGN_GRAD", 0.5), ("SQRT_GRAD", 0.3)], lr=0.1)
    parts = {"GRAD": 0.1, "SIGN_GRAD": 0.1, "SQRT_GRAD": 0.1}
    lost = 0
    for repetition in range(60):
        found = simplify_by(
            rule, measuring(0.1, **parts), margin=0.1, seeds=9, first_seed=1000 * repetition
        )
        lost += len(found.genome.terms) < 3
    assert lost <= 5  # 3 at the most in the mean; without the correction 8


def test_weights_of_nearly_one_size_become_one() -> None:
    rule = Genome(terms=[("GRAD", 1.0), ("SIGN_GRAD", -0.9)], lr=0.1)
    parts = {"GRAD": 0.5, "SIGN_GRAD": 0.5}
    found = simplify_by(rule, measuring(0.001, **parts), margin=0.05)
    assert [term.alpha for term in found.genome.terms] == [1.0, -1.0]
    assert found.genome.lr == 0.1  # 0.095, then rounded
    assert "GRAD and SIGN_GRAD of one weight" in {
        look.change for look in found.looks if look.taken
    }


def test_a_rule_that_needs_all_it_has_is_only_rounded() -> None:
    needed = dict.fromkeys(("GRAD", "SIGN_GRAD"), 1.0)
    rule = Genome(terms=[("GRAD", 1.0), ("SIGN_GRAD", 0.5)], lr=0.1)
    found = simplify_by(rule, measuring(0.001, **needed), margin=0.05)
    assert found.genome == rule and found.total == Interval(0, 0, 0)
    assert not any(look.taken for look in found.looks)


@pytest.mark.parametrize("name", sorted(catalog))
def test_a_tidy_rule_is_the_same_rule(name: str) -> None:
    found = tidy(catalog[name])
    assert found.fingerprint() == catalog[name].fingerprint()
    assert max(abs(term.alpha) for term in found.terms) == 1 and tidy(found) == found


def test_a_tidy_rule_has_no_dead_settings_and_no_equal_terms() -> None:
    rule = Genome(
        terms=[("SIGN_GRAD", 1.5), ("SIGN_GRAD", 0.5), ("GRAD", 1.0), ("GRAD", -1.0)],
        lr=0.5,
        beta1=0.3,
        eps=1e-3,
        use_bias_correction=False,
        use_gradient_clipping=True,
    )
    assert tidy(rule) == Genome(terms=[("SIGN_GRAD", 1.0)], lr=1.0)


def test_a_genome_is_valued_by_the_fitness_of_its_objective() -> None:
    objective = FitnessObjective(
        tasks=[tasks.get("two_moons")], seeds=(0,), steps=12, trainer="sequential"
    )
    counts: list[tuple[int, int]] = []
    rule = Genome(terms=[("SIGN_GRAD", 1.0), ("GRAD", 1e-6)], lr=1e-2)
    found = simplify(
        rule,
        objective,
        margin=0.5,
        seeds=8,
        first_seed=7,
        on_round=lambda number, rules: counts.append((number, rules)),
    )
    assert counts == [(1, 3), (2, 2)]  # both terms, then the whole
    lost = []
    for seed in range(7, 15):
        own = dataclasses.replace(objective, seeds=(seed,))
        simpler = Genome(terms=[("GRAD", 1.0)], lr=1e-8)
        run = own.start([TrainingConfig(genome=g) for g in (tidy(rule), simpler)])
        with_it, without = run.advance()
        lost.append(with_it - without)
    looks = {look.change: look for look in found.looks}
    assert [*looks] == ["without 1e-06 GRAD", "without 1 SIGN_GRAD"]
    assert looks["without 1 SIGN_GRAD"].loss == Interval.bootstrap(lost)
    assert found.genome == Genome(terms=[("SIGN_GRAD", 1.0)], lr=1e-2)


def test_a_rule_that_diverges_has_the_penalty() -> None:
    objective = FitnessObjective(
        tasks=[tasks.get("quadratic")], seeds=(0,), steps=5, penalty=-2, trainer="sequential"
    )
    rule = Genome(terms=[("GRAD", 1e30), ("SIGN_GRAD", 1e-3)], lr=1.0)
    found = simplify(rule, objective, margin=0.1, seeds=8)
    dropped = found.looks[0]
    assert "GRAD" in dropped.change and dropped.loss.mean < -1
    assert [term.type.name for term in found.genome.terms] == ["SIGN_GRAD"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.0}, "`margin`"),
        ({"margin": math.nan}, "`margin`"),
        ({"margin": 0.1, "seeds": 4}, "`seeds`"),
        ({"margin": 0.1, "seeds": 6}, "decide nothing"),
    ],
)
def test_arguments_that_decide_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, UsageError), match=message):
        simplify_by(RULE, measuring(0.1), **options)

"""The adaptive operators: items matched by kind, steps that adapt, children that are screened."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.samplers import GASampler
from optuna_evo.samplers._ga._adaptive import breed_adaptive
from optuna_evo.samplers._ga._adaptive import draw_step
from optuna_evo.samplers._ga._heritage import best_of_each
from optuna_evo.samplers._ga._heritage import donors
from optuna_evo.samplers._ga._heritage import latest_successes
from optuna_evo.samplers._ga._heritage import structure
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._operators import Rates
from optuna_evo.samplers._ga._screen import Screen
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._rank import Rank


SPACE = {
    "n": IntDistribution(1, 4),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "flag": CategoricalDistribution([False, True]),
    **{f"term_{k}": CategoricalDistribution(["a", "b", "c"]) for k in range(4)},
    **{f"alpha_{k}": FloatDistribution(-5, 5) for k in range(4)},
}
TERMS = ListSpec("n", ("term_{i}", "alpha_{i}"))
STILL = Rates(crossover=1.0, number=0.0, scale=0.0, structure=0.0, flag=0.0)


def genome(items: list[tuple[str, float]], **scalars: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"n": len(items), "lr": 1e-3, "flag": True, **scalars}
    for k, (term, alpha) in enumerate(items):
        params |= {f"term_{k}": term, f"alpha_{k}": alpha}
    return params


def bred(mother: dict[str, Any], father: dict[str, Any], seed: int, **more: Any) -> dict[str, Any]:
    options = {"rates": STILL, "step": 1e-6, "donors": {}, "specs": [TERMS], "space": SPACE}
    return breed_adaptive(mother, father, rng=np.random.default_rng(seed), **(options | more))


def items(params: dict[str, Any]) -> list[tuple[str, float]]:
    return [(params[f"term_{k}"], round(params[f"alpha_{k}"], 3)) for k in range(params["n"])]


def test_items_are_matched_by_kind_wherever_they_stand() -> None:
    mother = genome([("a", 1.0), ("b", 2.0)])
    father = genome([("b", -2.0), ("a", -1.0)])
    children = [items(bred(mother, father, seed)) for seed in range(60)]
    assert all([term for term, _ in child] == ["a", "b"] for child in children)
    mixtures = {tuple(round(alpha) for _, alpha in child) for child in children}
    assert mixtures == {(1, 2), (1, -2), (-1, 2), (-1, -2)}


def test_an_item_without_a_match_is_inherited_in_half_of_the_cases() -> None:
    mother, father = genome([("a", 1.0), ("b", 2.0)]), genome([("a", 1.0), ("c", 3.0)])
    children = [{term for term, _ in items(bred(mother, father, s))} for s in range(400)]
    assert all("a" in kinds for kinds in children)
    for kind in "bc":
        assert sum(kind in kinds for kinds in children) == pytest.approx(200, abs=50)


@pytest.mark.parametrize("limits", [(1, 4), (2, 3), (3, 3)])
def test_matched_lists_keep_within_their_lengths(limits: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    space = {**SPACE, "n": IntDistribution(*limits)}
    rates = Rates(crossover=1.0, number=0.0, scale=0.0, structure=0.5, flag=0.5)
    for seed in range(300):
        parents = [
            genome(
                [("abc"[int(rng.integers(3))], 1.0)] * int(rng.integers(limits[0], limits[1] + 1))
            )
            for _ in range(2)
        ]
        child = bred(*parents, seed, space=space, rates=rates)
        assert limits[0] <= child["n"] <= limits[1]
        assert {f"term_{k}" for k in range(child["n"])} <= child.keys()


def test_a_child_differs_from_its_parents_by_the_size_of_the_step() -> None:
    parent = genome([("a", 1.0)])
    for step in (1e-3, 1e-1):
        moves = []
        for seed in range(200):
            child = bred(parent, parent, seed, step=step)
            moved = [abs(child["alpha_0"] - 1.0) / 10, abs(np.log10(child["lr"] / 1e-3)) / 4]
            assert child != parent
            moves += [move for move in moved if move > 1e-12]
        assert np.std(np.array(moves) * np.sign(np.arange(len(moves)) % 2 - 0.5)) == pytest.approx(
            step, rel=0.3
        )


def test_a_space_of_categories_alone_still_gives_new_children() -> None:
    space = {name: CategoricalDistribution([0, 1]) for name in "ab"}
    children = [
        bred({"a": 0, "b": 0}, {"a": 0, "b": 0}, seed, space=space, specs=[]) for seed in range(50)
    ]
    assert {"a": 0, "b": 0} not in children


def test_what_neither_parent_has_comes_from_a_good_trial() -> None:
    parent = genome([("a", 1.0)])
    space = {**SPACE, "beta": FloatDistribution(0, 1)}
    child = bred(parent, parent, 0, space=space, donors={"beta": [0.9], "alpha_3": [4.0]})
    assert child["beta"] == pytest.approx(0.9, abs=1e-3) and "alpha_3" not in child


def test_steps_follow_successes_and_stay_of_all_sizes() -> None:
    rng = np.random.default_rng(0)
    free = [draw_step([], rng) for _ in range(2000)]
    led = np.array([draw_step([0.01] * 5, rng) for _ in range(2000)])
    assert 0.005 <= min(free) and max(free) <= 0.5
    near = ((led > 0.01 / 3) & (led < 0.03)).mean()
    assert near > 0.7 and (led > 0.1).mean() > 0.03


def test_successes_are_children_better_than_their_mothers_the_last_ones_first() -> None:
    ranks = {k: Rank(False, 0.0, loss) for k, loss in enumerate([5.0, 4.0, 6.0, 3.0])}
    steps = [(1, 0, 0.1), (2, 0, 0.2), (3, 1, 0.3), (9, 0, 0.9)]
    assert latest_successes(steps, ranks) == [0.3, 0.1]


def test_donors_are_the_best_trials_that_have_a_parameter() -> None:
    best = [{"a": 1}, {"a": 2, "b": 1}, {"a": 3}, {"a": 4, "b": 2}]
    assert donors(best, 2) == {"a": [1, 2, 3], "b": [1, 2]}


def test_the_first_of_each_structure_comes_before_copies_of_the_best() -> None:
    pairs = [(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "c"), (6, "b")]
    assert best_of_each(pairs, 3) == [1, 3, 5]
    assert best_of_each(pairs, 5) == [1, 3, 5, 2, 4]
    assert best_of_each([(1, "a")], 4) == [1]


def test_a_structure_is_the_set_of_kinds_and_categories() -> None:
    one, other = genome([("a", 1.0), ("b", 2.0)]), genome([("b", -3.0), ("a", 0.0)], lr=1e-2)
    first, same, flag, fewer = (
        structure(
            optuna.trial.create_trial(value=0.0, params=p, distributions={n: SPACE[n] for n in p})
        )
        for p in (one, other, {**one, "flag": False}, genome([("a", 1.0)]))
    )
    assert first == same
    assert len({first, flag, fewer}) == 3


def trials(n: int) -> list[Any]:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(n):
        kinds = rng.choice(list("abc"), int(rng.integers(1, 5)))
        params = genome([(str(kind), float(rng.uniform(-5, 5))) for kind in kinds])
        loss = (sum(alpha for term, alpha in items(params) if term == "a") - 3.0) ** 2
        drawn.append((params, {name: SPACE[name] for name in params}, Rank(False, 0.0, loss)))
    return drawn


def test_the_screen_sees_lists_as_bags() -> None:
    screen = Screen(trials(80), [TERMS], LastResult())
    good, bad = [("a", 1.2), ("c", 0.5), ("a", 1.8)], [("a", -3.0), ("b", 3.0)]
    assert screen.best_of([genome(bad), genome(good), genome([("b", 3.0)])]) == 1
    assert screen.best_of([genome(good[::-1]), genome(bad)]) == 0


def test_the_screen_bears_equal_infinite_and_pruned_values() -> None:
    for loss, is_pruned in [(1.0, False), (float("inf"), True)]:
        equal = [(p, d, Rank(is_pruned, 0.0, loss)) for p, d, _ in trials(9)]
        assert Screen(equal, [TERMS], LastResult()).best_of([genome([("a", 1.0)])] * 2) == 0


def evolved(seed: int, **options: Any) -> float:
    def objective(trial: optuna.Trial) -> float:
        n = trial.suggest_int("n", 1, 4)
        total = 0.0
        for k in range(n):
            sign = 1 if trial.suggest_categorical(f"term_{k}", list("abc")) == "a" else 0
            total += sign * trial.suggest_float(f"alpha_{k}", -5, 5)
        lr = np.log10(trial.suggest_float("lr", 1e-5, 1e-1, log=True))
        return (total - 3.0) ** 2 + (lr + 2.5) ** 2

    study = optuna.create_study(sampler=GASampler(seed=seed, **options))
    study.optimize(objective, n_trials=100)
    return study.best_value


def test_screened_children_get_nearer_than_annealed_ones() -> None:
    seeds = range(3)
    screened = [evolved(seed, operators="adaptive") for seed in seeds]
    annealed = [evolved(seed, operators="annealed", population_size=10) for seed in seeds]
    assert np.median(screened) < 0.3 * np.median(annealed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operators": "other"}, "operators"),
        ({"operators": "adaptive", "n_generations": 5}, "n_generations"),
        ({"operators": "adaptive", "mutation_scale": 0.1}, "mutation_scale"),
        ({"operators": "adaptive", "crossover": "single_point"}, "crossover"),
        ({"n_offspring": 0}, "n_offspring"),
        ({"n_startup_trials": 1}, "n_startup_trials"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        GASampler(**options)
    assert "\n" not in str(caught.value)

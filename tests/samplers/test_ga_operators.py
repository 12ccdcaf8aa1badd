"""Lists in flat names, and the operators that keep children valid."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_evo.samplers._ga._genes import draw
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._ga._genes import mutate_number
from optuna_evo.samplers._ga._genes import to_unit
from optuna_evo.samplers._ga._lists import declared_lists
from optuna_evo.samplers._ga._lists import find_lists
from optuna_evo.samplers._ga._lists import join
from optuna_evo.samplers._ga._lists import ListSpec
from optuna_evo.samplers._ga._lists import split
from optuna_evo.samplers._ga._operators import _cut_over
from optuna_evo.samplers._ga._operators import anneal
from optuna_evo.samplers._ga._operators import breed
from optuna_evo.samplers._ga._operators import Rates
from optuna_evo.samplers._ga._operators import select


TERMS = ListSpec("n_terms", ("alpha_{i}", "term_{i}"))
SPACE: dict[str, BaseDistribution] = {
    "n_terms": IntDistribution(1, 4),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "beta1": FloatDistribution(0, 0.999),
    "beta2": FloatDistribution(0, 0.9999),
    "warmup": CategoricalDistribution([True, False]),
    **{f"term_{i}": CategoricalDistribution("abc") for i in range(4)},
    **{f"alpha_{i}": FloatDistribution(-5, 5) for i in range(4)},
}
NUMBERS = [
    FloatDistribution(-5, 5),
    FloatDistribution(1e-10, 1e-4, log=True),
    FloatDistribution(-10, 10, step=0.1),
    FloatDistribution(0, 0.9, step=0.3),
    IntDistribution(0, 1),
    IntDistribution(-9, 9, step=3),
    IntDistribution(1, 1000, log=True),
]


def genome(rng: np.random.Generator, n_terms: int | None = None) -> dict[str, Any]:
    params = {name: draw(rng.random(), distribution) for name, distribution in SPACE.items()}
    n = params["n_terms"] if n_terms is None else n_terms
    kept = {k: v for k, v in params.items() if k[-1] not in "0123" or int(k[-1]) < n}
    return {**kept, "n_terms": n, "beta1": params["beta1"], "beta2": params["beta2"]}


def sample(params: Mapping[str, Any], **more: BaseDistribution) -> Any:
    space = {**SPACE, **more}
    return params, {name: space[name] for name in params}


def genomes(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [genome(rng) for _ in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_lists_are_found_and_names_that_end_in_digits_are_not_mistaken(seed: int) -> None:
    assert find_lists([sample(params) for params in genomes(20, seed)]) == (TERMS,)


def test_lists_counted_from_1_are_found() -> None:
    samples = []
    for depth in (1, 2, 3, 2):
        names = [f"w{i}_units" for i in range(1, depth + 1)]
        space = {"depth": IntDistribution(1, 3), **dict.fromkeys(names, IntDistribution(4, 128))}
        samples.append(({"depth": depth, **dict.fromkeys(names, 8)}, space))
    assert find_lists(samples) == (ListSpec("depth", ("w{i}_units",), base=1),)


def test_conditional_parameters_of_an_item_belong_to_it() -> None:
    samples = []
    for params in genomes(30):
        extra = {f"power_{i}": 0.5 for i in range(params["n_terms"]) if params[f"term_{i}"] == "c"}
        space = {name: FloatDistribution(0, 1) for name in extra}
        samples.append(sample({**params, **extra}, **space))
    (spec,) = find_lists(samples)
    assert set(spec.templates) == {"alpha_{i}", "term_{i}", "power_{i}"}


def test_one_odd_trial_does_not_hide_a_list() -> None:
    odd = {**genome(np.random.default_rng(1), 2), "n_terms": 3}
    assert find_lists([sample(params) for params in [*genomes(99), odd]]) == (TERMS,)


def test_a_list_of_one_length_only_is_not_a_list_yet() -> None:
    rng = np.random.default_rng(0)
    assert find_lists([sample(genome(rng, 2)) for _ in range(9)]) == ()


def test_a_list_within_items_moves_with_them() -> None:
    layers, blocks, width = IntDistribution(1, 3), IntDistribution(0, 2), FloatDistribution(0, 1)
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(40):
        params: dict[str, Any] = {"layers": int(rng.integers(1, 4))}
        space: dict[str, BaseDistribution] = {"layers": layers}
        for i in range(params["layers"]):
            params[f"blocks_{i}"] = int(rng.integers(0, 3))
            space[f"blocks_{i}"] = blocks
            for j in range(params[f"blocks_{i}"]):
                params[f"width_{i}_{j}"], space[f"width_{i}_{j}"] = 0.5, width
        samples.append((params, space))
    (spec,) = find_lists(samples)
    assert spec.length == "layers"
    assert set(spec.templates) == {"blocks_{i}", "width_{i}_0", "width_{i}_1"}


def test_declared_lists_take_their_first_index_from_the_names_seen() -> None:
    lists = {"n": ("w_{i}",)}
    assert declared_lists(lists, ["n", "w_1", "w_2"])[0].base == 1
    assert declared_lists(lists, ["n", "w_0", "w_1"])[0].base == 0


def test_split_and_join_are_inverse() -> None:
    for params in genomes(20):
        assert join(*split(params, [TERMS]), [TERMS]) == params


@pytest.mark.parametrize("limits", [(1, 4), (2, 3), (0, 4)])
def test_children_never_violate_the_lengths_of_lists(limits: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    space = {**SPACE, "n_terms": IntDistribution(*limits)}
    rates = Rates(crossover=1.0, number=0.5, scale=1.0, structure=0.7, flag=0.5)
    for _ in range(500):
        parents = [genome(rng, int(rng.integers(limits[0], limits[1] + 1))) for _ in range(2)]
        child = breed(*parents, space=space, specs=[TERMS], rates=rates, rng=rng)
        indices = sorted(int(name[5:]) for name in child if name.startswith("term_"))
        assert limits[0] <= child["n_terms"] <= limits[1]
        assert indices == list(range(child["n_terms"]))
        assert all(
            space[name]._contains(space[name].to_internal_repr(child[name])) for name in child
        )


def test_an_item_moves_with_all_its_parameters() -> None:
    rng = np.random.default_rng(0)
    rates = Rates(crossover=1.0, number=0.0, scale=0.3, structure=0.0, flag=0.0)
    for _ in range(100):
        mother, father = genome(rng), genome(rng)
        child = breed(mother, father, space=SPACE, specs=[TERMS], rates=rates, rng=rng)
        pairs = {
            (parent[f"term_{i}"], parent[f"alpha_{i}"])
            for parent in (mother, father)
            for i in range(parent["n_terms"])
        }
        children = {(child[f"term_{i}"], child[f"alpha_{i}"]) for i in range(child["n_terms"])}
        assert children <= pairs


@pytest.mark.parametrize("names", ["a", "abcdefgh"])
def test_a_child_differs_from_both_parents_even_if_they_are_equal(names: str) -> None:
    rng = np.random.default_rng(0)
    rates = Rates(crossover=0.9, number=0.35, scale=0.3, structure=0.15, flag=0.1)
    space = {f"choice_{name}": CategoricalDistribution([0, 1]) for name in names}
    parent = dict.fromkeys(space, 0)
    children = [
        breed(parent, parent, space=space, specs=[], rates=rates, rng=rng) for _ in range(200)
    ]
    assert all(child != parent for child in children)


@pytest.mark.parametrize("distribution", NUMBERS, ids=str)
def test_a_mutated_number_is_another_number_of_the_range(distribution: BaseDistribution) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        value = draw(rng.random(), distribution)
        mutant = mutate_number(value, distribution, 0.3, rng)
        assert mutant != value
        assert distribution._contains(distribution.to_internal_repr(mutant))


@pytest.mark.parametrize("distribution", NUMBERS, ids=str)
def test_the_unit_scale_is_uniform_over_the_range(distribution: BaseDistribution) -> None:
    grid = (np.arange(1000) + 0.5) / 1000
    for u in grid:
        value = draw(float(u), distribution)
        assert draw(to_unit(value, distribution), distribution) == pytest.approx(value, rel=1e-9)
        assert fit(value, distribution) == value


def test_a_mutation_moves_by_a_share_of_the_decades_of_a_log_range() -> None:
    rng = np.random.default_rng(0)
    space = FloatDistribution(1e-8, 1e2, log=True)
    steps = [math.log10(mutate_number(1e-3, space, 0.3, rng)) + 3 for _ in range(4000)]
    assert np.std(steps) == pytest.approx(0.3 * 10 / math.sqrt(12), rel=0.05)


def test_mutation_is_annealed_to_half_by_the_last_generation() -> None:
    rates = Rates(crossover=0.9, number=0.4, scale=0.3, structure=0.2, flag=0.1)
    half = Rates(crossover=0.9, number=0.2, scale=0.15, structure=0.1, flag=0.05)
    assert anneal(rates, 0, 11) == rates
    assert anneal(rates, 10, 11) == anneal(rates, 99, 11) == half


def test_two_different_parents_are_selected_the_better_more_often() -> None:
    rng = np.random.default_rng(0)
    pairs = [select(range(10), 4, rng) for _ in range(1000)]
    assert all(first != second for first, second in pairs)
    counts = np.bincount([first for first, _ in pairs], minlength=10)
    assert counts[0] == pytest.approx(400, abs=60)
    assert counts[7:].sum() == 0


def test_single_point_crossover_takes_one_piece_from_each_parent() -> None:
    names = [f"x{k}" for k in range(6)]
    space = dict.fromkeys(names, FloatDistribution(0, 1))
    rates = Rates(crossover=1.0, number=0.0, scale=0.1, structure=0.0, flag=0.0, single_point=True)
    mother, father = dict.fromkeys(names, 0.25), dict.fromkeys(names, 0.75)
    children = [
        breed(mother, father, space=space, specs=(), rates=rates, rng=np.random.default_rng(seed))
        for seed in range(200)
    ]
    # a child that equals a parent is drawn again
    patterns = {tuple(child[name] == 0.25 for name in names) for child in children}
    whole = {tuple(k < n for k in range(6)) for n in range(1, 6)}
    assert whole <= patterns
    n_whole = sum(tuple(child[name] == 0.25 for name in names) in whole for child in children)
    assert n_whole > 190


def test_single_point_crossover_keeps_what_one_parent_alone_has() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        child = _cut_over({"a": 0.1, "b": 0.1}, {"a": 0.9, "c": 0.9}, rng)
        assert child.keys() == set("abc")
        assert (child["b"], child["c"]) == (0.1, 0.9)

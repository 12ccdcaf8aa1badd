"""What contestants are trained on: read from a text, and apart from what a search saw."""

import dataclasses

import pytest
import torch

from optuna_evo.errors import UsageError
from optuna_evo.evaluation import parse_workload
from optuna_evo.evaluation import unseen_workloads
from optuna_evo.evaluation._workload import check_directions
from optuna_evo.evaluation._workload import selection_workloads


def test_a_text_says_width_batch_and_steps() -> None:
    found = parse_workload("digits+width=12+steps=5x+batch=16", steps=20)
    assert (found.steps, found.batch_size, found.model) == (100, 16, {"width": 12})
    assert found.name == "digits+batch=16+steps=5x+width=12"
    assert parse_workload("digits+steps=7", steps=20).steps == 7
    config = found.config(__import__("optuna_evo").catalog["adam"])
    assert (config.batch_size, config.model) == (16, {"width": 12})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", "must be one of"),
        ("digits+width", "NAME"),
        ("digits+depth=2", "takes: width, dropout; every task takes steps and batch"),
        ("digits+steps=0x", "must be in 1"),
        ("digits+batch=-3", "whole number"),
        ("digits+steps=ten", "whole number"),
    ],
)
def test_a_wrong_text_is_one_line(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        parse_workload(text, steps=10)
    assert "\n" not in str(caught.value)


def test_the_sets_are_disjoint_and_unseen_ones_are_other_data_another_width_and_longer() -> None:
    own = [parse_workload("digits", steps=20)]
    chosen, unseen = selection_workloads(own), unseen_workloads(own)
    sets = [{w.name for w in each} for each in (own, chosen, unseen)]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    by_name = {w.name: w for w in unseen}
    assert by_name["digits+width=128"].model == {"width": 128}
    assert by_name["digits+steps=5x"].steps == 100
    assert by_name["breast_cancer"].task.kind == "classification"
    assert chosen[0].batch_size == 32


def test_tasks_that_differ_in_what_is_better_are_not_judged_together() -> None:
    first = parse_workload("digits", steps=5)
    task = dataclasses.replace(first.task, higher_is_better=False)
    other = dataclasses.replace(first, task=task, name="perplexity")
    with pytest.raises(UsageError, match="'perplexity' a lower one"):
        check_directions([first, other])


def test_hidden_matrices_are_all_but_the_last() -> None:
    assert parse_workload("digits", steps=5).hidden == ("0.weight", "2.weight")
    assert parse_workload("quadratic", steps=5).hidden == ()


def test_looking_at_a_model_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    assert parse_workload("digits", steps=5).hidden
    assert torch.equal(before, torch.get_rng_state())

"""The lineages of a study: the tree from parents to children, and figures that stay small."""

import io
import math
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
import pytest
from rich.console import Console

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import MEMBER
from optuna_evo.reports import lineage_figure
from optuna_evo.reports import lineage_tree
from optuna_evo.reports import Lineages
from optuna_evo.reports import schedule_figure
from optuna_evo.reports import summarise_lineages


def study_of(parents: list[int | None], values: list[float] | None = None) -> optuna.Study:
    study = optuna.create_study(study_name="lineages")
    depth: dict[int | None, int] = {None: -1}
    for number, parent in enumerate(parents):
        depth[number] = depth[parent] + 1
        attrs: dict[str, Any] = {"parent": parent, MEMBER.key: number % 2}
        attrs |= {"first_step": 5 * depth[number], "optimizer_steps": 5}
        trial = optuna.create_trial(
            value=values[number] if values else 3.0 - depth[number],
            params={"lr": 0.1 / (1 + number), "dropout": 0.5},
            distributions={
                "lr": FloatDistribution(1e-9, 1.0, log=True),
                "dropout": FloatDistribution(0, 1),
            },
            user_attrs=attrs,
        )
        study.add_trial(trial)
    return study


@pytest.fixture
def lineages() -> Lineages:
    #  0 ── 2 ── 4 (the winner)      1 ── 3,   5 from 2
    return summarise_lineages(study_of([None, None, 0, 1, 2, 2]), winner=4)


def test_the_winning_lineage_leads_from_fresh_weights_to_the_winner(lineages: Lineages) -> None:
    assert [node.number for node in lineages.winning] == [0, 2, 4]
    assert [node.last_step for node in lineages.winning] == [5, 10, 15]
    assert lineages.nodes[0].n_descendants == 3 and lineages.nodes[4].n_descendants == 0
    assert lineages.scales == {"lr": True, "dropout": False}


@pytest.mark.parametrize("key", [DIVERGED.key, *DIVERGED.aliases])
def test_a_diverged_segment_is_shown_as_diverged(key: str) -> None:
    study = optuna.create_study(study_name="lineages")
    study.add_trial(optuna.create_trial(value=9.0, user_attrs={key: True, "member": 7}))
    lineages = summarise_lineages(study, winner=0)
    assert lineages.nodes[0].diverged and lineages.nodes[0].member == 7
    console = Console(width=100, file=io.StringIO())
    with console.capture() as printed:
        console.print(lineage_tree(lineages))
    assert "trial 0 (member 7), step 0: diverged" in printed.get()


@pytest.mark.parametrize(("show_all", "shown"), [(False, "0 2 4 5"), (True, "0 1 2 3 4 5")])
def test_the_tree_shows_children_below_their_parents(
    lineages: Lineages, show_all: bool, shown: str
) -> None:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as printed:
        console.print(lineage_tree(lineages, show_all=show_all))
    lines = printed.get().splitlines()[1:]
    assert sorted(line.split("trial ")[1][0] for line in lines) == shown.split()
    assert any("trial 1 (member 1), step 5: 3.0000, 1 descendant" in x for x in lines) == show_all
    trunk = [line.index("trial") for line in lines if "trial 0" in line or "trial 4" in line]
    assert len(set(trunk)) == 1
    winner = next(line for line in lines if "trial 4" in line)
    assert "lr 0.02" in winner and "dropout" in lines[0] and "dropout" not in winner


def test_the_lineage_figure_joins_children_to_their_parents(lineages: Lineages) -> None:
    others, line = lineage_figure(lineages).data
    assert list(line.x) == [5, None, 5, 10, None, 10, 15, None]
    assert list(line.y) == [3.0, None, 3.0, 2.0, None, 2.0, 1.0, None]
    assert len(others.x) == 2 + 3 + 3


def test_the_schedule_figure_has_a_view_for_each_hyperparameter(lineages: Lineages) -> None:
    figure = schedule_figure(lineages)
    assert [a.text for a in figure.layout.annotations] == ["lr", "dropout"]
    assert list(figure.data[0].x) == [0, 5, 5, 10, 10, 15, 10, 15]
    assert figure.layout.yaxis.type == "log" and figure.layout.yaxis2.type is None


def test_figures_of_long_studies_stay_small() -> None:
    n = 1200
    parents = [None if number < 2 else number - 2 for number in range(n)]
    values = [math.sin(number) + 3 for number in range(n)]
    found = summarise_lineages(study_of(parents, values), winner=n - 1)
    for figure in (lineage_figure(found), schedule_figure(found)):
        assert len(figure.to_json()) < 50_000
    assert len(found.winning) == n // 2

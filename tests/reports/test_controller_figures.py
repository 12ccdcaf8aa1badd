from pathlib import Path

import numpy as np
import pytest
import torch

from optuna_evo.learned import build
from optuna_evo.learned import KINDS
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import ControllerTrace
from optuna_evo.meta_training import trace
from optuna_evo.reports import analyse_trace
from optuna_evo.reports import analysis_line
from optuna_evo.reports import controller_figure
from optuna_evo.reports import draw_controller


def traced(kind: str, *, trained: bool = True, steps: int = 12) -> ControllerTrace:
    controller = build(kind, {"genome": {"terms": [["ADAM_TERM", 1.0]], "lr": 0.01}})
    if trained:
        random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in controller.parameters():
                p.add_(0.1 * torch.randn(p.shape, generator=random))
    family = build_family("digits_mlp", {"width": 4})
    return trace(controller, family, steps=steps, n_tasks=2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_controller_does_nothing_and_a_trained_one_something(kind: str) -> None:
    untrained = traced(kind, trained=False, steps=4)
    assert (untrained.lr == 1).all()
    own = {name: table for name, table in untrained.mixes.items() if name != "own direction"}
    assert all((table == 0).all() for table in own.values())
    assert (untrained.losses["controller"] == untrained.losses["base"]).all()
    found = traced(kind, steps=4)
    assert found.lr.shape == (4, 4)
    assert (found.losses["controller"] != found.losses["base"]).any()


def test_figures_are_drawn_and_small_enough_for_the_dashboard(tmp_path: Path) -> None:
    found = traced("hybrid", steps=60)
    draw_controller(found, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 5000
    assert len(controller_figure(found).to_json()) < 50_000


def test_curves_are_analysed_against_where_the_base_ends() -> None:
    falling = np.exp(-np.arange(30) / 10)[None]
    found = analyse_trace(
        ControllerTrace(
            kind="mlp",
            tensors=("0: 2",),
            lr=np.ones((30, 1)),
            mixes={},
            losses={"controller": falling**2, "base": falling},
        )
    )
    assert found["controller"].steps_to_target < found["base"].steps_to_target
    line = analysis_line("controller", found["controller"])
    assert "falling at the end" in line and "0% diverged" in line

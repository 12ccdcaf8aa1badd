"""The state of an optimizer of the release before terms became rows goes on here."""

from pathlib import Path

import pytest
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer


ASSET = Path(__file__).parents[1] / "assets/schema1_optimizer.pt"


@pytest.mark.parametrize("way", [{}, {"foreach": True}, {"foreach": False}, {"capturable": True}])
def test_a_released_state_goes_on_as_it_did(way: dict[str, bool]) -> None:
    released = torch.load(ASSET, weights_only=True)
    params = [nn.Parameter(weights) for weights in released["weights"]]
    optimizer = EvolvedOptimizer(params, catalog["published_2025"], total_steps=9, **way)
    optimizer.load_state_dict(released["state"])
    for step in range(4, 8):
        for p in params:
            p.grad = torch.linspace(-1 - step, 1, p.numel(), dtype=p.dtype).view_as(p)
        optimizer.step()
    # the compiled pass does bit for bit what it did; other orders of sums differ by rounding
    tolerance = {} if way else {"rtol": 0, "atol": 0}
    torch.testing.assert_close([p.detach() for p in params], released["end"], **tolerance)

"""What is done in chunks is what is done at once, up to rounding."""

import pytest
import torch

from optuna_evo.learned import _chunked
from optuna_evo.learned import MLPController
from optuna_evo.learned._chunked import chunked_direction
from optuna_evo.learned._features import of_features
from optuna_evo.learned._features import parameter_features
from optuna_evo.learned._features import start_features
from optuna_evo.learned._reading import Reading


LAYOUT = [(7, 3, 2, 2), (7,), (5, 7), (), (1, 4), (0, 3)]
N = 84 + 7 + 35 + 1 + 4


@pytest.mark.parametrize("chunk", [1, 16, 10_000])
@pytest.mark.parametrize("own_weights", [False, True])
def test_chunks_agree_with_all_at_once(
    monkeypatch: pytest.MonkeyPatch, chunk: int, own_weights: bool
) -> None:
    monkeypatch.setattr(_chunked, "_CHUNK", chunk)
    random = torch.Generator().manual_seed(0)
    net = MLPController(per_parameter=True).net
    with torch.no_grad():
        for p in net.parameters():
            shape = (2, *p.shape) if own_weights else p.shape  # those of each member
            p.data = torch.randn(shape, generator=random)
    state = {n: x.expand(2, *x.shape).clone() for n, x in start_features(LAYOUT).items()}
    for _ in range(3):
        g, w = (torch.randn(2, N, generator=random) for _ in range(2))
        reading = Reading(LAYOUT, *[torch.zeros(2)] * 4, {"grads": g * 1e-3, "params": w})
        with torch.no_grad():
            features, after = parameter_features(reading, state)
            expected = of_features(net, features, LAYOUT)
            found, after_chunks = chunked_direction(net, reading, state)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        for name, value in after.items():
            torch.testing.assert_close(after_chunks[name], value, rtol=1e-5, atol=1e-12)
        state = after

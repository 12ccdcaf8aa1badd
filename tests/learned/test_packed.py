"""Controllers as texts of a database, and what their steps cost."""

import json

import pytest
import torch

from optuna_evo.errors import UsageError
from optuna_evo.learned import build
from optuna_evo.learned import Controller
from optuna_evo.learned import KINDS
from optuna_evo.learned import packed
from optuna_evo.learned import step_cost
from optuna_evo.learned import unpacked


def controller(kind: str = "mlp", **settings: object) -> Controller:
    made = build(kind, settings)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(torch.randn(p.shape, generator=random))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_comes_back_with_the_same_bits(kind: str) -> None:
    made = controller(kind, hidden_size=32)
    head, *texts = json.loads(json.dumps(packed(made)))
    assert all(len(text) < 65_535 for text in texts)
    found = unpacked(head, texts, where="trial 0")
    assert found.settings == made.settings
    for name, weight in made.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight)


def test_a_large_one_is_more_than_one_text() -> None:
    head, *texts = packed(controller(hidden_size=128))
    assert len(texts) == head["n_texts"] > 1


def test_damage_is_one_line() -> None:
    head, *texts = packed(controller())
    for bad in (texts[0][:-20], "", "no base64!"):
        with pytest.raises(UsageError, match="in trial 3 (is|are) damaged"):
            unpacked(head, [bad], where="trial 3")
    with pytest.raises(UsageError, match="do not fit a controller 'mlp'"):
        unpacked(packed(controller(hidden_size=4))[0], texts, where="trial 3")


def test_costs_are_counted_and_grow_with_what_is_computed() -> None:
    small, large = controller(hidden_size=4), controller(hidden_size=64)
    assert step_cost(small) == step_cost(small) < step_cost(large)
    assert step_cost(large) < step_cost(controller("lstm", hidden_size=4))
    # statistics are of a sample: the larger the model, the less for each parameter
    assert step_cost(small, [(512, 512)]) < step_cost(small) / 3


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_another_activation_is_another_rule(activation: str) -> None:
    made = controller(activation=activation)
    assert made.settings["activation"] == activation
    assert "activation" not in controller().settings
    with pytest.raises(UsageError, match="`activation` must be one of tanh, relu, silu"):
        build("mlp", {"activation": "step"})

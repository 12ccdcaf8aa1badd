"""A folder that is no whole controller of this version is refused in one line and runs nothing."""

from collections.abc import Callable
import json
from pathlib import Path
import pickle
from typing import Any

import pytest
from safetensors.torch import save_file
import torch

from optuna_evo import controllers
from optuna_evo import LearnedOptimizer
from optuna_evo.errors import UsageError
from optuna_evo.learned import Answer
from optuna_evo.learned import Controller
from optuna_evo.learned import load_controller
from optuna_evo.learned import MLPController
from optuna_evo.learned import provenance_of
from optuna_evo.learned import Reading
from optuna_evo.learned import register
from optuna_evo.learned import save_controller
from optuna_evo.learned import State


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_controller(MLPController(), tmp_path / "mine", provenance={"seed": 3})


def head(folder: Path, **changes: Any) -> None:
    """Change entries of the head."""
    path = folder / "controller.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(folder: Path, name: str, size: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:size])


def weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Change weights by the names of parameters."""
    named = MLPController().state_dict() | changes
    save_file({n: t for n, t in named.items() if t is not None}, folder / "weights.safetensors")


class Bomb:
    def __reduce__(self) -> Any:
        return (print, ("it runs",))


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no head": (lambda f: (f / "controller.json").unlink(), "'controller.json' cannot be read"),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "is not whole"),
    "a cut head": (lambda f: cut(f, "controller.json", 40), "is damaged, it is no JSON"),
    "cut weights": (lambda f: cut(f, "weights.safetensors", 700), "weights .* are damaged"),
    "no bytes of weights": (lambda f: cut(f, "weights.safetensors", 0), "weights .* are damaged"),
    "a pickle for weights": (
        lambda f: (f / "weights.safetensors").write_bytes(pickle.dumps(Bomb())),
        "weights .* are damaged",
    ),
    "another version": (lambda f: head(f, format=99), "has format 99, this version reads 1"),
    "a list": (lambda f: (f / "controller.json").write_text("[]"), "has format None"),
    "nested JSON": (
        lambda f: (f / "controller.json").write_text("[" * 100_000),
        "is damaged, it is no JSON",
    ),
    "an unknown kind": (lambda f: head(f, kind="oracle"), "Unknown kind of controller 'oracle'"),
    "a path for a kind": (lambda f: head(f, kind="os:system"), "Unknown kind of controller"),
    "a number for a kind": (lambda f: head(f, kind=3), "Unknown kind of controller '3'"),
    "unknown settings": (
        lambda f: head(f, settings={"wings": 2}),
        "no settings of a controller 'mlp': .*wings",
    ),
    "a huge size": (
        lambda f: head(f, settings={"hidden_size": 10**12}),
        "`hidden_size` must be a whole number from 1 to 4096",
    ),
    "no table of settings": (lambda f: head(f, settings=3), "must hold a `kind` and tables"),
    "a wrong genome": (lambda f: head(f, settings={"genome": {"lr": 1}}), "needs `terms`"),
    "another shape": (
        lambda f: head(f, settings={"hidden_size": 3}),
        r"do not fit a controller 'mlp' .* 'net.0.bias': \(16,\) in place of \(3,\)",
    ),
    "a missing weight": (lambda f: weights(f, **{"net.0.bias": None}), "None in place of"),
    "one weight more": (lambda f: weights(f, more=torch.ones(2)), "'more'.* in place of None"),
    "NaN": (
        lambda f: weights(f, **{"net.0.bias": torch.full((16,), torch.nan)}),
        "are not finite, at 'net.0.bias'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_folder_is_refused_in_one_line(
    folder: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(UsageError, match=message) as caught:
        load_controller(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["nothing", "../etc", "", "a\0b"])
def test_a_name_that_is_none_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="There is no controller|is not whole"):
        LearnedOptimizer([torch.nn.Parameter(torch.ones(2))], name, total_steps=3)


def test_how_a_controller_came_about_is_kept(folder: Path) -> None:
    assert provenance_of(folder) == {"seed": 3}


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    controller = MLPController()
    with torch.no_grad():
        controller.net[0].bias[0] = torch.inf
    with pytest.raises(UsageError, match="are not finite"):
        save_controller(controller, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_controller_is_replaced(folder: Path) -> None:
    save_controller(MLPController(hidden_size=4), folder)
    assert load_controller(folder).settings["hidden_size"] == 4
    assert sorted(path.name for path in folder.iterdir()) == [
        "controller.json",
        "weights.safetensors",
    ]


class Doubling(Controller):
    kind = "doubling"

    def __init__(self, **given: Any) -> None:
        super().__init__({}, **given)
        self.log = torch.nn.Parameter(torch.tensor(2.0).log())

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        n_tensors = len(reading.statistics)
        mix = torch.zeros(n_tensors, len(self.mixes))
        return Answer(self.log.expand(n_tensors), mix), state


def test_a_kind_of_ones_own_is_loaded_where_it_is_registered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown kind of controller 'doubling'"):
        save_controller(Doubling(), tmp_path / "mine")
    register(Doubling)
    assert isinstance(load_controller(save_controller(Doubling(), tmp_path / "mine")), Doubling)


def test_a_kind_has_one_class() -> None:
    class Other(Doubling):
        kind = "mlp"

    with pytest.raises(UsageError, match="There is a kind 'mlp' already"):
        register(Other)


def test_controllers_of_the_package_are_found_by_their_names() -> None:
    for name in controllers:
        assert isinstance(controllers[name], Controller)
        size = sum(path.stat().st_size for path in controllers.folder(name).iterdir())
        assert size < 1_000_000
    assert len(controllers) == len([*controllers])
    with pytest.raises(KeyError):
        controllers["nothing"]

"""Spoilt controllers, states of meta-training and exported files: read, or refused in one line."""

import contextlib
from dataclasses import dataclass
import functools
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
import torch

from optuna_evo import EvolvedOptimizer
from optuna_evo import LearnedOptimizer
from optuna_evo.config import ControllerConfig
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import UsageError
from optuna_evo.learned import load_controller
from optuna_evo.learned import provenance_of
from optuna_evo.learned import save_controller
from optuna_evo.learned._kinds import build
from optuna_evo.learned._kinds import KINDS
from optuna_evo.meta_training._states import read_state
from optuna_evo.meta_training._states import write_state
from optuna_evo.rules import catalog
from optuna_evo.rules import Genome
from optuna_evo.rules import Schedule
from tests.hostile.spoilt import changed_bytes
from tests.hostile.spoilt import changed_table
from tests.hostile.test_fuzz import call
from tests.hostile.test_fuzz import examples
from tests.hostile.test_fuzz import no_hang
from tests.hostile.test_fuzz import one_line
from tests.hostile.test_fuzz import own_folder
from tests.hostile.test_rules import SCHEDULE


HEAD, WEIGHTS = "controller.json", "weights.safetensors"
FIGURES = {"selection_loss": 1.0, "selection_loss_of_base": 2.0}
PROVENANCE = {"seed": 0, "command": "x", "figures": FIGURES, "spec": {"seed": 0}}


@dataclass(frozen=True)
class Files:
    """The two files of a controller."""

    head: bytes
    weights: bytes

    def __repr__(self) -> str:
        return f"{self.head!r} and {len(self.weights)} bytes of weights"


@functools.cache
def whole(kind: str) -> tuple[bytes, bytes]:
    """Return the two files of a controller of some kind."""
    with own_folder() as folder:
        save_controller(build(kind, {}), folder / "c", provenance=PROVENANCE)
        return (folder / "c" / HEAD).read_bytes(), (folder / "c" / WEIGHTS).read_bytes()


@st.composite
def spoilt_controllers(draw: st.DrawFn) -> Files:
    """Draw a head and weights, of which at least one is spoilt."""
    head, weights = whole(draw(st.sampled_from(sorted(KINDS))))
    kind = draw(st.sampled_from(["table", "table", "table", "head", "weights", "tensor", "mixed"]))
    if kind == "table":
        head = json.dumps(draw(changed_table([json.loads(head)]))).encode()
    elif kind == "head":
        head = draw(changed_bytes(head) | st.binary(max_size=60))
    elif kind == "weights":
        weights = draw(changed_bytes(weights) | st.binary(max_size=60))
    elif kind == "tensor":
        weights = save_tensors(draw(spoilt_tensors(load_tensors(weights))))
    else:
        weights = whole(draw(st.sampled_from(sorted(KINDS))))[1]
    return Files(head, weights)


@st.composite
def spoilt_tensors(draw: st.DrawFn, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = draw(st.sampled_from(sorted(tensors)))
    tensor = tensors.pop(name)
    change = draw(st.sampled_from(["nan", "huge", "type", "shape", "gone", "renamed"]))
    if change == "nan":
        tensors[name] = tensor * float("nan")
    elif change == "huge":
        tensors[name] = torch.full_like(tensor, 3e38)
    elif change == "type":
        kinds = [torch.float64, torch.float16, torch.int64, torch.bool]
        tensors[name] = tensor.to(draw(st.sampled_from(kinds)))
    elif change == "shape":
        tensors[name] = tensor.new_zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
    elif change == "renamed":
        tensors[draw(st.text(max_size=5))] = tensor
    return tensors


def train(folder: str) -> None:
    """Take two steps by a controller."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = LearnedOptimizer(model.parameters(), folder, total_steps=4)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()


@examples(12, 500)
@given(st.deferred(spoilt_controllers))
def test_a_spoilt_controller_is_loaded_or_refused_in_one_line(files: Files) -> None:
    with own_folder() as folder, no_hang():
        (folder / "c").mkdir()
        for name, content in ((HEAD, files.head), (WEIGHTS, files.weights)):
            (folder / "c" / name).write_bytes(content)
        code, _, err = call("optimizer", "show", "c")
        assert code in (0, 2), err
        assert call("optimizer", "list", ".")[0] == 0
        try:
            controller = load_controller("c")
            provenance_of("c")
            ControllerConfig(controller="c")
            train("c")
        except UsageError as error:
            one_line(str(error))
        else:
            save_controller(controller, "d")
            again = load_controller("d").state_dict()
            assert all(torch.equal(again[n], t) for n, t in controller.state_dict().items())
        assert {path.name for path in (folder / "c").iterdir()} == {HEAD, WEIGHTS}


@functools.cache
def whole_state() -> bytes:
    with own_folder() as folder:
        write_state(folder / "s", {"a": torch.arange(6.0)}, {"number": 3, "best": [1.0, None]})
        return (folder / "s").read_bytes()


@examples(30, 200)
@given(st.deferred(lambda: changed_bytes(whole_state())) | st.binary(max_size=99))
def test_a_spoilt_state_of_meta_training_is_read_or_refused_in_one_line(data: bytes) -> None:
    with own_folder() as folder:
        (folder / "state-1").mkdir()
        (folder / "state-1" / "s").write_bytes(data)
        try:
            with no_hang():
                tensors, plain = read_state(folder / "state-1" / "s")
        except CheckpointError as error:
            one_line(str(error))
        else:
            assert all(isinstance(t, torch.Tensor) for t in tensors.values())
            assert isinstance(plain, dict)


@examples(60, 300)
@given(
    st.sampled_from([json.dumps(g.to_dict()).encode() for g in catalog.values()]).flatmap(
        changed_bytes
    )
    | changed_bytes(json.dumps(SCHEDULE).encode())
)
def test_a_spoilt_exported_file_is_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        content: Any = json.loads(data)
    except ValueError:  # no JSON: the reader's own matter
        return
    with contextlib.suppress(ValueError):
        Schedule.from_dict(content)
    try:
        genome = Genome.from_dict(content)
    except ValueError as error:
        one_line(str(error))
        return
    model = torch.nn.Linear(3, 2)
    optimizer = EvolvedOptimizer(model.parameters(), genome)
    model(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


@examples(20, 150)
@given(changed_table([{"a": 1}]))
def test_an_optimizer_refuses_a_state_that_is_none_of_its_own(table: Any) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = EvolvedOptimizer(model.parameters(), catalog["adam"])
    before = json.dumps(optimizer.state_dict(), default=str)
    with pytest.raises((ValueError, KeyError, TypeError)):
        optimizer.load_state_dict(table)
    assert json.dumps(optimizer.state_dict(), default=str) == before


def test_a_controller_that_cannot_be_written_leaves_the_one_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = save_controller(build("mlp", {}), tmp_path / "c", provenance={"seed": 1})
    before = {path.name: path.read_bytes() for path in place.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("optuna_evo.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_controller(build("mlp", {}), place, provenance={"seed": 2})
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before

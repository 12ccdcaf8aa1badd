"""Small lineages, what they end with, and processes that die at a chosen place of a write."""

from collections import Counter
from collections.abc import Callable
import multiprocessing
import multiprocessing.process
import os
from pathlib import Path
import signal
from typing import Any
from typing import BinaryIO

from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import torch

from optuna_evo import files
from optuna_evo.attributes import ERROR
from optuna_evo.samplers import segment_of
from optuna_evo.search import _lineage
from optuna_evo.search import AtomicFileSystemStore
from optuna_evo.search import CheckpointStore
from optuna_evo.search import open_storage
from optuna_evo.search import parent_of
from optuna_evo.spec import StudySpec
from optuna_evo.study import checkpoints_of
from optuna_evo.study import create_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study


__all__ = ["check", "DEATHS", "ends", "make", "n_files", "run", "start", "trials", "Worker"]

PROCESSES = multiprocessing.get_context("forkserver")
Worker = multiprocessing.process.BaseProcess
_PRELOADED = ("torch", "optuna_evo.search._lineage", "tests.search.lineages")


def make(url: str, *, n_trials: int, n_members: int = 2, steps: int = 2) -> None:
    PROCESSES.set_forkserver_preload([*_PRELOADED])
    spec = {
        "name": "moons",
        "tasks": ["two_moons"],
        "n_trials": n_trials,
        "sampler": {"name": "recurrence", "population_size": n_members},
        "space": {"name": "language_model", "dropout": []},
        "trainer": {"steps": steps},
        "objective": {"name": "segment", "reports": 1},
    }
    create_study(StudySpec.from_dict(spec), open_storage(url))


def run(url: str, folder: Path, n_more: int | None = None) -> None:
    """Do what `optuna_evo study run moons` does, but for the start and the printing."""
    storage = open_storage(url)
    try:
        stored = load_study("moons", storage)
        run_study(stored, device="cpu", n_more=n_more, checkpoints=str(folder))
    finally:
        storage.close()


def trials(url: str) -> list[FrozenTrial]:
    storage = open_storage(url)
    found = load_study("moons", storage).study.get_trials()
    storage.close()
    return found


def n_files(folder: Path) -> int:
    return sum(1 for path in folder.glob("*/*") if path.is_file())


# --- what must hold ------------------------------------------------------------------------------


def check(found: list[FrozenTrial], n_lost: int) -> None:
    """Check that each segment ended once, on its parent's weights, and each loss has a copy."""
    states = Counter(trial.state for trial in found)
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0, states
    lost = [trial for trial in found if trial.state == TrialState.FAIL]
    assert len(lost) == n_lost and not any(ERROR.is_in(t.user_attrs) for t in lost), states
    copied = Counter(
        trial.system_attrs["retry_history"][-1]
        for trial in found
        if "retry_history" in trial.system_attrs
    )
    assert copied == Counter(trial.number for trial in lost)
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    turns = Counter(place_of(trial) for trial in complete)
    assert set(turns.values()) <= {1}
    for member in {member for member, _ in turns}:
        own = sorted(turn for m, turn in turns if m == member)
        assert own == list(range(len(own)))
    check_parents(complete, found)


def check_parents(complete: list[FrozenTrial], found: list[FrozenTrial]) -> None:
    """Check that each segment began where its parent ended."""
    for trial in complete:
        segment, parent = segment_of(trial), parent_of(trial)
        assert segment is not None and (parent is None) == (segment.index == 0)
        if parent is not None:
            before = found[parent]
            assert before.state == TrialState.COMPLETE
            reached = before.user_attrs["first_step"] + before.user_attrs["optimizer_steps"]
            assert trial.user_attrs["first_step"] == reached


def place_of(trial: FrozenTrial) -> tuple[int, int]:
    slot = trial.system_attrs["RecurrenceSampler:segment"]
    return slot["member"], slot["turn"]


def ends(url: str, folder: Path) -> tuple[list[Any], dict[Any, list[Any]]]:
    """Return the results by their places, and the weights of the checkpoints that are left."""
    found = [trial for trial in trials(url) if trial.state == TrialState.COMPLETE]
    results = [(place_of(trial), trial.params, trial.value) for trial in found]
    storage = open_storage(url)
    store = checkpoints_of(load_study("moons", storage), str(folder))
    storage.close()
    numbers = {path.stem for path in folder.glob("*/*")}
    assert all(number.isdecimal() for number in numbers), numbers  # no half of a file
    weights = {}
    for trial in found:
        if str(trial.number) in numbers:
            model = store.load(trial.number).model
            weights[place_of(trial)] = [(n, t.tolist()) for n, t in sorted(model.items())]
    assert len(weights) == len(numbers)  # none of a trial that did not end
    return sorted(results, key=lambda result: result[0]), weights


# --- processes that die --------------------------------------------------------------------------


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _nth(function: Callable[..., Any], other: Callable[..., Any], nth: int) -> Callable[..., Any]:
    """Return a function whose n-th call is one of another function."""
    n_calls = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        return (other if n_calls == nth else function)(*args, **options)

    return counted


def _write_half(store: AtomicFileSystemStore, name: str, body: BinaryIO) -> None:
    content = body.read()
    with files.open_whole(store._get_filepath(name)) as file:
        file.write(content[: len(content) // 2])
        file.flush()
        _die()


def _replace_and_die(*args: Any) -> None:
    os.rename(*args)
    _die()


class _Own:
    """A module of which some functions are others, for one of its users."""

    def __init__(self, module: Any, **others: Any) -> None:
        self.__dict__.update({n: getattr(module, n) for n in dir(module)}, **others)


def _in_files(other: Callable[..., Any], name: str, nth: int) -> None:
    mine = _nth(getattr(os, name), other, nth)
    vars(files)["os"] = _Own(os, **{name: mine})


def _as_method(other: Callable[..., Any], cls: Any, name: str, nth: int) -> None:
    setattr(cls, name, _nth(getattr(cls, name), other, nth))


DEATHS: dict[str, Callable[[int], None]] = {
    "before it": lambda n: _as_method(_die, CheckpointStore, "save", n),
    "in the middle of it": lambda n: _as_method(_write_half, AtomicFileSystemStore, "write", n),
    "before it is in its place": lambda n: _in_files(_die, "replace", n),
    "when it is in its place": lambda n: _in_files(_replace_and_die, "replace", n),
    "when the trial is told": lambda n: _as_method(_die, _lineage.Lineage, "clean_up", n),
}


def _run_and_die(url: str, folder: Path, death: str | None, nth: int) -> None:
    torch.set_num_threads(1)
    if death is not None:
        DEATHS[death](nth)
    run(url, folder)


def start(url: str, folder: Path, death: str | None = None, nth: int = 1) -> Worker:
    """Start a worker that is killed at a place of its n-th write; None: of no write."""
    worker = PROCESSES.Process(target=_run_and_die, args=(url, folder, death, nth))
    worker.start()
    return worker

"""A meta-training from its spec to a stored controller, in one process or several.

Each process trains its own stacks of antithetic pairs, and tells the others what they found: a
few numbers for each pair. Perturbations are drawn anew from seeds wherever they are needed, and
the update is the same in every process, so the result does not depend on how many there are.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import datetime
import json
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
import shutil
import subprocess
import time
from typing import Any
from typing import Protocol

import torch

from optuna_evo.errors import MetaTrainingError
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import UsageError
from optuna_evo.learned import Controller
from optuna_evo.learned import resolve
from optuna_evo.learned import save_controller
from optuna_evo.meta_training._estimators import Scalars
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.meta_training._training import MetaTraining
from optuna_evo.meta_training._training import OuterRecord


__all__ = ["meta_train", "MetaListener", "state_folder"]

_STEP, _SAVE, _END = b"step", b"save", b"end"


class MetaListener(Protocol):
    """What is told of a meta-training as it runs."""

    def stepped(self, record: OuterRecord) -> None:
        """An outer step is done."""
        ...

    def selected(self, number: int, score: float, base_score: float) -> None:
        """The meta-parameters were measured on tasks of their own, beside the base rule."""
        ...


class _Silent:
    def stepped(self, record: OuterRecord) -> None:
        pass

    def selected(self, number: int, score: float, base_score: float) -> None:
        pass


def state_folder(out: Path) -> Path:
    """Return where the state of a meta-training lies that writes its controller to `out`."""
    return out.with_name(f"{out.name}.training")


def meta_train(
    spec: MetaSpec,
    out: str | Path,
    *,
    device: str = "cpu",
    workers: int = 1,
    outer_steps: int | None = None,
    minutes: float | None = None,
    start: Controller | str | Path | None = None,
    listener: MetaListener | None = None,
    command: str = "",
) -> Path:
    """Train a controller and write it as a folder; go on where an earlier call was stopped.

    The state is saved whenever the meta-parameters are measured (`selection.every`), beside `out`
    as `out.training`. A killed meta-training goes on from there and ends with the same bits.

    Args:
        spec: What to do.
        out: Folder of the controller; it must not exist, unless it is that of a stopped call.
        device: Where inner trainings run.
        workers: Processes, at most `outer.stacks`; the result does not depend on them.
        outer_steps: Stop after so many, of `outer.steps`; the state is kept, and a later call
            goes on.
        minutes: Likewise, after that time in this call.
        start: A controller to start from, by itself, by name or folder, such as one trained
            elsewhere; its kind and settings take the place of those in the spec.
        listener: Is told of each outer step.
        command: What is written into the controller as the command that made it.

    Returns:
        The folder.

    Raises:
        UsageError: If `out` exists already, or there are more workers than stacks.
        CheckpointError: If the state there is damaged or of another spec.
        MetaTrainingError: If three outer steps in a row found no finite gradient. The best state
            measured before is written to `out`.

    Example:
        >>> meta_train(load_meta_spec("studies/learned_optimizer.toml"), "mine")
    """
    out = Path(out)
    if out.exists() and not state_folder(out).exists():
        raise UsageError(
            f"{str(out)!r} exists: remove it, or write to another place by `out` (--out)."
        )
    most = 1 if spec.outer.estimator == "truncated_backprop" else spec.outer.stacks
    if not 1 <= workers <= most:
        raise UsageError(
            f"There can be 1 to {most} workers, got {workers}: evolution strategies have as many "
            "as outer.stacks."
        )
    started = None if start is None else resolve(start)
    folder, listener, began = state_folder(out), listener or _Silent(), time.monotonic()
    training = MetaTraining(spec, device=device, is_own=_owner(0, workers), start=started)
    last = min(spec.outer.steps, outer_steps or spec.outer.steps)
    with _crew(spec, workers, device, folder, started) as crew:
        if not training.resume(folder):
            listener.selected(0, training.select(), training.base_score)
        try:
            while training.number < last and not _is_late(began, minutes):
                listener.stepped(_step(training, crew))
                if training.number % spec.selection.every == 0:
                    _measure_and_save(training, crew, folder, listener)
        except MetaTrainingError:
            if training.best_score < float("inf"):
                _save(training, out, command, began)
            raise
        if training.number % spec.selection.every:
            _measure_and_save(training, crew, folder, listener)
    _save(training, out, command, began)
    if training.number >= spec.outer.steps:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _is_late(began: float, minutes: float | None) -> bool:
    return minutes is not None and time.monotonic() - began > 60 * minutes


def _step(training: MetaTraining, crew: Sequence[Connection]) -> OuterRecord:
    """Do an outer step together."""
    for connection in crew:
        connection.send_bytes(_STEP)
    own = training.evaluate()
    parts = [own, *(_decoded(_received(connection)) for connection in crew)]
    scalars = {number: found for part in parts for number, found in part.items()}
    for connection in crew:
        connection.send_bytes(_encoded(scalars))
    return training.update(scalars)


def _measure_and_save(
    training: MetaTraining, crew: Sequence[Connection], folder: Path, listener: MetaListener
) -> None:
    listener.selected(training.number, training.select(), training.base_score)
    for connection in crew:
        connection.send_bytes(_SAVE)
    training.write_stacks(folder)
    for connection in crew:
        _received(connection)
    training.write_shared(folder)  # last: it makes the state the one to go on from


def _save(training: MetaTraining, out: Path, command: str, began: float) -> None:
    spec = training.spec
    figures = {
        "outer_steps": training.number,
        "skipped": training.n_skipped,
        "selection_loss": training.best_score,
        "selection_loss_of_base": training.base_score,
        "seconds_of_last_call": round(time.monotonic() - began, 1),
    }
    provenance = {
        "command": command,
        "seed": spec.seed,
        "commit": _commit(),
        "date": datetime.date.today().isoformat(),
        "spec": spec.to_dict(),
        # JSON has no NaN
        "figures": {k: v if v == v and abs(v) < float("inf") else None for k, v in figures.items()},
    }
    save_controller(training.controller(), out, provenance=provenance)


def _commit() -> str:
    """Return the commit of the package's repository; empty where there is none."""
    folder = Path(__file__).parent
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        run = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
        )
        return run.stdout.strip() if run.returncode == 0 else ""
    return ""


def _owner(worker: int, workers: int) -> Any:
    return lambda number: number % workers == worker


@contextlib.contextmanager
def _crew(
    spec: MetaSpec, workers: int, device: str, folder: Path, start: Controller | None
) -> Any:
    """Run the other processes while the block runs; yield a connection to each."""
    context = get_context("spawn")
    connections: list[Connection] = []
    processes = []
    given = None
    if start is not None and workers > 1:  # they read it from a file
        given = folder.with_name(f".{folder.name}.start")
        save_controller(start, given)
    try:
        for worker in range(1, workers):
            ours, theirs = context.Pipe()
            args = (theirs, spec.to_dict(), worker, workers, device, str(folder), given)
            process = context.Process(target=_work, args=(*args, torch.get_num_threads()))
            process.daemon = True
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    finally:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.send_bytes(_END)
            connection.close()
        for process in processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
        if given is not None:
            shutil.rmtree(given, ignore_errors=True)


def _work(
    connection: Connection,
    spec: Mapping[str, Any],
    worker: int,
    workers: int,
    device: str,
    folder: str,
    start: Path | None,
    n_threads: int,
) -> None:
    """Train the stacks of one worker until it is told to end, or the first process is gone."""
    torch.set_num_threads(n_threads)
    try:
        training = MetaTraining(
            MetaSpec.from_dict(spec),
            device=device,
            is_own=_owner(worker, workers),
            start=None if start is None else resolve(start),
        )
        training.resume(Path(folder))
        while (told := connection.recv_bytes()) != _END:
            if told == _SAVE:
                training.write_stacks(Path(folder))
                connection.send_bytes(b"{}")
                continue
            connection.send_bytes(_encoded(training.evaluate()))
            training.update(_decoded(connection.recv_bytes()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt, MetaTrainingError):
        return  # the first process says what there is to say
    except Exception as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        with contextlib.suppress(OSError):
            connection.send_bytes(json.dumps({"error": first_line}).encode())


def _received(connection: Connection) -> bytes:
    try:
        content = connection.recv_bytes()
    except EOFError as error:
        raise OptunaEvoError(
            "A worker of the meta-training ended; the same command goes on from the last state."
        ) from error
    told = json.loads(content)
    if "error" in told:
        raise OptunaEvoError(f"A worker of the meta-training failed: {told['error']}")
    return content


def _encoded(scalars: Scalars) -> bytes:
    """Return scalars as JSON, which writes each number so that it is read with the same bits."""
    return json.dumps({str(number): t.tolist() for number, t in scalars.items()}).encode()


def _decoded(content: bytes) -> dict[int, torch.Tensor]:
    table = json.loads(content)
    return {int(n): torch.tensor(rows, dtype=torch.float64) for n, rows in table.items()}

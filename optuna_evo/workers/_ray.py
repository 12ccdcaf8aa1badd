"""Workers in a Ray cluster: each is an actor that holds the process of a worker.

The actor is nothing but a place: the process in it is the one that `--workers` starts, so that it
begins, ends and crashes in the same ways. An actor that is killed takes its process along, which
gives its trial back.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import os
import signal
from typing import Any

from optuna_evo.errors import UsageError
from optuna_evo.workers._events import Event


__all__ = ["RayLauncher"]

_NAMESPACE = "optuna_evo"


class RayLauncher:
    """Starts workers as actors of a Ray cluster.

    Args:
        n_workers: How many there will be.
        environment: Variables that all of them get.
        address: Of the cluster; None: `RAY_ADDRESS`, one that runs here, or a new one here.
        gpus_per_worker: GPUs of each, also a part of one; None: an equal share of the cluster's.
        needs_one_machine: Whether the database is a file of this machine.

    Raises:
        UsageError: If Ray is not installed, there is no cluster, or it cannot serve the workers.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        environment: Mapping[str, str],
        address: str | None = None,
        gpus_per_worker: float | None = None,
        needs_one_machine: bool = False,
    ) -> None:
        self._ray = ray = _imported()
        self._environment = dict(environment)
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, address)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if needs_one_machine and len(nodes) > 1:
            self.close()
            raise UsageError(
                f"The database is an SQLite file, which one machine sees, and the Ray cluster has "
                f"{len(nodes)}: name a server, such as --storage postgresql://user@host/database."
            )
        resources = ray.cluster_resources()
        self._cpus = _share(resources.get("CPU", 1.0), n_workers)
        n_gpus = resources.get("GPU", 0.0)
        self._gpus = _share(n_gpus, n_workers) if gpus_per_worker is None else gpus_per_worker
        if self._gpus * n_workers > n_gpus:
            self.close()
            raise UsageError(
                f"{n_workers} workers with {self._gpus:g} GPUs each do not fit on the {n_gpus:g} "
                "of the Ray cluster: fewer --workers, or a smaller --gpus-per-worker."
            )

    def __call__(
        self,
        number: int,
        arguments: Sequence[str],
        on_event: Callable[[Event], None],
        on_line: Callable[[str], None],
    ) -> "_RayWorker":
        """Start a worker."""
        threads = str(max(1, int(self._cpus)))
        environment = {"OMP_NUM_THREADS": threads, **self._environment}
        make = self._ray.remote(num_cpus=self._cpus, num_gpus=self._gpus)(_Place)
        actor = make.remote(list(arguments), environment, os.getcwd())
        return _RayWorker(self._ray, actor, on_event, on_line)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._is_ours:
            self._ray.shutdown()


class _Place:
    """In the cluster: holds the process of a worker."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: str) -> None:
        from optuna_evo.workers._process import WorkerProcess

        self._heard: list[Event | str] = []
        # a cluster of one machine has the folders of whoever started the search
        here = folder if os.path.isdir(folder) else None
        self._process = WorkerProcess(
            arguments,
            environment=environment,
            on_event=self._heard.append,
            on_line=self._heard.append,
            folder=here,
        )

    def hear(self) -> tuple[list[Event | str], int | None, list[str], Event | None]:
        """Return what is new, the exit code, the last lines and the farewell."""
        code = self._process.poll()
        n = len(self._heard)
        new = self._heard[:n]
        del self._heard[:n]
        return new, code, list(self._process.last_lines), self._process.farewell

    def send(self, number: int) -> None:
        self._process.send(number)

    def pid(self) -> int:
        return os.getpid()


class _RayWorker:
    """A worker in the cluster, as a pool sees it."""

    def __init__(
        self,
        ray: Any,
        actor: Any,
        on_event: Callable[[Event], None],
        on_line: Callable[[str], None],
    ) -> None:
        self.farewell: Event | None = None
        self.last_lines: list[str] = []
        self._ray, self._actor = ray, actor
        self._on_event, self._on_line = on_event, on_line
        self._answer = actor.hear.remote()

    def poll(self) -> int | None:
        """Return the exit code; that of a killed process for an actor that died."""
        ready, _ = self._ray.wait([self._answer], timeout=0)
        if not ready:
            return None
        try:
            heard, code, self.last_lines, self.farewell = self._ray.get(self._answer)
        except self._ray.exceptions.RayActorError as error:
            self.last_lines = [*self.last_lines, str(error).splitlines()[0]]
            return -signal.SIGKILL
        for message in heard:
            if isinstance(message, str):
                self._on_line(message)
            else:
                self._on_event(message)
        if code is None:
            self._answer = self._actor.hear.remote()
        else:
            self._ray.kill(self._actor)
        return None if code is None else int(code)

    def send(self, number: int) -> None:
        """Send a signal to its process."""
        self._actor.send.remote(number)


def _imported() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray announces a change
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anyone
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--executor ray needs Ray, which is not installed: pip install 'optuna-evo[ray]'."
        ) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    options = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(
            address=address,
            namespace=_NAMESPACE,
            log_to_driver=False,  # what workers print comes with their events
            logging_level="ERROR",
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "here"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"There is no Ray cluster {where}: {reason}") from error


def _share(whole: float, n: int) -> float:
    """Return an equal share: whole units, or a part of one, rounded down as Ray counts."""
    share = whole / n
    return float(math.floor(share)) if share >= 1 else math.floor(share * 100) / 100

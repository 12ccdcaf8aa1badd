"""Workers as processes on this machine."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os

from optuna_evo.errors import UsageError
from optuna_evo.workers._events import Event
from optuna_evo.workers._placement import place
from optuna_evo.workers._placement import Placement
from optuna_evo.workers._process import WorkerProcess


__all__ = ["LocalLauncher", "visible_gpus"]


class LocalLauncher:
    """Starts workers as processes that share the cores and GPUs of this machine.

    Args:
        n_workers: How many there will be.
        environment: Variables that all of them get.
        gpus_per_worker: As in `place`.
        device: "auto", "cpu", "cuda", …: without GPUs none are handed round.

    Raises:
        UsageError: If the GPUs do not suffice, or the device names one of them.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        environment: Mapping[str, str],
        gpus_per_worker: float | None = None,
        device: str = "auto",
    ) -> None:
        gpus = () if device == "cpu" else visible_gpus()
        if device.startswith("cuda:"):
            raise UsageError(
                f"Each worker sees its own GPUs only, the first as cuda:0: leave out --device "
                f"{device}, or choose GPUs by CUDA_VISIBLE_DEVICES."
            )
        self._environment = dict(environment)
        self._placements = place(
            n_workers, n_cores=n_cores(), gpus=gpus, gpus_per_worker=gpus_per_worker
        )

    @property
    def placements(self) -> Sequence[Placement]:
        """What each worker gets."""
        return self._placements

    def __call__(
        self,
        number: int,
        arguments: Sequence[str],
        on_event: Callable[[Event], None],
        on_line: Callable[[str], None],
    ) -> WorkerProcess:
        """Start a worker."""
        share = self._placements[number].environment(os.environ)
        return WorkerProcess(
            arguments,
            environment=self._environment | share,
            on_event=on_event,
            on_line=on_line,
        )


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use, as CUDA has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))

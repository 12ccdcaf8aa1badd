"""Which CPU threads and which GPUs each worker of a machine gets."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math

from optuna_evo.errors import UsageError


__all__ = ["place", "Placement"]

# What OpenMP, MKL and OpenBLAS read; torch takes its threads from the first.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What one worker may use.

    Args:
        threads: CPU threads, at least 1.
        gpus: Names of its GPUs, as `CUDA_VISIBLE_DEVICES` has them; None: as this process.
    """

    threads: int
    gpus: tuple[str, ...] | None = None

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that say so; those that a user has set for threads stay."""
        variables = {
            name: str(self.threads) for name in _THREAD_VARIABLES if not inherited.get(name)
        }
        if self.gpus is not None:
            variables[_VISIBLE] = ",".join(self.gpus)
        return variables


def place(
    n_workers: int,
    *,
    n_cores: int,
    gpus: Sequence[str],
    gpus_per_worker: float | None = None,
) -> list[Placement]:
    """Divide the cores and hand the GPUs round.

    Without `gpus_per_worker` each GPU is used: by one worker, or by as many as it takes, in turns.

    Args:
        n_workers: Number of workers, at least 1.
        n_cores: CPU cores that they share.
        gpus: Names of the GPUs of this machine.
        gpus_per_worker: Whole GPUs for each, or a part of one such as 0.25; 0: none.

    Raises:
        UsageError: If there are fewer GPUs than that takes.

    Example:
        >>> [p.gpus for p in place(4, n_cores=8, gpus=["0", "1"], gpus_per_worker=0.5)]
        [('0',), ('1',), ('0',), ('1',)]
    """
    threads = max(1, n_cores // n_workers)
    if gpus_per_worker is None:
        if not gpus:
            return [Placement(threads=threads)] * n_workers
        # with fewer workers than GPUs none is left idle: a training may use several
        shares = [(*gpus[k::n_workers],) or (gpus[k % len(gpus)],) for k in range(n_workers)]
        return [Placement(threads=threads, gpus=share) for share in shares]
    if gpus_per_worker == 0:
        return [Placement(threads=threads, gpus=())] * n_workers
    _check(n_workers, len(gpus), gpus_per_worker)
    if gpus_per_worker < 1:
        return [Placement(threads=threads, gpus=(gpus[k % len(gpus)],)) for k in range(n_workers)]
    each = int(gpus_per_worker)
    return [
        Placement(threads=threads, gpus=tuple(gpus[k * each : (k + 1) * each]))
        for k in range(n_workers)
    ]


def _check(n_workers: int, n_gpus: int, gpus_per_worker: float) -> None:
    if not 0 < gpus_per_worker < math.inf or (gpus_per_worker > 1 and gpus_per_worker % 1):
        raise UsageError(
            f"--gpus-per-worker must be a part of one GPU, such as 0.25, or a whole number; got "
            f"{gpus_per_worker:g}."
        )
    if n_gpus == 0:
        raise UsageError("--gpus-per-worker needs a GPU, and there is none here: leave it out.")
    # 1 / 0.1 is 10, also where division says 9.999…
    a_gpu = math.floor(1 / gpus_per_worker + 1e-9)
    room = n_gpus * a_gpu if gpus_per_worker < 1 else n_gpus // int(gpus_per_worker)
    if n_workers > room:
        raise UsageError(
            f"{n_workers} workers with {gpus_per_worker:g} GPUs each do not fit on {n_gpus}: at "
            f"most --workers {room}, or a smaller --gpus-per-worker."
        )

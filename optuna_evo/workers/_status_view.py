"""A study's status for the terminal."""

from rich.console import Group
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from optuna_evo.names import printable
from optuna_evo.workers._status import StudyStatus


__all__ = ["status_panel"]

_STATES = ("complete", "pruned", "fail", "running", "waiting")
_MOST_CAUSES = 8


def status_panel(status: StudyStatus) -> RenderableType:
    """Draw what `study_status` read."""
    counts = ", ".join(f"{status.counts[s]} {s}" for s in _STATES if status.counts.get(s))
    diverged = f" ({status.n_diverged} diverged)" if status.n_diverged else ""
    best = "–" if status.best is None else f"{status.best:.4f}"
    alive = sum(worker.is_alive for worker in status.workers)
    lines = [
        f"{status.n_finished} of {status.n_trials} trials{diverged}, best {best}",
        counts or "no trials",
        f"{alive} workers alive{_dead(len(status.workers) - alive)}; {_speed(status)}",
    ]
    parts: list[RenderableType] = [Text(printable(status.name), style="bold")]
    parts += [Text(printable(line)) for line in lines]
    if status.workers:
        parts.append(_worker_table(status))
    if status.failures:
        parts.append(_failure_table(status))
    return Group(*parts)


def _dead(n: int) -> str:
    return f", {n} silent" if n else ""


def _speed(status: StudyStatus) -> str:
    rate = status.trials_per_minute
    said = ["speed not known yet" if rate is None else f"{rate:.3g} trials a minute"]
    if status.steps_per_second is not None:
        said.append(f"{status.steps_per_second:,.0f} steps a second")
    if status.seconds_left is not None:
        said.append(f"{_duration(status.seconds_left)} left")
    return ", ".join(said)


def _worker_table(status: StudyStatus) -> Table:
    table = Table()
    for column in ("worker", "trials", "for", "last heard of"):
        table.add_column(column)
    for worker in status.workers:
        heard = "not yet" if worker.silent_s is None else f"{_duration(worker.silent_s)} ago"
        dead = "" if worker.is_alive else " (dead?)"
        trials = ", ".join(map(str, worker.trials))
        table.add_row(
            Text(printable(worker.name)), trials, _duration(worker.seconds), f"{heard}{dead}"
        )
    return table


def _failure_table(status: StudyStatus) -> Table:
    table = Table()
    table.add_column("failed", justify="right")
    table.add_column("cause")
    for cause, n in status.failures[:_MOST_CAUSES]:
        table.add_row(str(n), Text(printable(cause)))
    if rest := sum(n for _, n in status.failures[_MOST_CAUSES:]):
        table.add_row(str(rest), "other causes")
    return table


def _duration(seconds: float) -> str:
    """Return a length of time in the two largest units."""
    whole = round(seconds)
    for unit, length, small, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {small}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"

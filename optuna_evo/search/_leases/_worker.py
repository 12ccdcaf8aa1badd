"""What a worker is called, and when it is certainly dead.

A process is one and the same only on one machine, since one start of it, in one namespace of
process numbers, and since one start of the process: numbers are used again, and every container
has a process 1. All of this is in the name; where it is not equal, nothing can be said from here.
"""

from dataclasses import dataclass
import os
from pathlib import Path
import socket
from typing import Self


__all__ = ["is_dead", "this_worker", "Worker"]

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that runs a search.

    Args:
        host: Name of the machine.
        boot: Id of the machine's start; empty where the system has none.
        namespace: Of process numbers; empty where the system has none.
        started: When the process began, in ticks since the machine's start; empty if not known.
        pid: Process number.

    Example:
        >>> Worker.parse("gpu3:5f2c:4026531836:8812:4711").pid
        4711
    """

    host: str
    boot: str = ""
    namespace: str = ""
    started: str = ""
    pid: int

    @classmethod
    def this(cls) -> Self:
        """Return this process."""
        return cls(
            host=socket.gethostname(),
            boot=_boot(),
            namespace=_namespace(),
            started=_started(os.getpid()) or "",
            pid=os.getpid(),
        )

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Read a name, also one of earlier versions, "host:pid"; None if it is none."""
        host, *ids = name.split(":")
        if len(ids) not in (1, 4) or not ids[-1].isdecimal():
            return None
        boot, namespace, started = ids[:3] if len(ids) == 4 else ("", "", "")
        return cls(host=host, boot=boot, namespace=namespace, started=started, pid=int(ids[-1]))

    def __str__(self) -> str:
        ids = (self.boot, self.namespace, self.started, self.pid)
        return ":".join([self.host.replace(":", "-"), *map(str, ids)])

    def is_dead(self, observer: "Worker") -> bool:
        """Whether it has certainly ended, seen from another process; False if that is not known.

        A name of an earlier version says nothing of starts and namespaces: host and number decide.
        """
        here = (observer.host.replace(":", "-"), observer.boot, observer.namespace)
        is_old = not (self.boot or self.namespace or self.started)
        if self.host != here[0] or not (is_old or (self.boot, self.namespace) == here[1:]):
            return False
        if self.pid == observer.pid:
            return bool(self.started) and self.started != observer.started
        if not _runs(self.pid):
            return True
        started = _started(self.pid)
        return bool(self.started) and started is not None and started != self.started


def this_worker() -> str:
    """Return the name of this process."""
    return str(Worker.this())


def is_dead(name: str, observer: Worker) -> bool:
    """Whether the worker of this name has certainly ended; False for what is no such name."""
    worker = Worker.parse(name)
    return worker is not None and worker.is_dead(observer)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # alive, but somebody else's
        return True
    return True


def _boot() -> str:
    try:  # the first of its parts: 32 random bits tell starts of machines of one name apart
        return (_PROC / "sys/kernel/random/boot_id").read_text().split("-")[0].strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(os.stat(_PROC / "self/ns/pid").st_ino)
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine's start; None if not known."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # the name of the program, in parentheses, may hold anything; the time is field 22 of all
    return stat.rpartition(")")[2].split()[19]

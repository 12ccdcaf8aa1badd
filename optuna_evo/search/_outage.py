"""Trying again while a database is away: with growing pauses, said once, and not for ever."""

from collections.abc import Callable
import logging
import random
import threading
import time
from typing import Any
from typing import TypeVar

from optuna_evo.errors import DiskFullError
from optuna_evo.errors import StorageError
from optuna_evo.names import shown_url
from optuna_evo.names import without_secrets
from optuna_evo.search._faults import cause_of
from optuna_evo.search._faults import Fault
from optuna_evo.search._faults import fault_of


__all__ = ["Outage"]

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 10.0
_JITTER = 0.3  # so that a hundred workers do not come back at the same moment


class Outage:
    """Calls to a database, tried again while it does not answer; one for all threads of a process.

    `is_on` tells whether it was away when last asked. Once a call has given up, further ones fail
    at their first try until one succeeds, so that a process ends soon after.

    Args:
        url: The database.
        path: The SQLite file; None: there is none.
        patience_s: How long a call is tried again, >= 0.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        path: str | None = None,
        patience_s: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.is_on = False
        self._url, self._shown = url, shown_url(url)
        self._path = path
        self._patience_s = patience_s
        self._pause = pause
        self._random = random.Random()
        self._lock = threading.Lock()
        self._since: float | None = None
        self._given_up = False

    def do(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a function that may be called again, with the same arguments."""
        try:
            result = function(*arguments)
        except Exception as error:
            first = error
        else:
            if self.is_on:
                self._end()
            return result
        return self.again(lambda _: function(*arguments), first=first)

    def again(
        self,
        function: Callable[[int], _T],
        *,
        first: Exception | None = None,
        patience_s: float | None = None,
    ) -> _T:
        """Call a function with the number of tries before, until it returns.

        Args:
            function: What to call.
            first: What it raised at a first try; None: it was not tried yet.
            patience_s: How long it is tried again; None: as long as others.

        Raises:
            DiskFullError: If there is no space.
            StorageError: If the database refuses, or has been away for too long.
        """
        error, n_tries, since = first, 0, 0.0
        while True:
            if error is None:
                try:
                    result = function(n_tries)
                except Exception as raised:
                    error = raised
                else:
                    if self.is_on:
                        self._end()
                    return result
            fault = fault_of(error, path=self._path)
            if fault is None:
                raise error
            since = since or time.monotonic()
            n_tries += 1
            self._raise_or_wait(error, fault, n_tries, since, patience_s)
            error = None

    def _raise_or_wait(
        self,
        error: Exception,
        fault: Fault,
        n_tries: int,
        since: float,
        patience_s: float | None,
    ) -> None:
        cause = without_secrets(cause_of(error), self._url)
        if fault is Fault.FULL:
            raise DiskFullError(
                f"The disk of {self._shown} is full ({cause}): make room; what was written before "
                "is safe, and the same command goes on."
            ) from error
        if fault is Fault.REFUSED:
            raise StorageError(f"{self._shown} refused: {cause}.") from error
        waited_s = time.monotonic() - since
        if self._given_up or waited_s > (self._patience_s if patience_s is None else patience_s):
            if patience_s is None:  # a heartbeat gives up sooner, for itself alone
                self._given_up = self.is_on = True
            state = "away" if fault is Fault.AWAY else "busy"
            raise StorageError(
                f"{self._shown} is {state} ({cause}); gave up after {waited_s:.0f} s. What was "
                "written before is safe, and the same command goes on."
            ) from error
        if fault is Fault.AWAY:
            self._say_away(cause, since)
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(n_tries, 20))
        self._pause(longest * (1 - _JITTER * self._random.random()))

    def _end(self) -> None:
        """Note that the database answers again."""
        with self._lock:
            since, self._since = self._since, None
            self._given_up = self.is_on = False
        if since is not None:
            _logger.warning("The database is back after %.0f s.", time.monotonic() - since)

    def _say_away(self, cause: str, since: float) -> None:
        with self._lock:
            if self._since is not None:
                return
            self._since, self.is_on = since, True
        _logger.warning(
            "The database is away (%s); trying again for up to %.0f s.", cause, self._patience_s
        )

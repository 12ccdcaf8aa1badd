"""Trying again while a database is away: with growing pauses, said once, and not for ever."""

from collections.abc import Callable
import logging
import random
import threading
import time

from optuna_evo.errors import DiskFullError
from optuna_evo.errors import StorageError
from optuna_evo.names import without_secrets
from optuna_evo.search._faults import cause_of
from optuna_evo.search._faults import Fault


__all__ = ["Outage"]

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 10.0
_JITTER = 0.3  # so that a hundred workers do not come back at the same moment


class Outage:
    """What the threads of a process know about a database that does not answer.

    `is_on` tells whether it was away when last asked. Once a call has given up, further ones fail
    at their first try until one succeeds, so that a process ends soon after.

    Args:
        shown: The database, as it may be printed.
        url: Its URL, whose passwords are kept out of what drivers say.
        patience_s: How long a call is tried again, >= 0.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        shown: str,
        url: str,
        *,
        patience_s: float,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shown, self._url = shown, url
        self.patience_s = patience_s
        self._pause = pause
        self._random = random.Random()
        self._lock = threading.Lock()
        self._since: float | None = None
        self._given_up = False
        self.is_on = False

    def wait(
        self, error: Exception, fault: Fault, n_tries: int, *, since: float, patience_s: float
    ) -> None:
        """Wait before a call is tried again, or raise what the user is to read.

        Args:
            error: What the call raised.
            fault: What that means.
            n_tries: How often this call has been tried, >= 1.
            since: When it failed first, by `time.monotonic`.
            patience_s: How long it is tried again.

        Raises:
            DiskFullError: If there is no space.
            StorageError: If the database refused, or has been away for too long.
        """
        cause = without_secrets(cause_of(error), self._url)
        if fault is Fault.FULL:
            raise DiskFullError(
                f"The disk of {self._shown} is full ({cause}): make room; what was written before "
                "is safe, and the same command goes on."
            ) from error
        if fault is Fault.REFUSED:
            raise StorageError(f"{self._shown} refused: {cause}.") from error
        waited_s = time.monotonic() - since
        if self._given_up or waited_s > patience_s:
            if patience_s == self.patience_s:  # a heartbeat gives up sooner, for itself alone
                self._given_up = self.is_on = True
            is_away = fault is Fault.AWAY
            raise StorageError(
                f"{self._shown} {'is away' if is_away else 'is busy'} ({cause}); gave up after "
                f"{waited_s:.0f} s. What was written before is safe, and the same command goes on."
            ) from error
        if fault is Fault.AWAY:
            self._say_away(cause, since)
        longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(n_tries, 20))
        self._pause(longest * (1 - _JITTER * self._random.random()))

    def end(self) -> None:
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
            "The database is away (%s); trying again for up to %.0f s.", cause, self.patience_s
        )

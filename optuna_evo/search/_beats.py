"""Heartbeats for storages that have none: a journal file, a gRPC proxy.

A worker writes another value on its trial every half minute. Who looks keeps what it saw and when,
by its own monotonic clock: a trial whose value has stood still for the grace period has lost its
worker. No two clocks are compared, so a wrong one does no harm; the price is that a process must
have looked on for the grace period before it can tell.
"""

from collections.abc import Callable
import itertools
import time
import uuid

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from optuna_evo.attributes import BEAT


__all__ = ["Beats"]


class Beats:
    """Writes and watches the beats of trials.

    Args:
        storage: Where trials live.
        grace_period_s: How long a trial may stay silent, > 0.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        storage: BaseStorage,
        *,
        grace_period_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._grace_period_s = grace_period_s
        self._clock = clock
        self._process = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._seen: dict[int, tuple[str, float]] = {}

    def record_heartbeat(self, trial_id: int) -> None:
        """Say that a trial's worker is alive."""
        value = f"{self._process}:{next(self._numbers)}"
        self._storage.set_trial_system_attr(trial_id, BEAT.key, value)

    def stale(self, study_id: int) -> list[int]:
        """Return the ids of running trials that have been silent for too long.

        Trials that never had a beat are left alone, as Optuna leaves them.
        """
        now = self._clock()
        running = self._storage.get_all_trials(
            study_id, deepcopy=False, states=(TrialState.RUNNING,)
        )
        found = []
        for trial in running:
            value = BEAT.read(trial.system_attrs)
            known, since = self._seen.get(trial._trial_id, ("", now))
            if value is None:
                continue
            if value != known:
                self._seen[trial._trial_id] = (value, now)
            elif now - since > self._grace_period_s:
                found.append(trial._trial_id)
        return found

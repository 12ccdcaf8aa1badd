"""Lineages: trials are segments of training that go on from their parents' weights.

    inherit = "parent"   a member goes on from its own last segment or, where it exploits, from a
                         better member's: population-based training
    inherit = "shared"   one model is trained in turn with all members' hyperparameters
    inherit = "none"     every trial trains fresh weights

A trial is complete only when its checkpoint is safe, and a checkpoint is removed when nobody needs
it: at any time there are at most as many as members and running trials together ("parent").
"""

from collections.abc import Sequence
import logging
from typing import cast
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial

from optuna_evo.attributes import LOST_CHECKPOINT
from optuna_evo.attributes import PARENT
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import CheckpointError
from optuna_evo.errors import StorageError
from optuna_evo.samplers import segment_of
from optuna_evo.search._ancestry import deepest
from optuna_evo.search._ancestry import needed
from optuna_evo.search._ancestry import relatives
from optuna_evo.search._checkpoints import CheckpointStore
from optuna_evo.search._protocols import Run


if TYPE_CHECKING:
    from optuna_evo.objectives import SegmentObjective
    from optuna_evo.objectives import SegmentRun
    from optuna_evo.trainers import Checkpoint

__all__ = ["Lineage"]

_logger = logging.getLogger(__name__)

# How far back a new process looks for checkpoints that a killed one did not come to remove.
_LOOK_BACK = 256


class Lineage:
    """Start trials from checkpoints and save theirs (a `search.Inheritance`).

    Args:
        study: The study.
        objective: What a segment trains.
        store: Where checkpoints lie.
        inherit: "parent", "shared" or "none".
    """

    def __init__(
        self,
        study: optuna.Study,
        objective: "SegmentObjective",
        store: CheckpointStore,
        *,
        inherit: str,
    ) -> None:
        self._study = study
        self._objective = objective
        self._store = store
        self._inherit = inherit
        self._removed: set[int] = set()
        self._first: int | None = None
        self._has_warned = False

    def start(
        self, trials: Sequence[optuna.Trial], configs: Sequence[TrainingConfig], *, repetition: int
    ) -> "SegmentRun":
        """Begin to train segments from where their lineages are."""
        origins = [self._origin(trial) for trial in trials]
        return self._objective.start(configs, repetition=repetition, origins=origins)

    def save(self, trial: optuna.Trial, run: Run, place: int) -> None:
        """Write the checkpoint of a trial, after making room for it."""
        self._clear(successor=trial.number)
        self._store.save(trial.number, cast("SegmentRun", run).checkpoint(place))

    def clean_up(self) -> None:
        """Remove the checkpoints that are no longer needed."""
        self._clear()

    def _origin(self, trial: optuna.Trial) -> "Checkpoint | None":
        """Read the checkpoint to go on from and write on the trial whose it is."""
        trials = self._study.get_trials(deepcopy=False)
        wanted = self._parent(trials, trials[trial.number])
        lost, found, origin = "", None, None
        for relative in relatives(trials, wanted):
            try:
                origin, found = self._store.load(relative.number), relative.number
                break
            except CheckpointError as error:
                lost = lost or str(error)
        if lost:
            where = f"trial {found}" if found is not None else "fresh weights"
            message = f"{lost} Going on from {where}."
            _logger.warning("Trial %d: %s", trial.number, message)
            trial.set_user_attr(LOST_CHECKPOINT.key, message)
        trial.set_user_attr(PARENT.key, found)
        return origin

    def _parent(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int | None:
        if self._inherit == "none":
            return None
        if self._inherit == "shared":
            last = deepest(trials)
            return None if last is None else last.number
        segment = segment_of(trial)
        return None if segment is None else segment.parent

    def _clear(self, successor: int | None = None) -> None:
        trials = self._study.get_trials(deepcopy=False)
        stay = needed(
            trials,
            inherit=self._inherit,
            direction=self._study.direction,
            successor=None if successor is None else trials[successor],
        )
        if self._first is None:
            self._first = max(0, len(trials) - _LOOK_BACK)
        stay |= self._removed
        gone = [
            t.number
            for t in trials[self._first :]
            if t.state.is_finished() and t.number not in stay
        ]
        try:
            self._store.remove(gone)
        except StorageError as error:  # nothing is lost by it, and the next trial tries again
            if not self._has_warned:
                _logger.warning("Checkpoints that nobody needs stay for now. %s", error)
            self._has_warned = True
            return
        self._removed.update(gone)

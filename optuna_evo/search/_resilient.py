"""A storage that outlives the restart of its database.

It stands before any of Optuna's storages and has their interface. A call that fails because the
database is away is tried again, with growing pauses, until the database is back or the patience is
at an end. Reads, attributes, parameters and reports say the same twice; what must be done exactly
once - to make, take or finish a trial - carries a token (`_landing`), by which it is found out
whether what was not answered was done.
"""

from collections.abc import Callable
from collections.abc import Container
from collections.abc import Sequence
import contextlib
import time
from typing import Any
from typing import cast
from typing import TypeVar
import uuid

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages import get_storage
from optuna.storages import RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import sqlalchemy

from optuna_evo.attributes import WRITE
from optuna_evo.search._beats import Beats
from optuna_evo.search._landing import blank_study
from optuna_evo.search._landing import Landings
from optuna_evo.search._once import ExactlyOnce
from optuna_evo.search._outage import Outage


__all__ = ["ResilientStorage"]

_T = TypeVar("_T")
_UNNAMED = "no-name-"  # what Optuna's storages call a study without a name, and a UUID
_FILE = "sqlite"


class ResilientStorage(BaseStorage, BaseHeartbeat):
    """One of Optuna's storages, tried again while it is away.

    Args:
        inner: The storage.
        url: Its URL, for messages.
        patience_s: How long a call is tried again while the database is away, >= 0.
        beat_interval_s: For storages without heartbeats: seconds from beat to beat; None: none.
        grace_period_s: With them: how long a trial may stay silent.
        on_stale: Called by Optuna for a trial that has been silent for too long.
        pause: Waits for so many seconds.

    Raises from all methods:
        DiskFullError: If there is no space left.
        StorageError: If the database refuses, or is away for longer than `patience_s`.

    Example:
        >>> storage = ResilientStorage(RDBStorage("sqlite:///a.db"), url="sqlite:///a.db")
        >>> optuna.create_study(storage=storage)
    """

    def __init__(
        self,
        inner: BaseStorage,
        *,
        url: str,
        patience_s: float = 600.0,
        beat_interval_s: int | None = None,
        grace_period_s: int | None = None,
        on_stale: Callable[[optuna.Study, FrozenTrial], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self._backing = inner
        self._patience_s = patience_s
        self._beat_interval_s = beat_interval_s
        self._grace_period_s = grace_period_s
        self._on_stale = on_stale
        self._pause = pause
        self._set_up()

    def _set_up(self) -> None:
        inner = self._backing
        self._inner: BaseStorage = get_storage(inner)  # with Optuna's cache before a database
        self._landings, path = None, None
        if isinstance(inner, RDBStorage):
            if inner.engine.name != _FILE:
                self._landings = Landings(inner)
            else:
                path = inner.engine.url.database
        self._outage = Outage(self.url, path=path, patience_s=self._patience_s, pause=self._pause)
        # what tells a trial from others on a server: its answers can get lost
        self._has_tokens = self._landings is not None or self.url.startswith("grpc:")
        self._once = ExactlyOnce(
            self._inner, self._outage, self._landings, has_tokens=self._has_tokens
        )
        self._beats = None
        if self._beat_interval_s is not None and self._grace_period_s is not None:
            self._beats = Beats(self._inner, grace_period_s=self._grace_period_s)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_inner", "_outage", "_landings", "_once", "_beats"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_up()

    @property
    def backing(self) -> BaseStorage:
        """The storage that it stands before, without Optuna's cache."""
        return self._backing

    _backend = backing  # where Optuna's cache has it: one way to the database for all storages

    @property
    def engine(self) -> sqlalchemy.Engine | None:
        """SQLAlchemy's engine; None for what is no relational database."""
        return getattr(self._backing, "engine", None)

    @property
    def heartbeat_interval(self) -> int | None:
        """Seconds from heartbeat to heartbeat; None: there are none."""
        return self.get_heartbeat_interval()

    def close(self) -> None:
        """Give all connections back; the next call opens new ones."""
        self.remove_session()
        if self.engine is not None:
            self.engine.dispose()

    # --- studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        # the name is made here: without it a study whose answer is lost could not be found
        name = f"{_UNNAMED}{uuid.uuid4()}" if study_name is None else study_name

        def create(n_before: int) -> int:
            try:
                return self._inner.create_new_study(directions, name)
            except DuplicatedStudyError:
                if n_before and (made := blank_study(name, self._inner)) is not None:
                    return made
                raise

        return self._outage.again(create)

    def delete_study(self, study_id: int) -> None:
        def delete(n_before: int) -> None:
            # gone: by the try whose answer was lost
            with contextlib.suppress(*([KeyError] if n_before else [])):
                self._inner.delete_study(study_id)

        self._outage.again(delete)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._outage.do(self._inner.set_study_user_attr, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._outage.do(self._inner.set_study_system_attr, study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._outage.do(self._inner.get_study_id_from_name, study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._outage.do(self._inner.get_study_name_from_id, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._outage.do(self._inner.get_study_directions, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._outage.do(self._inner.get_study_user_attrs, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._outage.do(self._inner.get_study_system_attrs, study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._outage.do(self._inner.get_all_studies)

    # --- trials: what is done exactly once

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self.make_once(
            study_id,
            template_trial,
            lambda template: self._inner.create_new_trial(study_id, template),
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        told = None if values is None else list(values)
        # A proxy has no tokens. Who has taken a trial cannot be known there: then it was somebody
        # else, and if it was not, the trial comes back as that of a silent worker.
        return self._once.change(
            trial_id,
            lambda: self._inner.set_trial_state_values(trial_id, state, values),
            looks_done=lambda t: state.is_finished() and t.state == state and t.values == told,
        )

    def make_once(
        self,
        study_id: int,
        template: FrozenTrial | None,
        function: Callable[[FrozenTrial | None], _T],
    ) -> _T | int:
        """Make a trial by a transaction on `backing`; tried again, and never made twice.

        Args:
            study_id: Its study.
            template: What it is made from; None: a running one.
            function: Makes it from the template that it is given, and returns its id or None.
        """
        return self._once.make(study_id, template, function)

    def change_once(self, trial_id: int, function: Callable[[], bool]) -> bool:
        """Change a trial's state by a transaction on `backing`; tried again, never done twice.

        Args:
            trial_id: The trial.
            function: Changes the state, and tells whether it did.
        """
        return self._once.change(trial_id, function)

    def ask_again(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a function that reads from `backing`, tried again while it is away."""
        return self._outage.do(function, *arguments)

    # --- trials: what says the same twice

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        function = self._inner.set_trial_param
        more = (param_name, param_value_internal, distribution)
        self._tell(lambda t: param_name in t.params, function, trial_id, *more)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        function = self._inner.set_trial_intermediate_value
        more = (step, intermediate_value)
        self._tell(lambda t: step in t.intermediate_values, function, trial_id, *more)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        function = self._inner.set_trial_user_attr
        self._tell(lambda t: key in t.user_attrs, function, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        function = self._inner.set_trial_system_attr
        self._tell(lambda t: key in t.system_attrs, function, trial_id, key, value)

    def _tell(
        self,
        is_there: Callable[[FrozenTrial], bool],
        function: Callable[..., None],
        trial_id: int,
        *more: Any,
    ) -> None:
        def tell(n_before: int) -> None:
            try:
                function(trial_id, *more)
            except UpdateFinishedTrialError:
                # written before the answer was lost, and finished by another one since
                if not n_before or not is_there(self._inner.get_trial(trial_id)):
                    raise

        self._outage.again(tell)

    # --- trials: reading

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        function = self._inner.get_trial_id_from_study_id_trial_number
        return self._outage.do(function, study_id, trial_number)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._clean(self._outage.do(self._inner.get_trial, trial_id))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = self._outage.do(self._inner.get_all_trials, study_id, deepcopy, states)
        if self._has_tokens:
            for trial in trials:
                self._clean(trial)
        return trials

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._clean(self._outage.do(self._inner.get_best_trial, study_id))

    def _clean(self, trial: FrozenTrial) -> FrozenTrial:
        """Take our token off a trial: it is nobody's business."""
        if self._has_tokens:
            trial.system_attrs.pop(WRITE.key, None)
        return trial

    def remove_session(self) -> None:
        self._backing.remove_session()

    # --- heartbeats

    @property
    def _heartbeat(self) -> BaseHeartbeat | None:
        """Optuna's own, where our beats do not take its place."""
        has_own = self._beats is None and isinstance(self._inner, BaseHeartbeat)
        return cast(BaseHeartbeat, self._inner) if has_own else None

    def record_heartbeat(self, trial_id: int) -> None:
        heartbeat = self._beats or self._heartbeat
        assert heartbeat is not None, "there is an interval"
        # a beat that comes after the next one is worth nothing
        patience_s = float(self.heartbeat_interval or 0)
        self._outage.again(lambda _: heartbeat.record_heartbeat(trial_id), patience_s=patience_s)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        if self._beats is not None:
            return self._outage.do(self._beats.stale, study_id)
        assert self._heartbeat is not None, "there is an interval"
        return self._outage.do(self._heartbeat._get_stale_trial_ids, study_id)

    def get_heartbeat_interval(self) -> int | None:
        heartbeat = self._heartbeat
        return heartbeat.get_heartbeat_interval() if heartbeat else self._beat_interval_s

    def get_heartbeat_stale_trial_callback(
        self,
    ) -> Callable[[optuna.Study, FrozenTrial], None] | None:
        heartbeat = self._heartbeat
        return heartbeat.get_heartbeat_stale_trial_callback() if heartbeat else self._on_stale

"""Writes that are done exactly once, whatever becomes of the connection."""

from collections.abc import Callable
import contextlib
from typing import TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_evo.search._landing import AlreadyMade
from optuna_evo.search._landing import Landings
from optuna_evo.search._landing import made_by
from optuna_evo.search._landing import with_token
from optuna_evo.search._landing import Write
from optuna_evo.search._outage import Outage


__all__ = ["ExactlyOnce"]

_T = TypeVar("_T")


class ExactlyOnce:
    """Makes trials and changes their states.

    Args:
        storage: Where trials live, with a cache that must come to know what is made.
        outage: Tries again.
        landings: Tokens in the transactions of a server; None: there are none.
        has_tokens: Whether trials carry tokens: an answer may get lost.
    """

    def __init__(
        self,
        storage: BaseStorage,
        outage: Outage,
        landings: Landings | None,
        *,
        has_tokens: bool,
    ) -> None:
        self._storage, self._outage, self._landings = storage, outage, landings
        self._has_tokens = has_tokens

    def make(
        self,
        study_id: int,
        template: FrozenTrial | None,
        function: Callable[[FrozenTrial | None], _T],
    ) -> _T | int:
        """Make a trial.

        Args:
            study_id: Its study.
            template: What it is made from; None: a running one.
            function: Makes it from a template and returns its id, or None if it does not.
        """
        if not self._has_tokens:
            return self._outage.do(function, template)
        write = Write(study_id)
        marked = with_token(template, write)

        def make(n_before: int) -> _T | int:
            if self._landings is None:  # a proxy: nobody else makes a trial of this token
                made = made_by(write, self._storage) if n_before else None
                return function(marked) if made is None else made
            try:
                with self._landings.of(write):
                    return function(marked)
            except AlreadyMade as found:
                # so that the cache has it
                self._storage.get_all_trials(study_id, deepcopy=False)
                return found.trial_id

        return self._outage.again(make)

    def change(
        self,
        trial_id: int,
        function: Callable[[], bool],
        *,
        looks_done: Callable[[FrozenTrial], bool] = lambda trial: False,
    ) -> bool:
        """Change the state of a trial.

        Args:
            trial_id: The trial.
            function: Changes it, and tells whether it did.
            looks_done: Tells whether a trial looks as it should, where there are no tokens.
        """
        write = Write()

        def has_changed() -> bool:
            if self._landings is not None:
                return self._landings.has_landed(write, trial_id)
            return looks_done(self._storage.get_trial(trial_id))

        def change(n_before: int) -> bool:
            tokens = self._landings.of(write) if self._landings else contextlib.nullcontext()
            try:
                with tokens:
                    if function():
                        return True
            except UpdateFinishedTrialError:
                if n_before and has_changed():
                    return True
                raise
            return bool(n_before) and has_changed()

        return self._outage.again(change)

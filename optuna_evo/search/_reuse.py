"""Nothing is trained twice: known curves are replayed, and equals in a batch train once.

Training is a pure function of the configuration, the seeds and the budget, so a trial that asks
for what a finished trial had trained reports the same values again. They go through the pruner as
if they had been trained: a replayed trial ends as a training would have ended now. Where the known
curve is shorter than that, because its trial was pruned, the training is done after all.
"""

from collections.abc import Hashable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import functools
from typing import Any
from typing import Generic
from typing import TypeVar

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import ATTRIBUTES
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import GRAD_NORM
from optuna_evo.attributes import OBJECTIVE
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.config import Config
from optuna_evo.search._protocols import Objective
from optuna_evo.search._protocols import Run


__all__ = ["Curves", "SharingRun"]

# What belongs to one trial and not to what it trained.
_NOT_RECORDED = {
    key
    for attribute in ATTRIBUTES
    if attribute.place == "trial" and attribute is not GRAD_NORM
    for key in (attribute.key, *attribute.aliases)
}
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_C = TypeVar("_C", bound=Config)


class Curves:
    """What the finished trials of a study reported, found by what they trained.

    Each trial is read once, when it has finished; a look-up takes the same time however many there
    are.

    Args:
        study: The study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._n_seen = 0
        self._unfinished: list[int] = []
        self._known: dict[Hashable, FrozenTrial] = {}

    def update(self) -> None:
        """Read the trials that have finished since the last call."""
        trials = self._study.get_trials(deepcopy=False)
        numbers = [*self._unfinished, *range(self._n_seen, len(trials))]
        self._n_seen = len(trials)
        self._unfinished = []
        for number in numbers:
            trial = trials[number]
            if not trial.state.is_finished():
                self._unfinished.append(number)
            elif trial.state in _FINISHED and trial.intermediate_values:
                self._add(trial)

    def find(self, config: Config, objective: str, repetition: int) -> FrozenTrial | None:
        """Return a finished trial that trained the same; None if there is none.

        Args:
            config: What is to be trained.
            objective: Fingerprint of the objective.
            repetition: Number of the re-evaluation.
        """
        return self._known.get((config.fingerprint(), objective, repetition))

    def _add(self, trial: FrozenTrial) -> None:
        attrs = trial.user_attrs
        if not FINGERPRINT.is_in(attrs) or not OBJECTIVE.is_in(attrs):
            return
        repetition = int(REPETITION.read(attrs, 0))
        key = (FINGERPRINT.read(attrs), OBJECTIVE.read(attrs), repetition)
        known = self._known.get(key)
        if known is None or len(known.intermediate_values) < len(trial.intermediate_values):
            self._known[key] = trial


@dataclass
class _Member(Generic[_C]):
    number: int  # of the trial
    config: _C
    known: FrozenTrial | None  # whose curve is replayed
    training: int = -1  # else: which training it shares


@dataclass
class _Part:
    """A run and the trainings that are its live members."""

    run: Run
    trainings: list[int]


class SharingRun(Generic[_C]):
    """A run that trains only what has to be trained.

    Args:
        members: Trial number and configuration of each member.
        known: For each member a finished trial that trained the same, or None.
        objective: Starts what has to be trained.
        repetition: Number of the re-evaluation.
    """

    def __init__(
        self,
        members: Sequence[tuple[int, _C]],
        known: Sequence[FrozenTrial | None],
        objective: Objective[_C],
        repetition: int,
    ) -> None:
        self.step = 0
        self._start = functools.partial(objective.start, repetition=repetition)
        self._members = [
            _Member(number, config, trial)
            for (number, config), trial in zip(members, known, strict=True)
        ]
        self._parts: list[_Part] = []
        self._owners: list[int] = []  # for each training the trial that asked for it first
        self._values: dict[int, float] = {}
        self._train([member for member in self._members if member.known is None])

    def advance(self) -> list[float]:
        """Go on to the next report and return one value for each live member."""
        self.step += 1
        for part in self._parts:
            self._values.update(zip(part.trainings, part.run.advance(), strict=True))
        ended = [m for m in self._members if m.known and self.step not in _curve(m.known)]
        for part in self._train(ended):
            for _ in range(self.step):  # up to where the others are
                values = part.run.advance()
            self._values.update(zip(part.trainings, values, strict=True))
        return [
            _curve(m.known)[self.step] if m.known else self._values[m.training]
            for m in self._members
        ]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`, and what only they trained."""
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]
        wanted = {m.training for m in self._members}
        for part in self._parts:
            part.run.drop([training in wanted for training in part.trainings])
            part.trainings = [training for training in part.trainings if training in wanted]
        self._parts = [part for part in self._parts if part.trainings]

    def records(self) -> list[Mapping[str, Any]]:
        """Return the record of each live member, and whose training it shared, if any."""
        trained: dict[int, Mapping[str, Any]] = {}
        for part in self._parts:
            trained.update(zip(part.trainings, part.run.records(), strict=True))
        return [self._record(member, trained) for member in self._members]

    def _train(self, members: Sequence[_Member[_C]]) -> list[_Part]:
        """Begin to train what the members ask for, equals once."""
        ids: dict[str, int] = {}
        fresh: list[_C] = []
        for member in members:
            fingerprint = member.config.fingerprint()
            if fingerprint not in ids:
                ids[fingerprint] = len(self._owners)
                self._owners.append(member.number)
                fresh.append(member.config)
            member.known, member.training = None, ids[fingerprint]
        parts = [_Part(self._start(fresh), list(ids.values()))] if fresh else []
        self._parts += parts
        return parts

    def _record(
        self, member: _Member[_C], trained: Mapping[int, Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        if member.known is None:
            owner = self._owners[member.training]
            shared = {} if owner == member.number else {REUSED_FROM.key: owner}
            return {**trained[member.training], **shared}
        attrs = member.known.user_attrs
        reused = {REUSED_FROM.key: REUSED_FROM.read(attrs, member.known.number)}
        if self.step != max(_curve(member.known)):  # the record is that of a longer training
            return reused
        return {key: value for key, value in attrs.items() if key not in _NOT_RECORDED} | reused


def _curve(trial: FrozenTrial) -> dict[int, float]:
    return trial.intermediate_values

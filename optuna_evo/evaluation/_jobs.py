"""The trainings of a judgement as studies: each knows what is left of it, whoever does it.

A job is a study whose trials stand in slots; its stages follow each other. `search` trains them,
so what holds for searches holds here: a process that is killed loses what it was training, the
same command goes on, several processes share the work, and nothing is trained twice.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import hashlib
import json
import time
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_evo.attributes import JUDGED
from optuna_evo.evaluation._design import by_slot
from optuna_evo.evaluation._design import SlotSampler
from optuna_evo.evaluation._trainings import SeededConfig
from optuna_evo.evaluation._trainings import Trainings
from optuna_evo.search import FINISHED
from optuna_evo.search import open_study
from optuna_evo.search import search
from optuna_evo.search import study_names


__all__ = ["Book", "Job", "JUDGE_PART", "work"]

JUDGE_PART = "/judge"  # of the names of a judgement's studies, behind that of the judged one
_LONGEST_NAME = 512  # in Optuna's tables
_LOOK_AGAIN_S = 0.5

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Book:
    """The studies of a judgement.

    Args:
        storage: Their database.
        of: Name of the judged study, or of what is judged.
    """

    storage: BaseStorage
    of: str

    def study(self, role: str, *parts: str, identity: Any) -> optuna.Study:
        """Return a study, made if it is not there.

        Args:
            role: What is trained in it, such as "tune".
            parts: Of its name: the task, the contestant, ….
            identity: What must be equal for two judgements to share it, as JSON.
        """
        text = json.dumps(identity, sort_keys=True, default=repr)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = "/".join([f"{self.of}{JUDGE_PART}", role, *parts, digest])
        if len(name) > _LONGEST_NAME:
            whole = hashlib.sha256(name.encode()).hexdigest()[:16]
            name = f"{self.root_name}/{role}/{whole}"
        return self._made(name, {"of": self.of, "role": role, "parts": list(parts)})

    @property
    def root_name(self) -> str:
        """Name of the study without trials that holds the last judgement."""
        return f"{self.of[: _LONGEST_NAME - 64]}{JUDGE_PART}"

    def root(self) -> optuna.Study:
        """Return that study, made if it is not there."""
        return self._made(self.root_name, {"of": self.of})

    def studies(self) -> list[optuna.Study]:
        """Return all studies of judgements of this one, and of others that it was the host of."""
        found = []
        for name in study_names(self.storage):
            if name.startswith((self.root_name, f"{self.of}{JUDGE_PART}")):
                study = open_study(name, self.storage)
                told = JUDGED.read(study.user_attrs)
                of = str(told.get("of")) if isinstance(told, dict) else ""
                if of == self.of or of.startswith(f"{self.of}{JUDGE_PART}"):
                    found.append(study)
        return found

    def _made(self, name: str, told: Mapping[str, Any]) -> optuna.Study:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
        try:
            study = optuna.create_study(
                study_name=name, storage=self.storage, direction="minimize", load_if_exists=True
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        if not JUDGED.is_in(study.user_attrs):
            study.set_user_attr(JUDGED.key, dict(told))
        return study


@dataclass
class Job:
    """Trainings of one study.

    Args:
        study: The study.
        space: Its parameters.
        parameters: Makes the parameters of a slot from the complete trials by slot.
        config: Makes of parameters what is trained.
        objective: Trains and measures.
        ends: After how many trials each stage ends; the last one is the end.
        batch: Trials that are trained together.
    """

    study: optuna.Study
    space: Mapping[str, BaseDistribution]
    parameters: Callable[[int, Mapping[int, FrozenTrial]], dict[str, Any]]
    config: Callable[[Params], SeededConfig]
    objective: Trainings
    ends: Sequence[int]
    batch: int
    _done: dict[int, FrozenTrial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.study.sampler = SlotSampler(self.space, self.parameters)

    @property
    def trials(self) -> dict[int, FrozenTrial]:
        """The complete trials by slot."""
        if not self.is_done:
            self._done = by_slot(self.study.get_trials(deepcopy=False))
        return {slot: trial for slot, trial in self._done.items() if slot < self.ends[-1]}

    @property
    def is_done(self) -> bool:
        """Whether all trials were complete when they were looked at last."""
        return sum(slot < self.ends[-1] for slot in self._done) >= self.ends[-1]

    def advance(self) -> int:
        """Train what is left of the first stage that is not complete; return how many were told.

        Nothing is done where others train the rest of the stage.
        """
        n_done = len(self.trials)
        if n_done >= self.ends[-1]:
            return 0
        end = next(end for end in self.ends if end > n_done)
        finished = self.study.get_trials(deepcopy=False, states=FINISHED)
        return search(
            self.study,
            space=self._suggest,
            objective=self.objective,
            n_trials=len(finished) + end - n_done,
            batch_size=min(self.batch, end - n_done),
        )

    def _suggest(self, trial: optuna.Trial) -> SeededConfig:
        params: dict[str, Any] = {}
        for name, each in self.space.items():
            if isinstance(each, CategoricalDistribution):
                params[name] = trial.suggest_categorical(name, each.choices)
            elif isinstance(each, IntDistribution):
                params[name] = trial.suggest_int(name, each.low, each.high)
            elif isinstance(each, FloatDistribution):
                params[name] = trial.suggest_float(name, each.low, each.high, log=each.log)
        return self.config(params)


def work(jobs: Sequence[Job], on_told: Callable[[int], None] | None = None) -> None:
    """Do all jobs, beside whoever else does them, and return when all are complete.

    Args:
        jobs: What is to be done.
        on_told: Called with the number of trials that have become complete, here or elsewhere.
    """
    left = list(jobs)
    known = 0
    while left:
        told = 0
        for job in left:
            while n := job.advance():
                told += n
                known = _tell(jobs, known, on_told)
        left = [job for job in left if len(job.trials) < job.ends[-1]]
        known = _tell(jobs, known, on_told)
        if left and not told:
            time.sleep(_LOOK_AGAIN_S)


def _tell(jobs: Sequence[Job], known: int, on_told: Callable[[int], None] | None) -> int:
    if on_told is None:
        return 0
    now = sum(len(job._done) for job in jobs)
    if now != known:
        on_told(now - known)
    return now

"""Which segment of training a trial is, and the random stream that belongs to it.

The assignment is one trial system attribute. It says all there is to know about the segment, its
parameters included, so a copy of the trial that another worker takes up is the same segment.
"""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
import secrets
from typing import Any
from typing import Self
import zlib

import numpy as np
from numpy.random import Generator
from numpy.random import SeedSequence
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import MEMBER
from optuna_evo.attributes import PARENT
from optuna_evo.attributes import RECURRENCE_ASSIGNMENT
from optuna_evo.attributes import RECURRENCE_STUDY
from optuna_evo.attributes import SEGMENT
from optuna_evo.attributes import TEMPERATURE
from optuna_evo.samplers import _slots
from optuna_evo.samplers._slots import SlotKey
from optuna_evo.samplers._streams import hash_name


__all__ = [
    "DEFAULTS",
    "must_move",
    "origin_of",
    "read_assignment",
    "Segment",
    "segment_of",
    "SegmentAssignment",
    "write_assignment",
]

# Which defaults a study was begun with, so that it goes on with them: 1 has linear rivalry and
# geometric annealing, and did not say so; 2 is what `RecurrenceSampler` says.
DEFAULTS = 2

# Set apart the streams of one assignment.
_SELECTION, _VARIATION, _INDEPENDENT, _CONFIGURATION = range(4)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of training in a lineage: one trial of a `RecurrenceSampler`.

    Args:
        member: Slot of the population that the segment belongs to, in [0, population_size).
        index: Number of segments before this one along its lineage; 0 is a fresh start.
        parent: Number of the trial whose weights this segment goes on from: the member's own
            previous segment or, where it exploits, the latest of a better member. None for a
            fresh start.
        temperature: Scale of the exploration noise, `cooling` times the parent's.
        rho: Share of the parent's hyperparameters that was kept, in [0, 1]; 1 for a fresh start.
        exploited: Whether the parent is another member's.
    """

    member: int
    index: int
    parent: int | None
    temperature: float
    rho: float
    exploited: bool


@dataclass(frozen=True, kw_only=True)
class SegmentAssignment(Segment):
    """A segment, with what it takes to draw its hyperparameters.

    Args:
        turn: How many segments the member had before this one.
        attempt: How many trials of this turn failed before.
        entropy: The seed.
        study: Name of the study that it was made in; in another study it means nothing.
        source: Number of the trial whose hyperparameters are carried on; None: drawn afresh.
        genes: The new hyperparameters in Optuna's internal representation.
        progress: Share of the study's trials that had ended before it; None where the study's
            number of trials was not known.
    """

    turn: int = 0
    attempt: int = 0
    entropy: int = 0
    study: str = ""
    source: int | None = None
    genes: Mapping[str, float] = field(default_factory=dict)
    progress: float | None = None

    @property
    def key(self) -> SlotKey:
        """The slot among those of all members."""
        return self.member, self.turn

    @classmethod
    def from_attr(cls, attr: Mapping[str, Any]) -> Self:
        """Read what `to_attr` wrote."""
        return cls(**attr)

    def to_attr(self) -> dict[str, Any]:
        """Return the assignment as JSON types."""
        return asdict(self)

    def selection_rng(self) -> Generator:
        """Return the stream that chooses the member to exploit."""
        return np.random.default_rng(self._stream(_SELECTION))

    def configuration_rng(self) -> Generator:
        """Return the stream of what is drawn once for all parameters."""
        return np.random.default_rng(self._stream(_CONFIGURATION))

    def variation_rng(self, name: str) -> Generator:
        """Return the stream of one parameter's noise; it depends on no other parameter."""
        return np.random.default_rng(self._stream(_VARIATION, zlib.crc32(name.encode())))

    def prior(self, name: str, population_size: int) -> float:
        """Return the number in [0, 1) of a parameter that nothing was carried on for.

        In first segments the members share the range: each has one of `population_size` equal
        parts, in an order of its own for every parameter (a Latin hypercube).
        """
        key = zlib.crc32(name.encode())
        u = float(np.random.default_rng(self._stream(_INDEPENDENT, key)).random())
        if self.turn or self.attempt or self.member >= population_size:
            return u
        shared = SeedSequence([self.entropy, hash_name(self.study), key])
        order = np.random.default_rng(shared).permutation(population_size)
        return (float(order[self.member]) + u) / population_size

    def _stream(self, *key: int) -> SeedSequence:
        study = hash_name(self.study)
        return SeedSequence([self.entropy, study, self.member, self.turn, self.attempt, *key])


def read_assignment(trial: FrozenTrial, study: str) -> SegmentAssignment | None:
    """Return the assignment of a trial; None without one or with one of another study."""
    attr = RECURRENCE_ASSIGNMENT.read(trial.system_attrs)
    if attr is None or attr["study"] != study:
        return None
    return SegmentAssignment.from_attr(attr)


def write_assignment(study: Study, trial: FrozenTrial, segment: SegmentAssignment) -> None:
    """Write a trial's segment to the storage, and on the trial."""
    storage, trial_id = study._storage, trial._trial_id
    shown = {
        MEMBER.key: segment.member,
        SEGMENT.key: segment.index,
        PARENT.key: segment.parent,
        TEMPERATURE.key: segment.temperature,
    }
    for key, value in shown.items():
        storage.set_trial_user_attr(trial_id, key, value)
    # The assignment last: a trial that has one has all, also if its worker dies in between.
    storage.set_trial_system_attr(trial_id, RECURRENCE_ASSIGNMENT.key, segment.to_attr())
    trial.user_attrs.update(shown)
    trial.system_attrs[RECURRENCE_ASSIGNMENT.key] = segment.to_attr()


def must_move(study: Study, trial: FrozenTrial, name: str) -> bool | None:
    """Tell whether a trial has to take another segment (see `_slots.must_move`).

    Args:
        study: The study.
        trial: A trial that was assigned a segment and has no parameters yet.
        name: The name under which segments are assigned.
    """
    trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
    mine = RECURRENCE_ASSIGNMENT.read(trial.system_attrs)
    rivals = [
        other.number
        for other in trials
        if (attr := RECURRENCE_ASSIGNMENT.read(other.system_attrs)) is not None
        and (attr["member"], attr["turn"]) == (mine["member"], mine["turn"])
        and attr["study"] == name
        and other.state != TrialState.FAIL
        and other.number != trial.number
    ]
    return _slots.must_move(trials, trial.number, rivals) if rivals else False


def origin_of(study: Study) -> Mapping[str, Any]:
    """Return the name under which segments are assigned, a seed for no seed, and what defaults.

    A copy of a study goes on with the assignments of the original, whatever its name. Trials that
    were added from another study keep foreign ones, which mean nothing here.
    """
    storage, study_id = study._storage, study._study_id
    origin = RECURRENCE_STUDY.read(storage.get_study_system_attrs(study_id))
    if origin is None:
        origin = {
            "name": study.study_name,
            "entropy": secrets.randbits(32),
            "defaults": DEFAULTS,
        }
        storage.set_study_system_attr(study_id, RECURRENCE_STUDY.key, origin)
    return dict(origin)


def segment_of(trial: FrozenTrial) -> Segment | None:
    """Return which segment a trial is; None for a trial that no `RecurrenceSampler` was asked for.

    Inside an objective, `optuna_evo.attributes.PARENT.read(trial.user_attrs)` is the parent.

    Example:
        >>> import optuna
        >>> from optuna_evo.samplers import RecurrenceSampler, segment_of
        >>> study = optuna.create_study(sampler=RecurrenceSampler(population_size=4, seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
        >>> segment_of(study.get_trials()[4]).index
        1
    """
    attr = RECURRENCE_ASSIGNMENT.read(trial.system_attrs)
    if attr is None:
        return None
    return Segment(**{name: attr[name] for name in Segment.__dataclass_fields__})

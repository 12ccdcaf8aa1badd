"""An old study as a plain value: what was tried, and how it went."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import cached_property
import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_evo.attributes import META_FEATURES
from optuna_evo.errors import UsageError
from optuna_evo.samplers._ga._genes import fit
from optuna_evo.samplers._rank import rank_of
from optuna_evo.samplers._recurrence._start import best_start
from optuna_evo.surrogates import is_ordinary


@dataclass(frozen=True, eq=False)
class Source:
    """The complete trials of a finished study, compactly.

    Attributes:
        name:
            Name of the study.
        distributions:
            Every parameter that a trial had, with its most recent range.
        params:
            A column for each parameter, (n,): Optuna's internal representation, which is the
            number itself or the index of the choice; NaN where a trial did not have it.
        losses:
            Finite values, (n,), lower is better: values of a maximised study are negated.
        meta_features:
            What is known of the study's task, as numbers by name.
        violations:
            The sum of the positive constraints of each trial, (n,), 0 for a feasible one; all 0
            if it is not given.
        start:
            Hyperparameters for the beginning of a training; see `best_start`.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    params: Mapping[str, NDArray[np.float64]]
    losses: NDArray[np.float64]
    meta_features: Mapping[str, float] = field(default_factory=dict)
    violations: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    start: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take a source without constraints as feasible."""
        if len(self.violations) == 0:
            object.__setattr__(self, "violations", np.zeros(len(self.losses)))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the content: equal sources are fitted once."""
        digest = hashlib.sha256(self.losses.tobytes())
        for name in sorted(self.params):
            digest.update(name.encode())
            digest.update(distribution_to_json(self.distributions[name]).encode())
            digest.update(self.params[name].tobytes())
        if self.violations.any():
            digest.update(self.violations.tobytes())
        for name, value in sorted(self.meta_features.items()):
            digest.update(f"{name}={value!r}".encode())
        return digest.hexdigest()

    @cached_property
    def configurations(self) -> tuple[dict[str, Any], ...]:
        """The parameters of each trial as the objective got them."""
        columns = {
            name: [
                None if math.isnan(code) else self.distributions[name].to_external_repr(code)
                for code in codes.tolist()
            ]
            for name, codes in self.params.items()
        }
        missing = {name: np.isnan(codes) for name, codes in self.params.items()}
        return tuple(
            {name: column[i] for name, column in columns.items() if not missing[name][i]}
            for i in range(len(self.losses))
        )


def read_source(study: Study) -> Source:
    """Read what a study found: the complete trials with finite values, no intermediate values.

    Args:
        study:
            A study with one objective, in any storage. Its user attribute
            `optuna_evo.attributes.META_FEATURES` (or "meta_features"), if it has one, is a mapping
            of numbers that describe its task.

    Returns:
        A value that does not change when the study goes on.

    Raises:
        UsageError: If the study has several objectives.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(study_name="old", direction="maximize")
        >>> study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3)
        >>> source = read_source(study)
        >>> source.name, len(source.losses), bool((source.losses <= 0).all())
        ('old', 3, True)
    """
    if len(study.directions) != 1:
        raise UsageError(
            f"A source must have one objective, but study {study.study_name!r} has "
            f"{len(study.directions)}. Leave it out."
        )
    maximize = study.direction == StudyDirection.MAXIMIZE
    sign = -1.0 if maximize else 1.0
    everything = study.get_trials(deepcopy=False)
    complete = (t for t in everything if t.state == TrialState.COMPLETE)
    trials = [t for t in complete if t.value is not None and is_ordinary(t.value)]
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions.update(trial.distributions)
    params = {name: np.full(len(trials), math.nan) for name in sorted(distributions)}
    for i, trial in enumerate(trials):
        for name, value in trial.params.items():
            try:
                params[name][i] = distributions[name].to_internal_repr(value)
            except ValueError:  # a choice that the most recent range has no more
                continue
    return Source(
        name=study.study_name,
        distributions={name: distributions[name] for name in params},
        params=params,
        losses=np.array([sign * t.value for t in trials if t.value is not None]),
        meta_features=read_meta_features(study.user_attrs),
        violations=np.array([rank_of(t).violation for t in trials]),
        start=best_start(everything, maximize=maximize),
    )


def read_sources(storage: str | BaseStorage, names: Iterable[str] | None = None) -> list[Source]:
    """Read studies of a database as sources.

    Args:
        storage:
            URL of the database, or a storage.
        names:
            Which studies; None for all with one objective and at least one complete trial.

    Raises:
        UsageError: If a name is not in the database.
    """
    known = {s.study_name: s for s in optuna.get_all_study_summaries(storage)}
    if names is None:
        wanted = [name for name, s in known.items() if len(s.directions) == 1 and s.n_trials]
    else:
        wanted = list(names)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise UsageError(
                f"No study {unknown[0]!r} in the database; "
                f"there are: {', '.join(sorted(known)) or 'none'}."
            )
    studies = (optuna.load_study(study_name=name, storage=storage) for name in wanted)
    sources = [read_source(study) for study in studies]
    return sources if names is not None else [s for s in sources if len(s.losses)]


def fitting_starts(
    sources: Iterable[Source], parameters: Mapping[str, BaseDistribution]
) -> list[dict[str, Any]]:
    """Return what trainings may begin with by some sources, moved into the ranges of a space."""
    starts = [
        {
            name: moved
            for name, value in source.start.items()
            if name in parameters and (moved := _moved(value, parameters[name])) is not None
        }
        for source in sources
    ]
    return [start for start in starts if start]


def _moved(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return next(
            (c for c in distribution.choices if (type(c), c) == (type(value), value)), None
        )
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return fit(value, distribution) if is_number else None


def check_usable(sources: Sequence[Source]) -> None:
    """Raise if there are sources, and nothing to learn from them.

    Raises:
        UsageError: If none of them has a complete trial with a finite value.
    """
    if sources and not any(len(source.losses) for source in sources):
        names = ", ".join(repr(source.name) for source in sources[:3])
        more = ", …" if len(sources) > 3 else ""
        raise UsageError(
            f"No source has a complete trial with a finite value ({names}{more}): there is "
            "nothing to start from. Leave them out, or finish a trial of one."
        )


def read_meta_features(user_attrs: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a study's meta-features; a user may have written anything."""
    attr = META_FEATURES.read(user_attrs)
    if not isinstance(attr, Mapping):
        return {}
    numbers = {str(k): v for k, v in attr.items() if isinstance(v, int | float)}
    return {k: float(v) for k, v in numbers.items() if math.isfinite(v)}


def with_own_names(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Tell studies of the same name, from different databases, apart; drop what is given twice."""
    by_name: dict[str, Source] = {}
    for source in sources:
        name, copy = source.name, 2
        while name in by_name and by_name[name].fingerprint != source.fingerprint:
            name, copy = f"{source.name} ({copy})", copy + 1
        by_name.setdefault(name, replace(source, name=name))
    return tuple(by_name.values())

"""The lineages of a study: what there is to draw, computed from its trials."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import MEMBER
from optuna_evo.search import ancestors
from optuna_evo.search import parent_of


__all__ = ["Birth", "Family", "family"]


class Birth(NamedTuple):
    """One segment in the family.

    `parent` is the number of the trial it went on from; `member` is None where a sampler knows no
    members; `on_line` tells whether the winner's weights went through it; `n_descendants` counts
    all that went on from it, directly or not.
    """

    number: int
    parent: int | None
    member: int | None
    first_step: int
    last_step: int
    value: float
    params: Mapping[str, Any]
    on_line: bool
    n_descendants: int
    diverged: bool


class Family(NamedTuple):
    """All complete segments of a study by number, the winner's line, and what is said of them.

    `scales` maps each hyperparameter of the line to whether its range is logarithmic.
    """

    name: str
    births: Mapping[int, Birth]
    line: Sequence[Birth]
    scales: Mapping[str, bool]

    def children(self, number: int | None) -> list[Birth]:
        """Return who went on from a trial; of None: who began with fresh weights."""
        return [birth for birth in self.births.values() if birth.parent == number]


def family(study: optuna.Study, winner: int) -> Family:
    """Read the family of a study.

    Args:
        study: The study.
        winner: Number of the trial whose line is the winning one.
    """
    trials = study.get_trials(deepcopy=False)
    line = {trial.number for trial in ancestors(trials, winner)}
    descendants = dict.fromkeys(range(len(trials)), 0)
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    for trial in complete:
        for ancestor in list(ancestors(trials, trial.number))[1:]:
            descendants[ancestor.number] += 1
    births = {t.number: _birth(t, t.number in line, descendants[t.number]) for t in complete}
    scales = {
        name: bool(getattr(distribution, "log", False))
        for number in sorted(line)
        for name, distribution in trials[number].distributions.items()
    }
    return Family(
        study.study_name, births, [births[n] for n in sorted(line) if n in births], scales
    )


def _birth(trial: FrozenTrial, on_line: bool, n_descendants: int) -> Birth:
    attrs = trial.user_attrs
    first = int(attrs.get("first_step", 0))
    return Birth(
        number=trial.number,
        parent=parent_of(trial),
        member=MEMBER.read(attrs),
        first_step=first,
        last_step=first + int(attrs.get("optimizer_steps", 0)),
        value=float(trial.value or 0.0),
        params=trial.params,
        on_line=on_line,
        n_descendants=n_descendants,
        diverged=DIVERGED.is_in(attrs),
    )

"""What a study shows about who should propose: the sources, or a search that does without them."""

from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.samplers._design import design_value
from optuna_evo.samplers._history import History
from optuna_evo.samplers._streams import hash_name
from optuna_evo.surrogates import SpaceEncoding


TOWARDS_BEST = 0.25  # of the way from the middle
PATIENCE = 3  # trials without a better one after which the search without sources has a turn


def control(seed: int, study: Study, history: History, encoding: SpaceEncoding) -> dict[str, Any]:
    """Return what a design begins with, its numbers moved a little towards the best result.

    That is near the middle of all ranges. It owes little to the sources and is rarely bad, so what
    they propose can be judged by it; and between the middle and the best there often is something
    better than both.
    """
    key = (seed, hash_name(study.study_name))
    names = {axis.name: axis.distribution for axis in encoding.axes}
    values = {name: design_value(key, 0, name, d, {}) for name, d in names.items()}
    if not history.observations or is_level(history):
        return values
    best = min(history.observations, key=lambda o: (o.violation, o.loss))
    row, target = encoding.units([values, best.params])
    is_number = np.array([not axis.is_category for axis in encoding.axes]) & ~np.isnan(target)
    row[is_number] += TOWARDS_BEST * (target - row)[is_number]
    return encoding.values(encoding.snap(row[None])[0])


def n_without_sources(study: Study, trial: FrozenTrial) -> int:
    """Return how many earlier trials the sources had no say in, whatever became of them."""
    trials = study.get_trials(deepcopy=False)
    before = (t for t in trials if t.number < trial.number)
    return sum(PROPOSED_BY.read(t.user_attrs) == "base" for t in before)


def is_level(history: History) -> bool:
    """Whether all results are equal, so that they say nothing about who is right."""
    ranks = {(o.violation, o.loss) for o in history.observations}
    return len(history.observations) > 1 and len(ranks) == 1


def since_best(history: History) -> int:
    """Return how many results came after the best one."""
    ranks = [(o.violation, o.loss) for o in history.observations]
    return len(ranks) - 1 - ranks.index(min(ranks)) if ranks else 0


def is_stuck(history: History) -> bool:
    """Whether results have not got better for a whole number of times the patience."""
    since = since_best(history)
    return since > 0 and since % PATIENCE == 0


def n_open_before(study: Study, trial: FrozenTrial) -> int:
    """Return how many earlier trials run whose parameters are not known yet."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sum(t.number < trial.number and not t.params for t in trials)

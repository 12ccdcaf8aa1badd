"""What a study shows about who should propose: the sources, or a search that does without them."""

from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.samplers._design import design_value
from optuna_evo.samplers._history import History
from optuna_evo.samplers._streams import hash_name
from optuna_evo.surrogates import SpaceEncoding


PATIENCE = 3  # trials without a better one after which the search without sources has a turn


def middle(seed: int, study: Study, history: History) -> dict[str, Any] | None:
    """Return what a design begins with: the middle of all ranges; None if it was tried.

    It owes nothing to the sources and is rarely bad, so what they propose can be judged by it.
    Categories have no middle: None where there is nothing else.
    """
    if all(isinstance(d, CategoricalDistribution) for d in history.space.values()):
        return None
    key = (seed, hash_name(study.study_name))
    values = {name: design_value(key, 0, name, d, {}) for name, d in history.space.items()}
    encoding = SpaceEncoding(history.space, optional=history.optional)
    begun = [*(o.params for o in history.observations), *history.running, *history.failed]
    known = encoding.units(begun)
    # parameters that did not apply to a trial do not tell it from the middle
    lacking = np.isnan(known)
    same = (known == encoding.units([values])) | lacking
    return None if (same.all(axis=1) & ~lacking.all(axis=1)).any() else values


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

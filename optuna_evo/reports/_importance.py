"""Which parameters the values of a study depend on."""

from collections.abc import Mapping
import warnings

import optuna
from optuna.trial import TrialState


__all__ = ["importance_of"]

_LEAST_TRIALS = 10  # complete ones; with fewer it is noise
_MOST_PARAMETERS = 15


def importance_of(study: optuna.Study) -> Mapping[str, float]:
    """Return the most important parameters with their shares, the first being the largest.

    By PED-ANOVA, Optuna's default: how far the distribution of a parameter among the best tenth of
    the trials differs from that among all. Empty where it cannot be told.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _LEAST_TRIALS or len({t.value for t in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant parameters, and that it is experimental
        try:
            found = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError, ArithmeticError):  # such as no parameter in common
            return {}
    kept = [(name, float(share)) for name, share in found.items() if share > 0]
    kept.sort(key=lambda pair: -pair[1])
    return dict(kept[:_MOST_PARAMETERS])

"""What a configuration would score, predicted from a study, and how well that ranks."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_evo.errors import UsageError
from optuna_evo.surrogates._meta_learner import MetaLearner
from optuna_evo.surrogates._meta_learner import TrainedMetaLearner


__all__ = ["predict_scores", "ScorePredictor"]

_FEWEST: Final = 8  # trials: of fewer, a rank correlation says nothing


@dataclass(frozen=True)
class ScorePredictor:
    """What predicts scores, and whether it is to be trusted.

    Args:
        n_trials: Complete trials that it learned from.
        correlation: Spearman's rank correlation on trials left out, in [-1, 1].
        is_trusted: Whether that is at least 0.5.
        learner: The surrogate.
    """

    n_trials: int
    correlation: float
    is_trusted: bool
    learner: TrainedMetaLearner

    @property
    def sentence(self) -> str:
        """One sentence on how well it ranks."""
        found = (
            f"rank correlation {self.correlation:.2f} on trials left out, of {self.n_trials} "
            "complete ones"
        )
        if self.is_trusted:
            return f"Scores of untried configurations can be predicted: {found}."
        return f"Predicted scores are not to be trusted yet (below 0.5): {found}."

    def ranks(self, configurations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Return the rank that each configuration is expected to have among them, 0 the best.

        Args:
            configurations: Parameters as of trials.
        """
        mean = self.learner.predict(configurations).mean
        return np.asarray(np.argsort(np.argsort(mean, kind="stable"), kind="stable"))


def predict_scores(study: optuna.Study, *, seed: int = 0) -> ScorePredictor:
    """Learn from the complete trials of a study what configurations score.

    Args:
        study: Any study with one objective.
        seed: Of the folds and of the networks.

    Raises:
        UsageError: If there are fewer than 8 complete trials with a finite value.

    Example:
        >>> predictor = predict_scores(study)
        >>> predictor.is_trusted, predictor.ranks([{"x": 0.1}, {"x": 0.9}])
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    trials = [t for t in complete if t.value is not None and math.isfinite(t.value)]
    if len(trials) < _FEWEST:
        raise UsageError(
            f"Scores can be predicted from {_FEWEST} complete trials on, there are {len(trials)}."
        )
    space: dict[str, BaseDistribution] = {}
    for trial in trials:
        space |= trial.distributions
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    losses = [sign * float(t.value or 0.0) for t in trials]
    learned = MetaLearner(seed=seed).fit([t.params for t in trials], losses, space)
    return ScorePredictor(len(trials), learned.correlation, learned.is_trusted, learned)

"""What a lineage of another study may begin with."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.samplers._rank import rank_of
from optuna_evo.samplers._recurrence._segment import segment_of


__all__ = ["best_start"]


def best_start(trials: Sequence[FrozenTrial], *, maximize: bool) -> dict[str, Any]:
    """Return the hyperparameters that a new training may begin with; nothing without any.

    Those of the best trial or, where it is a segment of a training, those at a quarter of its
    lineage: past the rivals' first steps, and not yet cooled down.

    Args:
        trials: All trials of a study, by number.
        maximize: Whether a higher value is better.
    """
    whole = (t for t in trials if t.state == TrialState.COMPLETE)
    sound = [t for t in whole if not DIVERGED.is_in(t.user_attrs)]
    best = min(sound, key=lambda t: (rank_of(t, maximize=maximize), t.number), default=None)
    if best is None:
        return {}
    lineage, segment = [best], segment_of(best)
    while segment is not None and segment.parent is not None:
        lineage.append(trials[segment.parent])
        segment = segment_of(lineage[-1])
    return dict(lineage[::-1][len(lineage) // 4].params)

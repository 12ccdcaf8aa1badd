"""Features that alone predict the target: often what is known only after it, or an index.

Shape legend: n rows, f features.
"""

from typing import Any
from typing import Final

import numpy as np
from numpy.typing import NDArray


__all__ = ["alone_predictive"]

_N_ROWS: Final = 500  # that a tree is fitted to, and as many that it is measured on
_N_ROWS_OF_MANY: Final = 100  # so that a thousand features take a second
_MANY: Final = 200
# Share of what the commonest class leaves, or of the variance. The best single feature of iris
# reaches 0.91, of breast_cancer 0.70, of wine 0.53, of digits 0.20, of diabetes 0.04.
_SUSPICIOUS: Final = {"classification": 0.95, "regression": 0.98}
_MIN_OTHERS: Final = 5  # held-out rows not of the commonest class: fewer say nothing


def alone_predictive(
    features: NDArray[np.float64], targets: NDArray[Any], kind: str
) -> dict[int, float]:
    """Return the features by which a tree predicts nearly all of the target on held-out rows.

    Args:
        features: Array (n, f); NaN where a value is missing.
        targets: Array (n,): classes or numbers.
        kind: "classification" or "regression".

    Returns:
        Their places, with the accuracy or the share of variance explained.
    """
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.tree import DecisionTreeRegressor

    n = _N_ROWS if features.shape[1] <= _MANY else _N_ROWS_OF_MANY
    rows = np.random.default_rng(0).permutation(len(targets))[: 2 * n]
    fit, held_out = rows[::2], rows[1::2]
    y, y_new = targets[fit], targets[held_out]
    chance = 0.0
    if kind == "classification":
        classes, counts = np.unique(y, return_counts=True)
        n_others = int((y_new != classes[counts.argmax()]).sum())
        chance = 1 - n_others / len(y_new)
        if n_others < _MIN_OTHERS or len(classes) > len(y) / 2:
            return {}
    elif np.ptp(y_new) == 0:
        return {}
    tree = DecisionTreeClassifier if kind == "classification" else DecisionTreeRegressor
    found = {}
    for place in range(features.shape[1]):
        x = features[:, [place]]
        if np.isnan(x[fit]).all() or np.nanmin(x[fit]) == np.nanmax(x[fit]):
            continue
        score = tree(random_state=0).fit(x[fit], y).score(x[held_out], y_new)
        if score - chance >= _SUSPICIOUS[kind] * (1 - chance):
            found[place] = float(score)
    return found

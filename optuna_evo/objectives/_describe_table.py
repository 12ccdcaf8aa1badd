"""What is known about a table before anything is searched; `tasks.meta_features` of a table."""

import numpy as np

from optuna_evo.config import EstimatorConfig
from optuna_evo.estimators import Table
from optuna_evo.objectives._table import measure


__all__ = ["describe_table"]

_N_ROWS = 512  # rows that landmarks are fitted to, and as many that they are measured on


def describe_table(table: Table) -> dict[str, float]:
    """Return the sizes of a table, the entropy of its classes in bits, and a score by chance.

    `landmark_linear` is the share of right classes, or of variance explained, by a linear model
    that was fitted to every second of at most 1,024 evenly spread rows, on the others.

    Example:
        >>> from optuna_evo.estimators import load_table
        >>> describe_table(load_table("wine"))["n_classes"]
        3.0
    """
    n, n_features = table.features.shape
    found = {"n_rows": n, "n_features": n_features, "landmark_chance": 0.0}
    if table.kind == "classification":
        shares = np.bincount(table.targets) / n
        found["n_classes"] = len(shares)
        found["class_entropy"] = -(shares * np.log2(shares)).sum()
        found["landmark_chance"] = shares.max()
    rows = np.random.default_rng(0).permutation(n)[: 2 * _N_ROWS]
    fit, rest = rows[::2], rows[1::2]
    config = EstimatorConfig(estimator="linear", params={"alpha": 1.0})
    if table.kind == "regression" or len(np.unique(table.targets[fit])) > 1:
        scores = measure(table, config, fit, rest, 0)
        found["landmark_linear"] = scores["r2" if table.kind == "regression" else "accuracy"]
    return {name: round(float(value), 6) for name, value in found.items()}

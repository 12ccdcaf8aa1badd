"""What a trial fits to a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from optuna_evo.config._digest import digest


__all__ = ["EstimatorConfig"]


@dataclass(frozen=True, kw_only=True)
class EstimatorConfig:
    """An estimator of scikit-learn and its hyperparameters (see `optuna_evo.estimators`).

    Args:
        estimator: Its name, such as "random_forest".
        params: Its hyperparameters.

    Example:
        >>> EstimatorConfig(estimator="linear", params={"alpha": 0.1}).fingerprint()
    """

    estimator: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the name with a digest of the hyperparameters."""
        return f"{self.estimator}-{digest(self.params)}"

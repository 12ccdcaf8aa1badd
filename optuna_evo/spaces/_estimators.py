"""An estimator and its hyperparameters: a conditional space, one branch for each estimator."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final
from typing import TYPE_CHECKING

from optuna_evo.config import EstimatorConfig


if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["estimator_space"]

# Each parameter carries its estimator's name: within a study a name has one distribution, and the
# estimators' `alpha` and `max_iter` have different ranges.
_ALL: Final = ("linear", "elastic_net", "random_forest", "gradient_boosting", "svm", "mlp")


def estimator_space(
    trial: "BaseTrial", *, estimators: str | Sequence[str] = _ALL
) -> EstimatorConfig:
    """Suggest an estimator and then its hyperparameters, named like "svm_C".

    Args:
        trial: An Optuna trial.
        estimators: Those to choose from (see `optuna_evo.estimators.build_estimator`). If it is
            one, only its hyperparameters are suggested.

    Raises:
        ValueError: If one of them is unknown.

    Example:
        >>> import optuna
        >>> trial = optuna.trial.FixedTrial({"linear_alpha": 0.1})
        >>> estimator_space(trial, estimators="linear").params
        {'alpha': 0.1}
    """
    names = [estimators] if isinstance(estimators, str) else list(estimators)
    if not names or not set(names) <= _BRANCHES.keys():
        raise ValueError(f"`estimators` must be some of {', '.join(_ALL)}; got {names}.")
    name = names[0] if len(names) == 1 else str(trial.suggest_categorical("estimator", names))
    return EstimatorConfig(estimator=name, params=_BRANCHES[name](trial))


def _linear(trial: "BaseTrial") -> dict[str, Any]:
    return {"alpha": trial.suggest_float("linear_alpha", 1e-4, 1e3, log=True)}


def _elastic_net(trial: "BaseTrial") -> dict[str, Any]:
    return {
        "alpha": trial.suggest_float("elastic_net_alpha", 1e-4, 1e2, log=True),
        "l1_ratio": trial.suggest_float("elastic_net_l1_ratio", 0.0, 1.0),
    }


def _random_forest(trial: "BaseTrial") -> dict[str, Any]:
    return {
        "n_estimators": trial.suggest_int("random_forest_n_estimators", 10, 300, log=True),
        "max_depth": trial.suggest_int("random_forest_max_depth", 2, 20),
        "min_samples_leaf": trial.suggest_int("random_forest_min_samples_leaf", 1, 20, log=True),
        "max_features": trial.suggest_float("random_forest_max_features", 0.1, 1.0),
    }


def _gradient_boosting(trial: "BaseTrial") -> dict[str, Any]:
    name = "gradient_boosting_"
    return {
        "learning_rate": trial.suggest_float(f"{name}learning_rate", 0.01, 0.5, log=True),
        "max_iter": trial.suggest_int(f"{name}max_iter", 20, 300, log=True),
        "max_leaf_nodes": trial.suggest_int(f"{name}max_leaf_nodes", 3, 63, log=True),
        "l2_regularization": trial.suggest_float(f"{name}l2", 1e-4, 1e2, log=True),
    }


def _svm(trial: "BaseTrial") -> dict[str, Any]:
    return {
        "C": trial.suggest_float("svm_C", 1e-2, 1e3, log=True),
        "gamma": trial.suggest_float("svm_gamma", 1e-4, 1e1, log=True),
    }


def _mlp(trial: "BaseTrial") -> dict[str, Any]:
    return {
        "width": trial.suggest_int("mlp_width", 8, 128, log=True),
        "alpha": trial.suggest_float("mlp_alpha", 1e-6, 1e1, log=True),
        "learning_rate_init": trial.suggest_float("mlp_learning_rate_init", 1e-4, 1e-1, log=True),
        "max_iter": trial.suggest_int("mlp_max_iter", 20, 200, log=True),
    }


_BRANCHES: Final[Mapping[str, Callable[["BaseTrial"], dict[str, Any]]]] = {
    "linear": _linear,
    "elastic_net": _elastic_net,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
    "svm": _svm,
    "mlp": _mlp,
}

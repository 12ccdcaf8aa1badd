"""scikit-learn's estimators by name, for regression and classification.

    name                regression                     classification
    linear              Ridge                          LogisticRegression (C = 1 / alpha)
    elastic_net         ElasticNet                     LogisticRegression (l1_ratio)
    random_forest       RandomForestRegressor          RandomForestClassifier
    gradient_boosting   HistGradientBoostingRegressor  HistGradientBoostingClassifier
    svm                 SVR                            SVC
    mlp                 MLPRegressor                   MLPClassifier

Missing values are filled by the median. All but the trees see standardised features, and SVR and
MLPRegressor standardised targets too.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Final

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import UsageError


__all__ = ["build_estimator"]


def build_estimator(config: EstimatorConfig, kind: str, *, seed: int) -> Any:
    """Build an estimator, not yet fitted.

    Args:
        config: Its name and hyperparameters.
        kind: "classification" or "regression".
        seed: Seed of its random choices.

    Raises:
        UsageError: If there is no such estimator.

    Example:
        >>> config = EstimatorConfig(estimator="linear", params={"alpha": 0.1})
        >>> build_estimator(config, "regression", seed=0)
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if config.estimator not in _BUILDERS:
        raise UsageError(
            f"An estimator must be one of {', '.join(_BUILDERS)}; got {config.estimator!r}."
        )
    is_regression = kind == "regression"
    model = _BUILDERS[config.estimator](dict(config.params), is_regression, seed)
    # their penalties and tolerances are meant for targets of order one
    if is_regression and config.estimator in ("svm", "mlp"):
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    # keep_empty_features: a column may be empty in one fold only, and all folds need equal shapes
    steps = [SimpleImputer(strategy="median", keep_empty_features=True)]
    if config.estimator not in ("random_forest", "gradient_boosting"):
        steps.append(StandardScaler())  # trees depend on the order of values only
    return make_pipeline(*steps, model)


def _linear(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model import Ridge

    if is_regression:
        return Ridge(random_state=seed, **params)
    return LogisticRegression(C=1 / params["alpha"], max_iter=500, random_state=seed)


def _elastic_net(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn.linear_model import ElasticNet
    from sklearn.linear_model import LogisticRegression

    if is_regression:
        return ElasticNet(random_state=seed, **params)
    # saga is scikit-learn's only solver for mixed penalties
    return LogisticRegression(
        C=1 / params["alpha"],
        l1_ratio=params["l1_ratio"],
        solver="saga",
        max_iter=300,
        random_state=seed,
    )


def _random_forest(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn import ensemble

    kind = "Regressor" if is_regression else "Classifier"
    return getattr(ensemble, f"RandomForest{kind}")(random_state=seed, **params)


def _gradient_boosting(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn import ensemble

    kind = "Regressor" if is_regression else "Classifier"
    make = getattr(ensemble, f"HistGradientBoosting{kind}")
    # no early stopping: the number of iterations is a hyperparameter of the space
    return make(random_state=seed, early_stopping=False, **params)


def _svm(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn import svm

    return svm.SVR(**params) if is_regression else svm.SVC(random_state=seed, **params)


def _mlp(params: dict[str, Any], is_regression: bool, seed: int) -> Any:
    from sklearn import neural_network

    width, rest = params["width"], {k: v for k, v in params.items() if k != "width"}
    kind = "Regressor" if is_regression else "Classifier"
    make = getattr(neural_network, f"MLP{kind}")
    return make(hidden_layer_sizes=(width, width), random_state=seed, **rest)


_BUILDERS: Final[Mapping[str, Callable[[dict[str, Any], bool, int], Any]]] = {
    "linear": _linear,
    "elastic_net": _elastic_net,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
    "svm": _svm,
    "mlp": _mlp,
}

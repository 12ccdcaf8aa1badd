"""scikit-learn's estimators by name, for regression and classification.

    name                regression                     classification
    linear              Ridge                          LogisticRegression (C = 1 / alpha)
    elastic_net         ElasticNet                     LogisticRegression (l1_ratio)
    random_forest       RandomForestRegressor          RandomForestClassifier
    gradient_boosting   HistGradientBoostingRegressor  HistGradientBoostingClassifier
    svm                 SVR                            SVC
    mlp                 MLPRegressor                   MLPClassifier

Missing numbers are filled by the median. Few different texts become columns of 0 and 1; of more
than 20 (trees) or 100 (others), each becomes the shrunken mean target of its rows, with
cross-fitting (Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical
attributes"), so a column of texts never becomes many. Everything is fitted to training rows only.
All but the trees see standardised features, and SVR and MLPRegressor standardised targets too.

Shape legend: n rows, f features.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import UsageError


__all__ = ["build_estimator", "MAX_COLUMNS", "MAX_COLUMNS_OF_OTHERS"]


# Columns of 0 and 1 against mean targets, R² on 500 of 1,000 rows: boosted trees 0.89 and 0.90 for
# 8 different texts, 0.48 and 0.86 for 30; ridge 0.90 and 0.89 for 30, 0.88 and 0.80 for 100; where
# 300 texts mean nothing, ridge 0.76 and 0.84, an SVM 0.37 and 0.81.
MAX_COLUMNS: Final = 20
MAX_COLUMNS_OF_OTHERS: Final = 100
_MAX_COLUMNS_IN_ALL: Final = 1_000  # of those others, however many columns hold texts
_TREES: Final = ("random_forest", "gradient_boosting")
_N_ENCODING_FOLDS: Final = 5


def build_estimator(
    config: EstimatorConfig, kind: str, *, seed: int, n_texts: Sequence[int] = ()
) -> Any:
    """Build an estimator, not yet fitted.

    Args:
        config: Its name and hyperparameters.
        kind: "classification" or "regression".
        seed: Seed of its random choices.
        n_texts: For each feature that is a code of texts, which are the last ones, how many
            different ones there are.

    Raises:
        UsageError: If there is no such estimator.

    Example:
        >>> config = EstimatorConfig(estimator="linear", params={"alpha": 0.1})
        >>> build_estimator(config, "regression", seed=0)
    """
    from sklearn.compose import TransformedTargetRegressor
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
    is_tree = config.estimator in _TREES
    steps = [_to_numbers(n_texts, is_tree, is_regression, seed)]
    if not is_tree:
        steps.append(StandardScaler())  # trees depend on the order of values only
    return make_pipeline(*steps, model)


def _to_numbers(n_texts: Sequence[int], is_tree: bool, is_regression: bool, seed: int) -> Any:
    """Return what makes complete numbers of features (n, f)."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.preprocessing import TargetEncoder

    # keep_empty_features: a column may be empty in one fold only, and all folds need equal shapes
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    if not n_texts:
        return imputer
    limit = MAX_COLUMNS
    if not is_tree:
        share = _MAX_COLUMNS_IN_ALL // len(n_texts)
        limit = min(MAX_COLUMNS_OF_OTHERS, max(MAX_COLUMNS, share))
    places = range(-len(n_texts), 0)
    few = [place for place, n in zip(places, n_texts, strict=True) if n <= limit]
    folds = KFold(_N_ENCODING_FOLDS, shuffle=True, random_state=seed)
    return ColumnTransformer(
        [
            ("numbers", imputer, slice(None, -len(n_texts))),
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
            (
                "many",
                # numbers that happen to be whole are no classes to it
                TargetEncoder(target_type="continuous" if is_regression else "auto", cv=folds),
                [place for place in places if place not in few],
            ),
        ]
    )


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

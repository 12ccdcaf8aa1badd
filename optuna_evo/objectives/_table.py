"""Cross-validation as an objective: one step is one fold, so pruners compare trials on the same.

A fifth of the rows are the test, the same ones always, and no search sees them. The rest is cut
into folds, by classes where there are classes; each fold is for validation once. A class with
fewer rows than folds is in some of them only.

Shape legend: n rows, c classes.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import math
import time
from typing import Any
import warnings

import numpy as np
from numpy.typing import NDArray

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import TableWarning
from optuna_evo.estimators import build_estimator
from optuna_evo.estimators import Table
from optuna_evo.metrics import check_metric
from optuna_evo.metrics import classification_metrics
from optuna_evo.metrics import regression_metrics
from optuna_evo.objectives._repetition import seed_of


__all__ = ["EstimatorObjective", "EstimatorRun", "measure"]

_TEST_SHARE = 0.2
_TEST_SEED = 0  # one split for all studies of a table, so that their test scores compare
_Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class EstimatorObjective:
    """The mean of a metric over the folds of a table.

    Args:
        table: The rows.
        metric: Name of one of `optuna_evo.metrics`; None: "accuracy", or "mse" for regression.
        folds: Number of folds, at least 2. A class with fewer rows is in some folds only, and
            where every class has fewer rows there are fewer folds; a `TableWarning` says so.
        seed: Decides the folds, and what is random in an estimator.

    Raises:
        UsageError: If the metric does not fit the table (a ValueError).
        ValueError: If there are fewer than two folds, or no class has two rows.

    Example:
        >>> from optuna_evo.estimators import load_table
        >>> objective = EstimatorObjective(table=load_table("wine"), folds=5, seed=0)
        >>> config = EstimatorConfig(estimator="linear", params={"alpha": 1.0})
        >>> objective.start([config]).advance()  # of the first fold
    """

    table: Table
    metric: str | None = None
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_metric(self.metric_name, self.table.kind, self.table.name)
        counts = _rows_of_classes(self.table)
        if self.folds < 2 or counts.max() < 2:
            raise ValueError(
                f"`folds` (objective.reports) must be from 2 to {counts.max()}, the rows of "
                f"{self.table.name!r} for the search, or of its commonest class; got {self.folds}."
            )
        if self.n_reports < self.folds or counts.min() < self.folds:
            note = _fold_note(counts, self.folds, self.n_reports)
            warnings.warn(f"{self.table.name}: {note}", TableWarning, stacklevel=2)

    @property
    def n_reports(self) -> int:
        """Number of folds; fewer than asked for where even the commonest class has fewer rows."""
        return min(self.folds, int(_rows_of_classes(self.table).max()))

    @property
    def metric_name(self) -> str:
        """What is reported."""
        default = "mse" if self.table.kind == "regression" else "accuracy"
        return default if self.metric is None else self.metric

    @property
    def higher_is_better(self) -> bool:
        """The direction of what is reported."""
        return check_metric(self.metric_name, self.table.kind, self.table.name)

    @property
    def penalty(self) -> float:
        """Value of a trial whose predictions are not finite: worse than any sensible one."""
        if self.higher_is_better:
            return -1.0
        # to predict the mean costs the variance
        return 10 * float(self.table.targets.var()) + 10

    def fingerprint(self) -> str:
        """Return the same text for objectives that fit and report alike."""
        return f"{self.table.source}-{self.metric_name}-{self.folds}-{self.seed}"

    def start(self, configs: Sequence[EstimatorConfig], *, repetition: int = 0) -> "EstimatorRun":
        """Begin to fit the configurations; another `repetition` uses other folds and seeds."""
        return EstimatorRun(configs, self, seed_of(self.seed, repetition))

    def value(self, reported: Sequence[float]) -> float:
        """Return the mean over folds."""
        return sum(reported) / len(reported)

    def test(self, config: EstimatorConfig) -> dict[str, float]:
        """Fit to all rows but the test's and return the metrics on those."""
        return measure(self.table, config, *_test_split(self.table), self.seed)


class EstimatorRun:
    """A batch of configurations on its way through the folds."""

    def __init__(
        self, configs: Sequence[EstimatorConfig], objective: EstimatorObjective, seed: int
    ) -> None:
        self.step = 0
        self._objective = objective
        self._seed = seed
        self._members = [_Member(config, [], []) for config in configs]
        self._folds = _folds(objective.table, objective.n_reports, seed)

    def advance(self) -> list[float]:
        """Fit on one more fold and return the metric of each member on it."""
        o = self._objective
        train, valid = self._folds[self.step]
        self.step += 1
        for member in self._members:
            began = time.perf_counter()
            found = measure(o.table, member.config, train, valid, self._seed)
            member.seconds.append(time.perf_counter() - began)
            member.found.append(found)
        return [member.found[-1].get(o.metric_name, math.nan) for member in self._members]

    def drop(self, alive: Sequence[bool]) -> None:
        """Drop the members that are not `alive`."""
        self._members = [m for m, stays in zip(self._members, alive, strict=True) if stays]

    def records(self) -> list[Mapping[str, Any]]:
        """Return for each member the means of all metrics over its folds, and its seconds."""
        return [member.record() for member in self._members]


@dataclass(frozen=True)
class _Member:
    config: EstimatorConfig
    found: list[dict[str, float]]  # metrics of each fold
    seconds: list[float]

    def record(self) -> dict[str, Any]:
        names = set.intersection(*(set(found) for found in self.found))
        means = {name: sum(f[name] for f in self.found) / len(self.found) for name in names}
        return {
            **dict(sorted(means.items())),
            "seconds": round(sum(self.seconds), 3),
            "reports": len(self.found),
        }


def _test_split(table: Table) -> tuple[_Rows, _Rows]:
    from sklearn.model_selection import train_test_split

    with _without_words_on_classes():
        rest, test = train_test_split(
            np.arange(len(table.targets)),
            test_size=_TEST_SHARE,
            random_state=_TEST_SEED,
            stratify=_strata(table),
        )
    return rest, test


@contextlib.contextmanager
def _without_words_on_classes() -> Iterator[None]:
    """Silence what scikit-learn says of rare and of many classes in every fold."""
    with warnings.catch_warnings():
        for begin in ("The least populated class", "The number of unique classes"):
            warnings.filterwarnings("ignore", message=begin, category=UserWarning)
        yield


def _strata(table: Table) -> NDArray[np.int64] | None:
    """Return the classes, where a class of one row counts as one with the commonest."""
    if table.kind == "regression":
        return None
    counts = np.bincount(table.targets)
    strata = np.where(counts[table.targets] > 1, table.targets, counts.argmax())
    # each part needs a row of each
    n_test = math.ceil(_TEST_SHARE * len(strata))
    return strata if len(np.unique(strata)) <= n_test else None


def _rows_of_classes(table: Table) -> _Rows:
    """Return how many rows of each class the search sees; of numbers to regress on, of all."""
    rows, _ = _test_split(table)
    if table.kind == "regression":
        return np.array([len(rows)])
    n_classes = int(table.targets.max()) + 1
    return np.asarray(np.bincount(table.targets[rows], minlength=n_classes), dtype=np.int64)


def _fold_note(counts: _Rows, asked: int, n_folds: int) -> str:
    fewer = f"{n_folds} folds instead of {asked}, since no class has more rows for the search"
    if len(counts) == 1:
        return f"{n_folds} folds instead of {asked}, as many as there are rows for the search."
    if n_folds == counts.min():
        return f"{fewer}."
    rare = (
        f"{int((counts < n_folds).sum())} of {len(counts)} classes have fewer rows for the search "
        f"than there are folds ({n_folds}), the rarest {counts.min()}, so some folds lack them"
    )
    return f"{fewer}; {rare}." if n_folds < asked else f"{rare}; objective.reports sets them."


def _folds(table: Table, n_folds: int, seed: int) -> list[tuple[_Rows, _Rows]]:
    from sklearn.model_selection import KFold
    from sklearn.model_selection import StratifiedKFold

    rows, _ = _test_split(table)
    make = KFold if table.kind == "regression" else StratifiedKFold
    with _without_words_on_classes():
        parts = list(
            make(n_folds, shuffle=True, random_state=seed).split(rows, table.targets[rows])
        )
    return [(rows[train], rows[valid]) for train, valid in parts]


def measure(
    table: Table, config: EstimatorConfig, train: _Rows, valid: _Rows, seed: int
) -> dict[str, float]:
    """Fit to some rows and return the metrics on others; none if predictions are not finite."""
    from sklearn.exceptions import ConvergenceWarning

    if table.kind == "classification" and len(np.unique(table.targets[train])) == 1:
        # no classifier is fitted to one class: whatever it sees, it predicts that
        outputs = np.zeros((len(valid), 1))
        return classification_metrics(_of_all_classes(outputs, table, train), table.targets[valid])
    estimator = build_estimator(config, table.kind, seed=seed, n_texts=table.n_texts)
    with _without_words_on_classes():
        # an estimator that has not converged is what its hyperparameters made of it
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(table.features[train], table.targets[train])
        outputs = _outputs(estimator, table, train, valid)
        if not np.isfinite(outputs).all():
            return {}
        measure = regression_metrics if table.kind == "regression" else classification_metrics
        return measure(outputs, table.targets[valid])


def _outputs(estimator: Any, table: Table, train: _Rows, rows: _Rows) -> NDArray[np.float64]:
    """Return predictions (n,), or for each class something that grows with its probability."""
    x = table.features[rows]
    if table.kind == "regression":
        return np.asarray(estimator.predict(x))
    if hasattr(estimator, "predict_proba"):
        return _of_all_classes(np.asarray(estimator.predict_proba(x)), table, train)
    decision = np.asarray(estimator.decision_function(x))
    if decision.ndim == 1:  # of two classes: the distance on the side of class 1
        decision = np.stack([-decision, decision], axis=1)
    return _of_all_classes(decision, table, train)


def _of_all_classes(
    outputs: NDArray[np.float64], table: Table, train: _Rows
) -> NDArray[np.float64]:
    """Return outputs (n, c) where classes without training rows get less than any other."""
    known = np.unique(table.targets[train])
    n_classes = int(table.targets.max()) + 1
    if len(known) == n_classes:
        return outputs
    found = np.full((len(outputs), n_classes), outputs.min() - 1)
    found[:, known] = outputs
    return found

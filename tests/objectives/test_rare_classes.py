"""Tables with classes of a few rows: fewer than folds, one only, more than test rows."""

from collections.abc import Sequence
from pathlib import Path
import warnings

import numpy as np
import optuna
import pytest

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import SpecError
from optuna_evo.errors import TableWarning
from optuna_evo.estimators import Table
from optuna_evo.objectives import EstimatorObjective
from optuna_evo.spaces import estimator_space
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import train_best


NAMES = ("linear", "elastic_net", "random_forest", "gradient_boosting", "svm", "mlp")


def table(counts: Sequence[int]) -> Table:
    """Return a table with so many rows of each class, told apart by its features."""
    rng = np.random.default_rng(0)
    targets = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    features = rng.standard_normal((len(targets), 3))
    features[:, 0] += 3 * targets
    return Table("made", "classification", features, targets, "made up")


def values(made: Table, config: EstimatorConfig, folds: int = 5) -> list[float]:
    with pytest.warns(TableWarning):
        objective = EstimatorObjective(table=made, folds=folds)
    run = objective.start([config])
    return [run.advance()[0] for _ in range(folds)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [(100, 99, 1), (120, 77, 2, 1), (199, 1)])
def test_a_class_of_one_row_is_fitted_by_every_estimator(
    name: str, counts: tuple[int, ...]
) -> None:
    ask = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    found = values(table(counts), estimator_space(ask, estimators=name), folds=3)
    assert len(found) == 3 and all(value > 0.6 for value in found)


def test_folds_that_a_class_does_not_fill_are_said_once() -> None:
    with pytest.warns(TableWarning) as caught:
        EstimatorObjective(table=table((100, 97, 3)), folds=5)
    assert [str(w.message) for w in caught] == [
        "made: 1 of 3 classes have fewer rows for the search than there are folds (5), the rarest "
        "2, so some folds lack them; objective.reports sets them."
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EstimatorObjective(table=table((100, 97, 30)), folds=5)


def test_a_training_set_of_one_class_predicts_it() -> None:
    from optuna_evo.objectives._table import measure

    made = table((60, 40))
    ones, others = np.flatnonzero(made.targets == 1), np.flatnonzero(made.targets == 0)
    config = EstimatorConfig(estimator="svm", params={"C": 1.0})
    valid = np.concatenate([ones[20:], others[:20]])
    assert measure(made, config, ones[:20], valid, 0)["accuracy"] == 0.5
    assert measure(made, config, ones[:20], valid, 0)["auc"] == 0.5


def test_a_class_without_training_rows_keeps_the_numbers_of_the_others() -> None:
    from optuna_evo.objectives._table import measure

    made = table((80, 40, 80))
    there = np.flatnonzero(made.targets != 1)
    for name in ("linear", "svm"):
        params = {"alpha": 1.0} if name == "linear" else {"C": 1.0}
        config = EstimatorConfig(estimator=name, params=params)
        found = measure(made, config, there[:80], there[80:], 0)
        assert found["accuracy"] > 0.95 and found["auc"] > 0.95


def test_more_classes_than_test_rows_are_split_without_regard_to_them() -> None:
    from optuna_evo.objectives._table import _test_split

    rest, test = _test_split(table((3, 3, 3, 3, 3)))
    assert len(rest) == 12 and len(test) == 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((5, 5, 5), "made: 4 folds instead of 5, since no class has more rows for the search."),
        (
            (5, 5, 3),
            "made: 4 folds instead of 5, since no class has more rows for the search; 1 of 3 "
            "classes have fewer rows for the search than there are folds (4), the rarest 2, so "
            "some folds lack them.",
        ),
    ],
)
def test_there_are_fewer_folds_where_every_class_has_fewer_rows(
    counts: tuple[int, ...], said: str
) -> None:
    with pytest.warns(TableWarning) as caught:
        objective = EstimatorObjective(table=table(counts), folds=5)
    assert [str(w.message) for w in caught] == [said] and objective.n_reports == 4
    run = objective.start([EstimatorConfig(estimator="linear", params={"alpha": 1.0})])
    assert all(0 <= run.advance()[0] <= 1 for _ in range(4))


def test_there_are_no_more_folds_than_rows_to_regress_on() -> None:
    made = table((10, 10))
    numbers = Table("made", "regression", made.features, made.features[:, 1], "made up")
    with pytest.warns(TableWarning, match="16 folds instead of 20, as many as there are rows"):
        assert EstimatorObjective(table=numbers, folds=20).n_reports == 16


@pytest.mark.parametrize(("counts", "folds"), [((60, 60), 1), ((1,) * 12, 5)])
def test_less_than_two_folds_are_refused(counts: tuple[int, ...], folds: int) -> None:
    with pytest.raises(ValueError, match="must be from 2 to .* or of its commonest class; got"):
        EstimatorObjective(table=table(counts), folds=folds)


def test_a_study_with_a_class_of_one_row_runs_and_is_tested(tmp_path: Path) -> None:
    made = table((100, 99, 1))
    path = tmp_path / "rare.csv"
    rows = [
        ",".join([*(f"{v:.4f}" for v in x), f"class {y}"])
        for x, y in zip(made.features, made.targets, strict=True)
    ]
    path.write_text("\n".join(["a,b,c,y", *rows]))
    spec = StudySpec.from_dict(
        {
            "name": "rare",
            "tasks": [str(path)],
            "task": {"drop": ["c"]},
            "n_trials": 3,
            "space": {"name": "estimator", "estimators": ["linear", "random_forest"]},
            "sampler": {"name": "tpe"},
            "objective": {"name": "table", "reports": 5},
        }
    )
    with pytest.warns(TableWarning, match="rare.csv: 1 of 3 classes have fewer rows"):
        stored = create_study(spec, optuna.storages.InMemoryStorage())
        assert run_study(stored, device="cpu") == 3
        assert train_best(stored) > 0.8
    with pytest.raises(SpecError, match="`task.drop` must be a column of rare.csv: a, b, c, y"):
        create_study(
            StudySpec.from_dict({**spec.to_dict(), "name": "other", "task": {"drop": ["d"]}}),
            optuna.storages.InMemoryStorage(),
        )

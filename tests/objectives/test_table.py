"""Estimators valued by cross-validation, alone and as a study."""

import optuna
import pytest

from optuna_evo.config import EstimatorConfig
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.estimators import build_estimator
from optuna_evo.estimators import load_table
from optuna_evo.objectives import EstimatorObjective
from optuna_evo.reports import summarise
from optuna_evo.spaces import estimator_space
from optuna_evo.spec import StudySpec
from optuna_evo.study import best_genome
from optuna_evo.study import build_space
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import train_best


NAMES = ("linear", "elastic_net", "random_forest", "gradient_boosting", "svm", "mlp")
LINEAR = EstimatorConfig(estimator="linear", params={"alpha": 1.0})
WINE = load_table("wine")
DIABETES = load_table("diabetes")


def suggested(name: str, seed: int = 0) -> EstimatorConfig:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return estimator_space(study.ask(), estimators=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", [WINE, DIABETES], ids=lambda table: table.kind)
def test_every_estimator_fits_both_kinds_of_table(name: str, table) -> None:  # type: ignore[no-untyped-def]
    objective = EstimatorObjective(table=table, folds=2)
    (value,) = objective.start([suggested(name)]).advance()
    assert 0 < value < 1 if table is WINE else 1_000 < value < 40_000


def test_a_trial_is_the_mean_of_its_folds_and_keeps_all_metrics() -> None:
    objective = EstimatorObjective(table=WINE, metric="f1", folds=3)
    run = objective.start([LINEAR])
    values = [run.advance()[0] for _ in range(3)]
    (record,) = run.records()
    assert objective.value(values) == pytest.approx(record["f1"]) and record["f1"] > 0.9
    assert record["auc"] > 0.95 and record["reports"] == 3 and record["seconds"] > 0


def test_the_ridge_that_is_found_is_the_ridge_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import cross_val_score
    from sklearn.model_selection import KFold
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, _, y, _ = train_test_split(
        DIABETES.features, DIABETES.targets, test_size=0.2, random_state=0
    )
    theirs = -cross_val_score(
        make_pipeline(StandardScaler(), Ridge(alpha=1.0)),
        x,
        y,
        cv=KFold(4, shuffle=True, random_state=5),
        scoring="neg_mean_squared_error",
    )
    run = EstimatorObjective(table=DIABETES, folds=4, seed=5).start([LINEAR])
    assert [run.advance()[0] for _ in range(4)] == pytest.approx(theirs.tolist())


def test_members_are_dropped_and_the_others_go_on_alike() -> None:
    objective = EstimatorObjective(table=WINE, folds=3)
    both, alone = objective.start([suggested("svm"), LINEAR]), objective.start([LINEAR])
    both.advance(), alone.advance()
    both.drop([False, True])
    assert both.advance() == alone.advance()


def test_another_repetition_has_other_folds() -> None:
    objective = EstimatorObjective(table=DIABETES, folds=3)
    first, again, other = (objective.start([LINEAR], repetition=r).advance() for r in (0, 0, 1))
    assert first == again != other


def test_test_rows_are_never_in_a_fold() -> None:
    from optuna_evo.objectives._table import _folds
    from optuna_evo.objectives._table import _test_split

    _, test = _test_split(WINE)
    for train, valid in _folds(WINE, 4, 7):
        assert len({*train, *valid, *test}) == len(train) + len(valid) + len(test) == 178


def test_an_unknown_estimator_names_the_allowed_ones() -> None:
    with pytest.raises(UsageError, match="linear, elastic_net, random_forest.*got 'lasso'"):
        build_estimator(EstimatorConfig(estimator="lasso"), "regression", seed=0)
    with pytest.raises(ValueError, match="some of linear, .* got \\['lasso'\\]"):
        suggested("lasso")


def table_spec(**changes: object) -> StudySpec:
    data = {
        "name": "t",
        "tasks": ["diabetes"],
        "n_trials": 8,
        "direction": "minimize",
        "space": {"name": "estimator", "estimators": ["linear", "svm"]},
        "sampler": {"name": "tpe"},
        "objective": {"name": "table", "reports": 3},
    }
    return StudySpec.from_dict(data | changes)


def test_a_study_of_estimators_runs_and_is_tested_once() -> None:
    stored = create_study(table_spec(), optuna.storages.InMemoryStorage())
    assert run_study(stored, device="cpu") == 8
    trials = stored.study.get_trials()
    assert all(t.value == pytest.approx(t.user_attrs["mse"]) for t in trials)
    assert {t.params["estimator"] for t in trials} == {"linear", "svm"}
    assert stored.study.best_value < 4_000
    summary = summarise(stored.study, build_space(stored.spec))
    assert summary.training.startswith(summary.best.params["estimator"])
    assert summary.notes.startswith("mse ")
    assert train_best(stored) == train_best(stored) < 4_500
    with pytest.raises(UsageError, match="searches over estimators"):
        best_genome(stored)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "maximize"}, "metric 'mse' goes with direction = \"minimize\""),
        ({"objective": {"name": "table", "metric": "f1"}}, "may be: mse, mae, r2; got 'f1'"),
        ({"objective": {"name": "table", "reports": 1}}, "must be from 2 to 353, .* got 1"),
        ({"space": {"name": "bert"}}, "space 'bert' does not go with objective.name = \"table\""),
        (
            {"objective": {"name": "fitness"}, "direction": "maximize", "tasks": ["digits"]},
            "'estimator' does not go with .* \"fitness\"",
        ),
        ({"task": {"size": 1}}, "Unknown option 'size': a table takes: target, kind"),
        ({"tasks": ["boston"]}, "A table must be one of breast_cancer"),
        ({"trainer": {"epochs": 2}}, '`trainer.epochs` goes with objective.name = "accuracy"'),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        create_study(table_spec(**changes), optuna.storages.InMemoryStorage())

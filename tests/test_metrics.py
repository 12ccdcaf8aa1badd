"""Metrics of whole sets of rows on cases worked out by hand."""

import numpy as np
import pytest

from optuna_evo.metrics import check_metric
from optuna_evo.metrics import classification_metrics
from optuna_evo.metrics import regression_metrics


def test_a_classifier_is_measured_as_worked_out_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    values = classification_metrics(probabilities, np.array([0, 1, 0, 1]))
    assert values["accuracy"] == 0.5
    assert values["f1"] == pytest.approx(0.5)
    assert values["auc"] == pytest.approx(0.75)  # of 4 pairs one is in the wrong order
    assert values["matthews"] == 0.0


def test_the_area_is_a_mean_over_the_classes_that_have_one() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    assert classification_metrics(probabilities, np.array([0, 1, 0]))["auc"] == 1.0
    assert "auc" not in classification_metrics(probabilities, np.array([0, 0, 0]))


def test_a_regressor_is_measured_as_worked_out_by_hand() -> None:
    values = regression_metrics(np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert values == {"mse": 3.0, "mae": 1.0, "r2": pytest.approx(-3.5)}


def test_metrics_know_their_direction() -> None:
    assert check_metric("f1", "classification", "imdb")
    assert not check_metric("mse", "regression", "diabetes")


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [("classification", "accuracy, f1, auc, matthews"), ("language_model", "only the task's own")],
)
def test_a_metric_that_does_not_fit_names_those_that_do(kind: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"'imdb'.*may be: {allowed}.*got 'mse'"):
        check_metric("mse", kind, "imdb")


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_one_score_a_row_is_the_logit_of_class_1(shape: tuple[int, ...], dtype: str) -> None:
    logits = np.array([-2.0, -0.1, 0.1, 3.0]).reshape(shape)
    values = classification_metrics(logits, np.array([0, 1, 0, 1]).astype(dtype))
    assert (values["accuracy"], values["auc"], values["matthews"]) == (0.5, 0.75, 0.0)
    assert classification_metrics(-logits, np.array([0, 0, 1, 1]))["auc"] == 0.0


def test_indicators_of_classes_are_read_and_others_are_refused() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    assert classification_metrics(probabilities, np.eye(3))["matthews"] == 1.0
    with pytest.raises(ValueError, match="a 1 in the column of each row's class"):
        classification_metrics(probabilities, np.ones((3, 3)))


def test_values_in_columns_are_measured_alike_and_other_shapes_are_refused() -> None:
    values, column = np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [6.0]])
    assert regression_metrics(column, values) == regression_metrics(column[:, 0], values)
    pairs = np.stack([values, values], axis=1)
    assert regression_metrics(pairs + 1, pairs)["mse"] == 1.0
    with pytest.raises(ValueError, match=r"mse, mae, r2 take .* outputs of shape \(3, 2\)"):
        regression_metrics(pairs, values)

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

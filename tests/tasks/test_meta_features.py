"""Numbers that describe a task."""

import math

import numpy as np
import pytest
import torch

from optuna_evo import tasks
from optuna_evo.tasks import mean_features
from optuna_evo.tasks import meta_features
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits


def of(name: str) -> dict[str, float]:
    task = tasks.get(name)
    return meta_features(task, task.load(None))


def test_sizes_and_classes_are_those_of_the_data() -> None:
    found = of("digits")
    assert (found["n_rows"], found["n_features"], found["n_classes"]) == (1_077, 64, 10)
    assert found["n_parameters"] == 64 * 64 + 64 + 64 * 64 + 64 + 640 + 10
    assert found["class_entropy"] == pytest.approx(math.log2(10), abs=0.05)


def test_landmarks_tell_easy_tasks_from_hard_ones() -> None:
    digits, quadratic = of("digits"), of("quadratic")
    assert digits["landmark_chance"] < digits["landmark_stump"] < digits["landmark_neighbour"]
    assert quadratic["landmark_linear"] > 0.95 > quadratic["landmark_neighbour"]
    assert quadratic["landmark_chance"] == 0 and "n_classes" not in quadratic


def test_features_repeat_and_leave_random_streams_alone() -> None:
    before = torch.random.get_rng_state()
    assert of("two_moons") == of("two_moons")
    assert torch.equal(before, torch.random.get_rng_state())


def test_rows_of_tokens_have_a_length_and_a_vocabulary() -> None:
    task = tasks.get("two_moons")
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(5, 50, size=(200, 12)))
    classes = torch.arange(200) % 2
    tokens[classes == 1, 3] = 4  # the token that tells
    split = Split(tokens, classes)
    found = meta_features(task, Splits(split, split, "made up"))
    assert (found["sequence_length"], found["n_tokens"]) == (12, 46)
    assert found["landmark_stump"] == 1 and "n_features" not in found


def test_next_tokens_are_guessed_from_the_last() -> None:
    task = tasks.get("char_lm")
    tokens = torch.tensor([0, 1, 2, 1]).repeat(8, 4)
    split = Split(tokens[:, :-1], tokens[:, 1:])
    found = meta_features(task, Splits(split, split, "made up"))
    assert found["landmark_chance"] == pytest.approx(8 / 15, abs=1e-6)
    assert found["landmark_bigram"] == pytest.approx(12 / 15, abs=0.08)


def test_one_class_is_no_error() -> None:
    split = Split(torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
    found = meta_features(tasks.get("two_moons"), Splits(split, split, "made up"))
    assert (found["n_classes"], found["class_entropy"]) == (1, 0)
    assert "landmark_linear" not in found


def test_features_of_several_tasks_are_averaged_counts_geometrically() -> None:
    mean = mean_features([{"n_rows": 10, "landmark_stump": 0.2}, {"n_rows": 1000, "n_classes": 4}])
    assert mean == {"n_rows": 100, "landmark_stump": 0.2, "n_classes": 4}

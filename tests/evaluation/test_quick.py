"""The numbers of the last table, against scipy and by hand, and how its rows come about."""

from collections.abc import Sequence
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import tasks
from optuna_evo.config import TrainingConfig
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import JudgeRow
from optuna_evo.evaluation import quick_judge
from optuna_evo.evaluation import tune_baseline
from optuna_evo.objectives import FitnessObjective
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.trainers import start


STEPS = 8
DIVERGING = Genome(terms=[("GRAD", 1.0)], lr=1e30)


def row(accuracies: dict[str, Sequence[float]], name: str = "evolved") -> JudgeRow:
    cells = {task: tuple(values) for task, values in accuracies.items()}
    return JudgeRow(name, "default", catalog["adam"], cells)


def objective(*names: str, **options: Any) -> FitnessObjective:
    built = [tasks.get(name) for name in names or ("two_moons",)]
    return FitnessObjective(tasks=built, seeds=(0,), steps=STEPS, **options)


@pytest.mark.parametrize("values", [[0.5, 0.7], [0.91, 0.93, 0.9, 0.97], list(range(30))])
def test_an_interval_is_the_95_percent_t_interval_of_scipy(values: list[float]) -> None:
    interval = Interval.of(values)
    low, high = stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    assert interval.mean - interval.half_width == pytest.approx(low)
    assert interval.mean + interval.half_width == pytest.approx(high)


def test_an_interval_by_hand() -> None:
    interval = Interval.of([1, 2, 3, 4, 5])  # s = sqrt(2.5), t(4 degrees of freedom) = 2.776445
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)


def test_one_value_has_a_mean_and_no_interval() -> None:
    interval = Interval.of([0.25])
    assert interval.mean == 0.25 and math.isnan(interval.half_width)


def test_a_row_is_averaged_over_tasks_before_the_interval_over_seeds() -> None:
    found = row({"a": (0.2, 0.4, 0.6), "b": (0.6, 0.4, 0.2)})
    assert found.by_seed == pytest.approx([0.4, 0.4, 0.4])
    assert found.overall.mean == pytest.approx(0.4)
    assert found.overall.half_width == pytest.approx(0)


def test_a_difference_is_paired_by_seed() -> None:
    better = row({"a": (0.11, 0.51, 0.92)})
    worse = row({"a": (0.10, 0.50, 0.90)})
    difference = better.minus(worse)  # 0.01, 0.01, 0.02: t(2 degrees of freedom) = 4.302653
    assert difference.mean == pytest.approx(0.04 / 3)
    assert difference.half_width == pytest.approx(4.302653 * 0.01 / 3, rel=1e-6)
    assert worse.minus(better).mean == pytest.approx(-0.04 / 3)


def test_rows_with_other_seeds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        row({"a": (0.1, 0.2)}).minus(row({"a": (0.1,)}))


def test_a_row_survives_json() -> None:
    found = row({"a": (0.1, 0.2), "b": (0.3, 0.4)})
    assert JudgeRow.from_dict(found.to_dict()) == found


def test_the_table_has_the_genome_first_and_each_baseline_default_and_tuned() -> None:
    counts: list[tuple[int, int]] = []
    rows = quick_judge(
        catalog["sgd"],
        objective(),
        seeds=2,
        tuning_trials=2,
        on_run=lambda done, total: counts.append((done, total)),
    )
    baselines = [name for name in ("SGD with momentum", "RMSprop", "Adam", "AdamW") for _ in "ab"]
    assert [found.name for found in rows] == ["evolved", *baselines]
    settings = [found.setting.split(" over")[0] for found in rows]
    assert settings == ["evolved"] + 4 * ["default", "tuned"]
    assert (rows[0].optimizer, rows[1].optimizer) == (catalog["sgd"], catalog["momentum"])
    assert all(len(found.by_seed) == 2 for found in rows)
    done, totals = zip(*counts, strict=True)
    assert list(done) == sorted(done) and done[-1] == 9 * 2 + 4 * 2 and {*totals} == {done[-1]}


def test_a_row_is_test_accuracy_with_fresh_seeds_after_all_steps() -> None:
    rows = quick_judge(catalog["adam"], objective(), seeds=2, tuning_trials=1)
    task = tasks.get("two_moons")
    for i, accuracy in enumerate(rows[0].accuracies["two_moons"]):
        config = TrainingConfig(genome=catalog["adam"])
        cohort = start([config], task, seed=1_000_000 + i, total_steps=STEPS)
        cohort.train(STEPS)
        assert accuracy == cohort.evaluate(task.load_test(None))[0]


def test_a_diverged_row_has_accuracy_zero() -> None:
    rows = quick_judge(DIVERGING, objective("quadratic"), seeds=2, tuning_trials=1)
    assert rows[0].accuracies == {"quadratic": (0.0, 0.0)}


def test_tuning_begins_at_the_usual_defaults_and_keeps_what_is_not_tuned() -> None:
    tuned = tune_baseline(catalog["adamw"], objective(), lr_range=(1e-4, 1e-1), n_trials=1)
    assert (tuned.lr, tuned.use_warmup, tuned.use_cosine_decay) == (1e-3, False, False)
    assert (tuned.weight_decay, tuned.terms) == (1e-2, catalog["adamw"].terms)


def test_tuning_finds_a_better_learning_rate_and_stays_in_the_range() -> None:
    slow = objective()
    tuned = tune_baseline(catalog["adam"], slow, lr_range=(1e-4, 1e-1), n_trials=12)
    assert 1e-3 < tuned.lr <= 1e-1

    def accuracy(genome: Genome) -> float:
        run = slow.start([TrainingConfig(genome=genome)])
        run.advance()
        return float(run.records()[0]["accuracies"]["two_moons"][0])

    assert accuracy(tuned) > accuracy(catalog["adam"])


def test_learning_rates_are_tuned_on_a_logarithmic_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    whole = FitnessObjective.start

    def start_and_note(self: FitnessObjective, configs: Sequence[TrainingConfig]) -> Any:
        tried.extend(config.genome.lr for config in configs)
        return whole(self, configs)

    monkeypatch.setattr(FitnessObjective, "start", start_and_note)
    tune_baseline(catalog["sgd"], objective(), lr_range=(1e-6, 1.0), n_trials=8)
    assert len(tried) == 8
    assert sum(lr < 1e-2 for lr in tried) >= 3  # drawn evenly from the range itself, hardly one is


def test_test_and_training_rows_come_from_the_data_folder_of_the_search(tmp_path: Path) -> None:
    folders: list[Path | None] = []
    moons = tasks.get("two_moons")

    def load(folder: Path | None) -> Splits:
        folders.append(folder)
        return moons.load(None)

    def load_test(folder: Path | None) -> Split:
        folders.append(folder)
        return moons.load_test(None)

    own = dataclasses.replace(moons, name="own", load=load, load_test=load_test)
    there = FitnessObjective(tasks=[own], seeds=(0,), steps=2, data_dir=tmp_path)
    quick_judge(catalog["sgd"], there, seeds=1, tuning_trials=1)
    assert len(folders) >= 2 and {*folders} == {tmp_path}


def test_tuning_repeats_with_its_seed() -> None:
    found = [
        tune_baseline(catalog["adam"], objective(), lr_range=(1e-4, 1e-1), n_trials=10, seed=seed)
        for seed in (3, 3)
    ]
    assert found[0] == found[1]

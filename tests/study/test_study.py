from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_evo import tasks
from optuna_evo.attributes import FINGERPRINT
from optuna_evo.attributes import META_FEATURES
from optuna_evo.attributes import WORKER
from optuna_evo.errors import SpecError
from optuna_evo.errors import StorageError
from optuna_evo.errors import StudyMismatchError
from optuna_evo.errors import UsageError
from optuna_evo.objectives import pick_device
from optuna_evo.reports import summarise
from optuna_evo.search import open_storage
from optuna_evo.spec import StudySpec
from optuna_evo.study import best_genome
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import create_study
from optuna_evo.study import delete_study
from optuna_evo.study import judge_study
from optuna_evo.study import load_study
from optuna_evo.study import run_study
from optuna_evo.study import stored_judgement


def small_spec(**changes: Any) -> StudySpec:
    data = {
        "name": "small",
        "tasks": ["two_moons"],
        "n_trials": 6,
        "sampler": {"name": "ga", "population_size": 3, "n_generations": 2},
        "trainer": {"steps": 4},
        "judge": {"seeds": 2, "tuning_trials": 2},
    }
    if "objective" in changes:  # which is not compared with other optimizers
        data["judge"] = {}
    return StudySpec.from_dict(data | changes)


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.BaseStorage:
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def finished(study: optuna.Study) -> list[tuple[dict[str, Any], float | None]]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [(t.params, t.value) for t in trials]


def test_a_study_runs_to_its_end_and_values_its_cells(storage: Any) -> None:
    stored = create_study(small_spec(), storage)
    assert run_study(stored, device="cpu") == 6
    trial = stored.study.best_trial
    assert set(trial.user_attrs) >= {
        "accuracies",
        "accuracy_two_moons",
        FINGERPRINT.key,
        WORKER.key,
    }
    assert len(trial.user_attrs["accuracies"]["two_moons"]) == 2
    assert set(trial.intermediate_values) == {1, 2}
    assert best_genome(stored).horizon == 4


def test_a_run_writes_what_is_known_about_the_task_on_the_study(storage: Any) -> None:
    stored = create_study(small_spec(tasks=["two_moons", "digits"]), storage)
    assert not META_FEATURES.is_in(stored.study.user_attrs)  # creation loads no data
    run_study(stored, n_more=1, device="cpu")
    found = META_FEATURES.read(load_study("small", storage).study.user_attrs)
    assert found["n_rows"] == pytest.approx((512 * 1077) ** 0.5)
    assert 0.5 < found["landmark_linear"] < 1


def test_the_stored_spec_is_all_a_worker_needs(storage: Any) -> None:
    create_study(small_spec(), storage)
    stored = load_study("small", storage)
    assert stored.spec == small_spec()
    assert stored.study.sampler.population_size == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("stops", [[1], [2, 1, 1], [4]])
def test_a_stopped_study_goes_on_to_the_same_trials(tmp_path: Path, stops: list[int]) -> None:
    whole = create_study(small_spec(), open_storage(f"sqlite:///{tmp_path / 'whole.db'}"))
    run_study(whole, device="cpu")
    url = f"sqlite:///{tmp_path / 'parts.db'}"
    create_study(small_spec(), open_storage(url))
    for n in [*stops, None]:
        run_study(load_study("small", open_storage(url)), n_more=n, device="cpu")
    parts = load_study("small", open_storage(url))
    assert finished(parts.study) == finished(whole.study)


def test_batches_give_the_trials_that_single_ones_give(storage: Any) -> None:
    single = create_study(small_spec(), storage)
    run_study(single, device="cpu")
    other = open_storage("sqlite:///:memory:")
    batched = create_study(small_spec(batch_size=3), other)
    run_study(batched, device="cpu")
    assert finished(batched.study) == finished(single.study)


def test_a_study_without_seed_repeats_never_asks_the_same_after_a_stop(storage: Any) -> None:
    spec = small_spec(sampler={"name": "random"}, n_trials=4)
    create_study(spec, storage)
    for _ in range(4):
        run_study(load_study("small", storage), n_more=1, device="cpu")
    lrs = {params["lr"] for params, _ in finished(load_study("small", storage).study)}
    assert len(lrs) == 4


def test_a_spec_that_differs_from_the_stored_one_is_refused_with_the_difference(
    storage: Any,
) -> None:
    create_study(small_spec(), storage)
    with pytest.raises(StudyMismatchError, match="trainer.steps was 4, now 5"):
        create_study(small_spec(trainer={"steps": 5}), storage, exist_ok=True)
    assert create_study(small_spec(), storage, exist_ok=True).spec == small_spec()
    with pytest.raises(UsageError, match="There is a study 'small' already"):
        create_study(small_spec(), storage)


def test_a_creation_that_was_cut_short_is_finished_by_the_next(storage: Any) -> None:
    optuna.create_study(study_name="small", storage=storage, direction="maximize")
    assert run_study(create_study(small_spec(), storage, exist_ok=True), device="cpu") == 6


def test_foreign_unknown_and_newer_studies_are_named(storage: Any) -> None:
    foreign = optuna.create_study(study_name="foreign", storage=storage)
    foreign.set_user_attr("mine", 1)
    with pytest.raises(UsageError, match="was not made by optuna_evo"):
        load_study("foreign", storage)
    with pytest.raises(UsageError, match="There is no study 'x' .*there are: foreign"):
        load_study("x", storage)
    stored = create_study(small_spec(), storage)
    stored.study.set_user_attr("optuna_evo:schema", 99)
    with pytest.raises(StorageError, match="made by a newer optuna_evo"):
        load_study("small", storage)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ["imagenet"]}, "got 'imagenet'"),
        ({"sampler": {"name": "genetic"}}, "Unknown sampler 'genetic'; there are: ga"),
        ({"sampler": {"name": "ga", "size": 3}}, r"Unknown key 'size' in \[sampler\]"),
        ({"sampler": {"name": "ga", "population_size": 0}}, "sampler 'ga' cannot be built"),
        ({"pruner": {"name": "harsh"}}, "Unknown pruner 'harsh'"),
        ({"space": {"name": "genome", "max_terms": 0}}, "`max_terms` must be at least 1"),
        ({"space": {"name": "genome", "colour": 1}}, r"Unknown key 'colour' in \[space\]"),
        ({"task": {"size": "tiny"}}, "Unknown option 'size': the task 'two_moons' takes no opt"),
        (
            {"objective": {"name": "accuracy", "metric": "mse"}},
            "may be: accuracy, f1, .*got 'mse'",
        ),
        (
            {"objective": {"name": "accuracy", "metric": "f1"}, "direction": "minimize"},
            "metric 'f1' goes with direction = \"maximize\"",
        ),
        (
            {"tasks": ["quadratic"], "objective": {"name": "accuracy", "metric": "mse"}},
            "metric 'mse' goes with direction = \"minimize\"",
        ),
        (
            {
                "tasks": ["quadratic"],
                "objective": {"name": "accuracy", "metric": "mse"},
                "direction": "minimize",
            },
            "divergence_penalty`.* is -1.0; where the metric 'mse' is minimised",
        ),
        ({"space": {"name": "nowhere:space"}}, "Cannot import module 'nowhere'"),
    ],
)
def test_a_spec_with_wrong_parts_leaves_no_trace(
    storage: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises((SpecError, UsageError), match=message):
        create_study(small_spec(**change), storage)
    assert optuna.get_all_study_names(storage) == []


def test_a_metric_is_minimised_and_every_trial_has_all_metrics(storage: Any) -> None:
    spec = small_spec(
        tasks=["quadratic"],
        sampler={"name": "random"},
        space={"name": "training", "dropout": None},
        direction="minimize",
        trainer={"steps": 8, "early_stopping": {"patience": 1}},
        objective={"name": "accuracy", "metric": "mse", "divergence_penalty": 100.0, "reports": 4},
    )
    study = create_study(spec, storage).study
    run_study(load_study("small", storage), device="cpu")
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    for trial in study.get_trials():
        reported = trial.intermediate_values.values()
        assert trial.value == min(reported) == trial.user_attrs["mse"]
        assert trial.user_attrs["reports"] == len(reported) <= 4


def test_own_parts_are_named_by_module_and_attribute(storage: Any) -> None:
    spec = small_spec(
        tasks=["optuna_evo.tasks._synthetic:two_moons"],
        sampler={"name": "optuna.samplers:RandomSampler"},
        space={"name": "optuna_evo.spaces:genome_space", "max_terms": 1},
    )
    run_study(create_study(spec, storage), device="cpu")
    assert (
        len(finished(load_study("small", storage, allow_import=["optuna", "optuna_evo"]).study))
        == 6
    )


def test_search_never_loads_the_test_split(storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def forbidden(_: Path | None) -> Any:
        raise AssertionError("a search looked at test data")

    guarded = replace(tasks.get("two_moons"), load_test=forbidden)
    monkeypatch.setattr(tasks, "get", lambda name: guarded)
    stored = create_study(small_spec(), storage)
    assert run_study(stored, device="cpu") == 6
    with pytest.raises(AssertionError, match="looked at test data"):
        judge_study(stored, device="cpu")


def test_the_judgement_has_every_row_and_is_kept_until_a_better_genome_is_found(
    storage: Any,
) -> None:
    stored = create_study(small_spec(), storage)
    run_study(stored, device="cpu", n_more=4)
    counts: list[tuple[int, int]] = []
    rows = judge_study(stored, device="cpu", on_run=lambda done, n: counts.append((done, n)))
    assert [row.name for row in rows][:3] == ["evolved", "SGD with momentum", "SGD with momentum"]
    assert [row.setting.split(":")[0] for row in rows[1:3]] == ["default", "tuned over 2 trials"]
    assert len(rows) == 9 and all(len(row.by_seed) == 2 for row in rows)
    assert counts[-1][0] == counts[-1][1]
    assert stored_judgement(stored) == rows
    stored.study.add_trial(
        optuna.create_trial(
            value=9.0,
            params=stored.study.trials[0].params,
            distributions=stored.study.trials[0].distributions,
        )
    )
    assert (stored_judgement(stored) is None) == (
        rows[0].optimizer.fingerprint() != best_genome(stored).fingerprint()
    )


def test_a_summary_counts_and_ranks(storage: Any) -> None:
    stored = create_study(small_spec(), storage)
    space = build_space(stored.spec)
    assert summarise(stored.study, space).best is None
    run_study(stored, device="cpu")
    summary = summarise(stored.study, space)
    assert summary.counts["complete"] == 6
    assert [g.n_trials for g in summary.generations] == [3, 3]
    assert summary.best == stored.study.best_trial
    assert max(g.best for g in summary.generations) == stored.study.best_value
    assert summary.equation == best_genome(stored).equation()


def test_no_complete_trial_is_said_in_words(storage: Any) -> None:
    with pytest.raises(UsageError, match="has no complete trial yet"):
        best_genome(create_study(small_spec(), storage))


def test_a_deleted_study_is_gone(storage: Any) -> None:
    create_study(small_spec(), storage)
    delete_study("small", storage)
    assert optuna.get_all_study_names(storage) == []
    with pytest.raises(UsageError, match="There is no study 'small'"):
        delete_study("small", storage)


def test_an_unknown_device_is_named() -> None:
    assert pick_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="Device 'tpu9' cannot be used here"):
        pick_device("tpu9")


def test_the_objective_takes_its_numbers_from_the_spec() -> None:
    spec = small_spec(seed=7, objective={"seeds": 3, "divergence_penalty": -2.0})
    objective = build_objective(spec, device="cpu")
    assert list(objective.seeds) == [7, 8, 9]
    assert (objective.n_reports, objective.penalty, objective.steps) == (3, -2.0, 4)

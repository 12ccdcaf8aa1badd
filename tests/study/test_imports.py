"""Runs that were never Optuna's become a study: ranges, states, times, and nothing by halves."""

from collections.abc import Callable
import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
import pandas as pd
import pytest

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import IMPORTED
from optuna_evo.attributes import SPEC
from optuna_evo.errors import UsageError
from optuna_evo.search import open_storage
from optuna_evo.search import study_names
from optuna_evo.spec import StudySpec
from optuna_evo.study import import_runs
from optuna_evo.study import ImportedRuns
from optuna_evo.study import load_study
from optuna_evo.study import read_runs
from optuna_evo.study import read_space
from optuna_evo.study import store_runs
from optuna_evo.warm_start import load_sources
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import SourceReader


def read(rows: Any, value: str = "loss", **options: Any) -> ImportedRuns:
    return read_runs(rows, value=value, direction="minimize", **options)


def column(values: list[Any]) -> list[dict[str, Any]]:
    return [{"x": x, "loss": float(i)} for i, x in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-4, 1e-3, 1e-2], FloatDistribution(1e-4, 1e-2, log=True)),
        ([16, 32, 64, 128], IntDistribution(16, 128, log=True)),
        (["16", "32.0", "64", "256"], IntDistribution(16, 256, log=True)),
        (list(range(1, 101)), IntDistribution(1, 100)),
        ([0.01, 0.13, 0.22, 0.31, 0.4, 0.5], FloatDistribution(0.01, 0.5)),
        ([0.0, 1e-4, 1e-2], FloatDistribution(0.0, 1e-2)),  # a logarithm has no zero
        ([-1, 1], IntDistribution(-1, 1)),
        ([1e-5, 1e-1], FloatDistribution(1e-5, 1e-1, log=True)),
        ([0.8, 0.9], FloatDistribution(0.8, 0.9)),
        (["b", "a", "b"], CategoricalDistribution(["a", "b"])),
        (["True", "false", True], CategoricalDistribution([False, True])),
        ([1, "auto", 2.5], CategoricalDistribution(["1", "2.5", "auto"])),
        ([[1, 2], [3], [1, 2]], CategoricalDistribution(["[1, 2]", "[3]"])),
    ],
)
def test_a_range_is_inferred_from_the_values(values: list[Any], expected: Any) -> None:
    runs = read(column(values))
    assert runs.parameters == {"x": expected}
    assert all(expected._contains(expected.to_internal_repr(t.params["x"])) for t in runs.trials)


def test_the_scale_of_uniform_draws_is_found_out() -> None:
    rng = np.random.default_rng(0)
    right = 0
    for _ in range(100):
        low = 10 ** rng.uniform(-6, -2)
        span = 10 ** rng.uniform(1.5, 4)
        draws = low * span ** rng.random(30)
        linear = low + low * (span - 1) * rng.random(30)
        for values, log in ((draws, True), (linear, False)):
            found = read(column(values.tolist())).parameters["x"]
            right += isinstance(found, FloatDistribution) and found.log == log
    assert right >= 195


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([3, 3, 3], "it is 3 in all runs"),
        (["adam"] * 3, "it is 'adam' in all runs"),
        ([f"run number {i}" for i in range(30)], "30 different texts"),
        ([2**60, 2**61, 5], "is no number that is measured"),
    ],
)
def test_what_is_no_parameter_is_left_out_and_said(values: list[Any], said: str) -> None:
    rows = [row | {"lr": 0.1 * i} for i, row in enumerate(column(values))]
    runs = read(rows)
    assert list(runs.parameters) == ["lr"]
    assert any("Left out: x" in note and said in note for note in runs.notes)
    assert runs.trials[0].user_attrs["x"] == values[0]


def test_missing_cells_are_parameters_that_a_run_did_not_have() -> None:
    rows = [{"lr": 0.1 * i, "loss": i, **({"m": i / 10} if i % 2 else {})} for i in range(6)]
    runs = read([*rows, {"lr": 0.3, "loss": 1, "m": "None"}])
    assert [("m" in t.params) for t in runs.trials] == [False, True] * 3 + [False]
    assert "m: 0.1 to 0.5, in 3 of 7 runs" in runs.notes


def test_failed_runs_are_failed_trials_with_their_reason() -> None:
    rows = [
        {"lr": 0.1, "loss": 1.0, "state": "finished"},
        {"lr": 0.2, "loss": 2.0, "state": "crashed"},
        {"lr": 0.3, "state": "finished"},
        {"lr": 0.4, "loss": math.nan, "state": "finished"},
        {"lr": 0.5, "loss": "oops", "state": "finished"},
        {"lr": 0.6, "loss": math.inf, "state": "finished"},
        {"lr": 0.7, "loss": 3.0, "state": "running"},
        {"lr": 0.8, "loss": 4.0, "state": "TrialState.PRUNED"},
    ]
    trials = read(rows).trials
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL", "COMPLETE", "PRUNED"]
    reasons = [ERROR.read(trial.user_attrs) for trial in trials[1:5]]
    assert reasons == [
        "Its state is 'crashed'",
        "It has no loss",
        "Its loss is NaN",
        "Its loss is 'oops', which is no number",
    ]
    assert trials[1].params == {"lr": 0.2} and trials[1].user_attrs["loss"] == 2.0
    assert trials[5].value == math.inf and trials[6].value == 4.0


def test_double_rows_stay_and_the_rest_of_a_row_is_kept() -> None:
    rows = [{"lr": lr, "loss": 1.0, "note": "a", "host": "h"} for lr in (0.1, 0.1, 0.2)]
    trials = read(rows).trials
    assert [t.params["lr"] for t in trials] == [0.1, 0.1, 0.2]
    assert trials[0].user_attrs == {"note": "a", "host": "h"}


def test_columns_that_are_called_like_ours_mean_nothing() -> None:
    ours = {"diverged": False, "accuracies": "x", "accuracy": "high", "optuna_evo:spec": "{"}
    rows = [{"lr": 0.1 * i, "loss": i, "weights": i, "f1": 0.5, **ours} for i in range(3)]
    attrs = read(rows, params=["lr"]).trials[0].user_attrs
    kept = {"f1": 0.5, "run.weights": 0} | {f"run.{key}": value for key, value in ours.items()}
    assert attrs == kept


def local(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


def wandb_page(folder: Path) -> Path:
    rows = [
        {
            "Name": f"run-{i}",
            "State": "finished",
            "Created": f"2026-03-0{9 - i}T12:00:00.000Z",
            "Runtime": 60 * (i + 1),
            "lr": 10.0**-i,
            "optimizer.name": "ab"[i % 2],
            "train_loss": 0.1 * i,
            "loss": 1.0 + i,
        }
        for i in range(4)
    ]
    pd.DataFrame(rows).to_csv(folder / "page.csv", index=False)
    return folder / "page.csv"


def wandb_frame(folder: Path) -> Path:
    """What the script in W&B's guide to its public API writes."""
    config = [{"lr": 10.0**-i, "optimizer": {"name": "ab"[i % 2]}, "d": None} for i in range(4)]
    summary = [
        {"loss": 4.0 - i, "best": math.nan, "_runtime": 60.0, "_timestamp": 1772366400.0 + i}
        for i in range(4)
    ]
    frame = pd.DataFrame({"summary": summary, "config": config, "name": list("abcd")})
    frame.to_csv(folder / "frame.csv")
    return folder / "frame.csv"


def wandb_json(folder: Path) -> Path:
    rows = [
        {
            "name": f"r{i}",
            "state": "finished",
            "createdAt": f"2026-03-01T12:0{i}:00",
            "config": json.dumps({"lr": {"value": 10.0**-i, "desc": None}, "_wandb": {}}),
            "summaryMetrics": json.dumps({"loss": i, "_runtime": 60}),
        }
        for i in range(4)
    ]
    (folder / "runs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "runs.jsonl"


def mlflow_frame(folder: Path) -> Path:
    start = pd.Timestamp("2026-03-01 12:00", tz="UTC")
    rows = [
        {
            "run_id": f"{i:032x}",
            "status": "FINISHED",
            "start_time": start + pd.Timedelta(minutes=i),
            "end_time": start + pd.Timedelta(minutes=i + 1),
            "metrics.loss": float(i),
            "metrics.other": 2.0 * i,
            "params.lr": str(10.0**-i),
            "tags.mlflow.user": "me",
        }
        for i in range(4)
    ]
    pd.DataFrame(rows).to_csv(folder / "mlflow.csv", index=False)
    return folder / "mlflow.csv"


def mlflow_answer(folder: Path) -> Path:
    def pairs(**values: Any) -> list[dict[str, Any]]:
        return [{"key": key, "value": value} for key, value in values.items()]

    start = 1772366400000
    runs = [
        {
            "info": {"status": "FINISHED", "start_time": start, "end_time": start + 60_000},
            "data": {
                "params": pairs(lr=str(10.0**-i)),
                "metrics": pairs(loss=float(i)),
                "tags": pairs(user="me"),
            },
        }
        for i in range(4)
    ]
    (folder / "answer.json").write_text(json.dumps({"runs": runs, "next_page_token": "x"}))
    return folder / "answer.json"


def ray_frame(folder: Path) -> Path:
    rows = [
        {"loss": i, "time_total_s": 60.0, "date": "2026-03-01_12-00-00", "config/lr": 10.0**-i}
        for i in range(4)
    ]
    pd.DataFrame(rows).to_csv(folder / "ray.tsv", index=False, sep="\t")
    return folder / "ray.tsv"


def optuna_frame(folder: Path) -> Path:
    study = optuna.create_study()
    for i in range(4):
        trial = optuna.trial.create_trial(
            value=float(i),
            params={"lr": 10.0**-i},
            distributions={"lr": FloatDistribution(1e-5, 1, log=True)},
            user_attrs={"host": "h"},
        )
        trial.datetime_start = datetime.datetime(2026, 3, 1, 12, i)
        trial.datetime_complete = datetime.datetime(2026, 3, 1, 12, i + 1)
        study.add_trial(trial)
    study.trials_dataframe().to_csv(folder / "optuna.csv")
    return folder / "optuna.csv"


@pytest.mark.parametrize(
    ("write", "value", "n_seconds"),
    [
        (wandb_page, "loss", [240, 180, 120, 60]),
        (wandb_frame, "loss", [60] * 4),
        (wandb_json, "loss", [60] * 4),
        (mlflow_frame, "loss", [60] * 4),
        (mlflow_answer, "loss", [60] * 4),
        (ray_frame, "loss", [60] * 4),
        (optuna_frame, "value", [60] * 4),
    ],
)
def test_the_layouts_of_exports_are_known(
    write: Callable[[Path], Path], value: str, n_seconds: list[float], tmp_path: Path
) -> None:
    runs = read(write(tmp_path), value)
    names = set(runs.parameters)
    assert names in ({"lr"}, {"lr", "optimizer.name"})
    assert runs.parameters["lr"] == FloatDistribution(1e-3, 1.0, log=True)
    assert {trial.state for trial in runs.trials} == {TrialState.COMPLETE}
    assert [t.duration.total_seconds() for t in runs.trials if t.duration] == n_seconds


def test_runs_stand_in_the_order_of_their_start(tmp_path: Path) -> None:
    trials = read(wandb_page(tmp_path)).trials  # the page shows the newest first
    assert [trial.value for trial in trials] == [4.0, 3.0, 2.0, 1.0]
    assert trials[0].datetime_start == local("2026-03-06T12:00:00+00:00")


def test_in_a_plain_table_names_tell_results_from_settings() -> None:
    rows = [
        {
            "lr": 0.1 * i,
            "val_fraction": 0.1 * i,
            "val_acc": i / 9,
            "loss_fn": "ab"[i % 2],
            "loss": i,
        }
        | {"epochs": i, "epoch": i, "train time": 1.5 * i, "seed": i, "acc2": i / 7}
        for i in range(4)
    ]
    runs = read(rows)
    assert list(runs.parameters) == ["lr", "val_fraction", "loss_fn", "epochs"]
    assert runs.notes[-1].endswith(": val_acc, train time, acc2, seed")
    assert list(read(rows, params=["val_acc", "seed"]).parameters) == ["val_acc", "seed"]


def test_a_space_gives_the_ranges_which_become_as_wide_as_the_runs_need(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(
        "[parameters]\nlr = { low = 1e-5, high = 0.1, log = true }\n"
        'optimizer = ["adam", "sgd"]\nlayers = { low = 1, high = 8 }\namp = [true, false]\n'
        "dropout = { low = 0.0, high = 0.5, step = 0.1 }\nunknown = { low = 0, high = 1 }\n"
    )
    rows = [
        {
            "params.lr": "0.01",
            "params.optimizer": "adam",
            "params.layers": "3",
            "params.amp": "True",
        }
        | {"params.dropout": 0.3, "metrics.loss": 1.0},
        {"params.lr": "1.0", "params.optimizer": "lion", "params.layers": "2.5"}
        | {"params.amp": "False", "params.dropout": 0.25, "metrics.loss": 2.0},
    ]
    runs = read(rows, space=read_space(tmp_path / "space.toml"))
    assert runs.parameters == {
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "optimizer": CategoricalDistribution(["adam", "sgd", "lion"]),
        "layers": IntDistribution(1, 8),
        "amp": CategoricalDistribution([True, False]),
        "dropout": FloatDistribution(0.0, 0.5),
    }
    assert runs.trials[0].params["amp"] is True and "layers" not in runs.trials[1].params
    text = "\n".join(runs.notes)
    for said in ("1 values lie outside [1e-05, 0.1]", "no 'lion'", "1 values mean nothing"):
        assert said in text


def test_the_space_of_a_spec_is_one(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('tasks = ["digits"]\nobjective.name = "accuracy"\n')
    spec = read_space(tmp_path / "s.toml")
    assert spec and all(isinstance(name, str) for name in spec)


ROWS = [{"lr": 10.0**-i, "loss": float(i)} for i in range(1, 5)]


def test_an_imported_study_is_a_finished_one_that_others_start_from() -> None:
    storage = InMemoryStorage()
    study = import_runs("old", ROWS, storage, value="loss", direction="minimize")
    stored = load_study("old", storage, to_run=False)
    assert stored.spec.n_trials == len(study.trials) == 4 and study.best_params == {"lr": 0.1}
    [source] = load_sources([Reference("old")], SourceReader(storage))
    assert source.losses.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_name_that_is_taken_is_refused_and_nothing_changes() -> None:
    storage = InMemoryStorage()
    import_runs("old", ROWS, storage, value="loss", direction="minimize")
    optuna.create_study(study_name="other", storage=storage)
    for name in ("old", "other"):
        with pytest.raises(UsageError, match="There is a study"):
            import_runs(name, ROWS, storage, value="loss", direction="minimize")
    assert len(optuna.load_study(study_name="old", storage=storage).trials) == 4


def test_an_import_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/a.db")
    runs = read(ROWS)
    write, n_left = type(storage).create_new_trial, [2]

    def fail(self: Any, *args: Any, **options: Any) -> int:
        n_left[0] -= 1
        if n_left[0] < 0:
            raise KeyboardInterrupt
        return int(write(self, *args, **options))

    monkeypatch.setattr(type(storage), "create_new_trial", fail)
    with pytest.raises(KeyboardInterrupt):
        store_runs("old", runs, storage)
    assert study_names(storage) == []


def test_the_rest_of_an_import_that_was_killed_is_known_as_such() -> None:
    storage = InMemoryStorage()
    half = optuna.create_study(study_name="old", storage=storage)
    half.set_user_attr(IMPORTED.key, {"file": "runs.csv"})
    half.add_trial(read(ROWS).trials[0])
    with pytest.raises(UsageError, match="rest of an import"):
        SourceReader(storage).read(Reference("old"))
    study = import_runs("old", ROWS, storage, value="loss", direction="minimize")
    assert len(study.trials) == 4 and StudySpec.from_dict(SPEC.read(study.user_attrs))

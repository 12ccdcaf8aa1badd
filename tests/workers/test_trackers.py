"""Trials in TensorBoard, and what other trackers are told, each read back by its own library."""

from pathlib import Path
import sys
from typing import Any

import optuna
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.errors import UsageError
from optuna_evo.workers import open_trackers
from optuna_evo.workers import TrackerListener


def trial(state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=0.25 if state == TrialState.COMPLETE else None,
        params={"lr": 0.5, "kind": None},
        distributions={
            "lr": optuna.distributions.FloatDistribution(0, 1),
            "kind": optuna.distributions.CategoricalDistribution([None, "a"]),
        },
        user_attrs={"seconds": 3.5, "optuna_evo:diverged": True, "note": "text"},
        intermediate_values={1: 0.75, 2: 0.5},
    )
    made.number = 7
    return made


def test_tensorboard_has_curves_values_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    listener = TrackerListener("a/b", open_trackers([f"tensorboard:{tmp_path}"]))
    listener.started(0)
    listener.reported(0, 1, 2)
    listener.finished(trial())
    events = EventAccumulator(str(tmp_path / "a_b" / "trial_00007"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("value")] == [(1, 0.75), (2, 0.5)]
    assert [e.value for e in events.Scalars("result")] == [0.25]
    assert [e.value for e in events.Scalars("seconds")] == [3.5]
    assert [e.value for e in events.Scalars("diverged")] == [1.0]
    data = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    told = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    assert told["lr"].number_value == 0.5 and told["kind"].string_value == "None"


def test_a_pruned_trial_has_its_curve_and_no_result(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listener = TrackerListener("s", open_trackers([f"tensorboard:{tmp_path}"]))
    listener.finished(trial(TrialState.PRUNED))
    events = EventAccumulator(str(tmp_path / "s" / "trial_00007"))
    events.Reload()
    assert {"value", "seconds", "diverged"} == set(events.Tags()["scalars"])


def test_mlflow_has_a_run_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = f"file:{tmp_path}"
    for _ in range(2):  # as two workers
        TrackerListener("s", open_trackers([f"mlflow:{address}"])).finished(trial())
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("s")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    data: Any = runs[0].data
    assert data.params == {"lr": "0.5", "kind": "None"} and data.tags["state"] == "complete"
    assert data.metrics["result"] == 0.25 and data.metrics["seconds"] == 3.5
    history = client.get_metric_history(runs[0].info.run_id, "value")
    assert [(m.step, m.value) for m in history] == [(1, 0.75), (2, 0.5)]


def test_wandb_has_a_run_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    listener = TrackerListener("s", open_trackers(["wandb:mine"]))
    listener.finished(trial())
    listener.finished(trial())
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_says_how_to_install_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(UsageError, match=rf"pip install 'optuna-evo\[{name}\]'"):
        open_trackers([name])

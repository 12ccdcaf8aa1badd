"""Experiment trackers: what TensorBoard, MLflow and Weights & Biases hear of a finished trial.

One listener serves all: a trial is written once, when it is complete or pruned, with its
parameters, its curve, its value and what was measured. Each tracker is an extra.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol

from optuna.trial import FrozenTrial

from optuna_evo.errors import UsageError
from optuna_evo.names import file_stem


__all__ = ["open_trackers", "Tracker", "TrackerListener", "TrialRecord"]

_VALUE = "value"
_FOLDER = "runs"  # where TensorBoard looks by default


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What a tracker writes of a trial.

    Args:
        study: Name of the study.
        number: Of the trial.
        state: "complete" or "pruned".
        params: Its parameters, in types that every tracker knows.
        curve: Steps and reported values.
        value: What was told; None: nothing.
        measures: Its numeric user attributes, by name.
    """

    study: str
    number: int
    state: str
    params: Mapping[str, bool | int | float | str]
    curve: Sequence[tuple[int, float]]
    value: float | None
    measures: Mapping[str, float]

    @classmethod
    def of(cls, study: str, trial: FrozenTrial) -> "TrialRecord":
        """Return the record of a finished trial."""
        return cls(
            study=study,
            number=trial.number,
            state=trial.state.name.lower(),
            params={name: _plain(value) for name, value in trial.params.items()},
            curve=sorted(trial.intermediate_values.items()),
            value=trial.value,
            measures={
                name.removeprefix("optuna_evo:"): float(value)
                for name, value in trial.user_attrs.items()
                if isinstance(value, int | float)
            },
        )


class Tracker(Protocol):
    """Where trials are written to."""

    def write(self, record: TrialRecord) -> None:
        """Write a finished trial."""


class TrackerListener:
    """A listener that writes each finished trial to trackers.

    Args:
        study: Name of the study.
        trackers: Where to.
    """

    def __init__(self, study: str, trackers: Sequence[Tracker]) -> None:
        self._study, self._trackers = study, tuple(trackers)

    def started(self, trial_number: int) -> None:
        """Do nothing: a trial is written once."""

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Do nothing: the whole curve is written at the end."""

    def finished(self, trial: FrozenTrial) -> None:
        """Write the trial."""
        record = TrialRecord.of(self._study, trial)
        for tracker in self._trackers:
            tracker.write(record)


class TensorBoardTracker:
    """Curves and HParams, a folder a trial.

    Args:
        folder: Of all studies; `tensorboard --logdir FOLDER` shows it.
    """

    def __init__(self, folder: str) -> None:
        with _extra("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter
        self._writer, self._folder = SummaryWriter, Path(folder or _FOLDER)

    def write(self, record: TrialRecord) -> None:
        """Write a trial."""
        from torch.utils.tensorboard.summary import hparams

        folder = self._folder / file_stem(record.study) / f"trial_{record.number:05}"
        with contextlib.closing(self._writer(str(folder))) as writer:
            for step, value in record.curve:
                writer.add_scalar(_VALUE, value, step)
            last = record.curve[-1][0] if record.curve else 0
            numbers = dict(record.measures)
            if record.value is not None:
                numbers["result"] = record.value
            for name, value in numbers.items():
                writer.add_scalar(name, value, last)
            # `add_hparams` would make another folder for each trial
            to: Any = writer.file_writer
            summaries: Any = hparams
            for summary in summaries(dict(record.params), dict.fromkeys(numbers, 0.0)):
                to.add_summary(summary)


class MLflowTracker:
    """A run a trial, in an experiment called as the study.

    Args:
        address: Of the tracking server; empty: as `MLFLOW_TRACKING_URI` says.
    """

    def __init__(self, address: str) -> None:
        with _extra("mlflow"):
            from mlflow import MlflowClient
        self._client = MlflowClient(address or None)
        self._experiments: dict[str, str] = {}

    def write(self, record: TrialRecord) -> None:
        """Write a trial."""
        client = self._client
        run = client.create_run(
            self._experiment(record.study), run_name=f"trial {record.number}"
        ).info.run_id
        for name, param in record.params.items():
            client.log_param(run, name, param)
        for step, value in record.curve:
            client.log_metric(run, _VALUE, value, step=step)
        for name, value in record.measures.items():
            client.log_metric(run, name, value)
        if record.value is not None:
            client.log_metric(run, "result", record.value)
        client.set_tag(run, "state", record.state)
        client.set_terminated(run)

    def _experiment(self, study: str) -> str:
        if study not in self._experiments:
            known = self._client.get_experiment_by_name(study)
            try:
                found = known.experiment_id if known else self._client.create_experiment(study)
            except Exception:  # another worker was faster
                found = self._client.get_experiment_by_name(study).experiment_id
            self._experiments[study] = found
        return self._experiments[study]


class WandbTracker:
    """A run a trial, in a group called as the study.

    Args:
        project: Name of the project; empty: "optuna_evo".
    """

    def __init__(self, project: str) -> None:
        with _extra("wandb"):
            import wandb
        self._wandb, self._project = wandb, project or "optuna_evo"

    def write(self, record: TrialRecord) -> None:
        """Write a trial."""
        run = self._wandb.init(
            project=self._project,
            group=record.study,
            name=f"trial {record.number}",
            config={**record.params, "state": record.state},
            reinit="create_new",
        )
        for step, value in record.curve:
            run.log({_VALUE: value}, step=step)
        run.summary.update(dict(record.measures))
        if record.value is not None:
            run.summary["result"] = record.value
        run.finish()


_TRACKERS: Mapping[str, Callable[[str], Tracker]] = {
    "tensorboard": TensorBoardTracker,
    "mlflow": MLflowTracker,
    "wandb": WandbTracker,
}


def open_trackers(names: Sequence[str]) -> list[Tracker]:
    """Open trackers by name: `tensorboard[:FOLDER]`, `mlflow[:ADDRESS]`, `wandb[:PROJECT]`.

    Raises:
        UsageError: If there is no such tracker, or it is not installed.
    """
    trackers = []
    for text in names:
        name, _, where = text.partition(":")
        if name not in _TRACKERS:
            raise UsageError(
                f"There is no tracker {name!r}; write tensorboard:FOLDER, mlflow:ADDRESS or "
                "wandb:PROJECT."
            )
        trackers.append(_TRACKERS[name](where))
    return trackers


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"--track {name} needs {name}, which is not installed: "
            f"pip install 'optuna-evo[{name}]'."
        ) from error


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else repr(value)

"""Many workers on one study: processes of this machine, of others, or of a Ray cluster."""

from optuna_evo.workers._events import Event
from optuna_evo.workers._events import EventListener
from optuna_evo.workers._events import json_lines
from optuna_evo.workers._events import worker_events
from optuna_evo.workers._listeners import Listeners
from optuna_evo.workers._local import LocalLauncher
from optuna_evo.workers._placement import place
from optuna_evo.workers._placement import Placement
from optuna_evo.workers._pool import Outcome
from optuna_evo.workers._pool import run_pool
from optuna_evo.workers._process import follow_parent
from optuna_evo.workers._process import open_channel
from optuna_evo.workers._process import WorkerProcess
from optuna_evo.workers._ray import RayLauncher
from optuna_evo.workers._run import check_shared
from optuna_evo.workers._run import is_one_file
from optuna_evo.workers._run import run_workers
from optuna_evo.workers._run import sqlite_limit
from optuna_evo.workers._status import study_status
from optuna_evo.workers._status import StudyStatus
from optuna_evo.workers._status import WorkerStatus
from optuna_evo.workers._status_view import status_panel
from optuna_evo.workers._trackers import open_trackers
from optuna_evo.workers._trackers import Tracker
from optuna_evo.workers._trackers import TrackerListener
from optuna_evo.workers._trackers import TrialRecord


__all__ = [
    "check_shared",
    "Event",
    "EventListener",
    "follow_parent",
    "is_one_file",
    "json_lines",
    "Listeners",
    "LocalLauncher",
    "open_channel",
    "open_trackers",
    "Outcome",
    "place",
    "Placement",
    "RayLauncher",
    "run_pool",
    "run_workers",
    "sqlite_limit",
    "status_panel",
    "study_status",
    "StudyStatus",
    "Tracker",
    "TrackerListener",
    "TrialRecord",
    "worker_events",
    "WorkerProcess",
    "WorkerStatus",
]

"""Many workers on one study: processes of this machine, of others, or of a Ray cluster.

A worker is nothing but a process that runs the loop on a database's URL. `study run NAME
--workers N` starts N of them, each with the command line of one worker; hears their events (one
JSON object a line); starts a worker that crashes again, after a pause that doubles, at most five
times in a row; and passes Ctrl-C and SIGTERM on, once politely, the second time by SIGKILL. When
whoever started them is gone, workers end by themselves. `--executor ray` puts the same processes
into actors of a Ray cluster. The same command on another machine, with the same URL, adds workers
there: the database is all that they share.

What one database bears
-----------------------
Measured by `python -m tests.benchmarks.workers open` with trials that take no time (three
parameters, the genetic sampler, one worker) on two cores that other processes used too: load
average 8 to 20. That stretches clocks several times, so CPU time is given, which it lengthens as
well; 2,000 / (the sum of both columns) is what two cores would reach with nothing else to do. In
brackets: the version before, measured at the same time.

    open trials of others      statements a trial    CPU ms in the worker    in the server
    SQLite             0          29.5 (45.5)            19.3 (29.8)               -
    SQLite            16          30.1 (49.7)            22.0 (32.2)               -
    PostgreSQL         0          29.3 (52.4)            26.6 (50.4)          7.0 (19.5)
    PostgreSQL        16          30.3 (56.6)            29.1 (58.8)          7.0 (19.5)

With Optuna's own storage it is 81 statements. In wall time, load average 7 to 9: SQLite, one
worker 50 trials a second (250 trials, an ask 8 ms); 16 workers 40 (1,000 trials, an ask 79 ms at
trial 200 and 94 ms at the end). With nothing else running, 16 workers on PostgreSQL 38 (300
trials, an ask 226 ms); trials of 1 s, 16 workers: 17 % over the ideal on SQLite, 20 % on
PostgreSQL.

Where it bends:

- Each look at a study reads all trials that are open again, and a trial takes three looks: some
  0.2 ms of CPU in the worker for each other trial that runs. So the cost grows as the square of
  the number of workers.
- A trial's number is counted under a lock on the study: the asks of all workers stand in one line,
  which on an SQLite file is the line for every write.
- PostgreSQL takes 100 connections by default, and a worker needs two at times (as it starts, and
  for heartbeats): from 50 workers on raise `max_connections`, or put PgBouncer in front.

What to do there, in this order: longer trials (a worker that trains for minutes costs nothing);
`batch_size` > 1, where one worker trains many trials; PostgreSQL in place of SQLite from 8 workers
or the second machine on; and beyond some hundred workers several studies that start from each
other (`--warm-start`).
"""

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

"""Who trains which trial: every claim, every end and every return of a trial passes here.

Invariants, whatever processes, machines and databases do, at any moment and in any order:

1.  A trial is trained by the worker that it names, and by no other. The change from WAITING to
    RUNNING, the name and the first heartbeat are one transaction, in which a second worker finds
    that the trial waits no longer. A trial that nobody queued is born RUNNING, with its name.
2.  A trial is told once. It ends in one transaction, which fails when the trial has ended already:
    a worker whose trial was taken over finds that out at its next write, stops, and tells nothing.
3.  A trial that is given back is never lost. Its failure and its waiting copy are one transaction,
    so that there is no moment in which it has neither, and exactly one copy of it. The copy has
    its parameters and attributes, hence its place, its lineage and its checkpoint, and names it.
4.  What is given back is: a trial whose worker says so; one whose worker is certainly dead (this
    machine since its last start, the same process namespace, and no such process); one whose
    heartbeat has been silent for the grace period, by the clock of the database; one without any
    heartbeat that nobody has given one for as long. A trial of a worker of which none of this is
    known is left alone.
5.  A trial that fails by its own fault says why (`attributes.ERROR`) and has no copy; trouble with
    the database is never a trial's fault.
6.  A place in a population belongs to one trial that did not fail. A copy has the place of its
    original; a failure gives the place back. Samplers see to it (`optuna_evo.samplers._slots`), on
    nothing but reads that see all finished writes.
7.  A search that is to have n trials never has more that are finished or being trained: they are
    counted in the transaction that claims or makes one more.

What the databases guarantee, and what is built on it:

* All: a new trial is written with all its attributes in one transaction, and numbers are dense; a
  finished trial accepts no write.
* PostgreSQL, MySQL: rows are locked (`FOR UPDATE`), which gives 1, 2 and 3.
* SQLite has no such lock, and what is read before the first write of a transaction may be old. So
  these transactions begin with the lock for writing (`BEGIN IMMEDIATE`, see `_sqlite`).
* None has compare-and-set for attributes of studies; nothing here needs it.
* Clocks: heartbeats are the server's. Local clocks decide nothing.
* Storages without transactions that we can join (in memory, a journal): 1 by Optuna's change of
  state, the name after it; 3 by making the copy first, unless there is one, and then failing the
  original. Two that find a dead worker in the same moment may both make a copy; and nobody counts
  for all, so that 7 may be missed by one a worker.
* Copies that were made twice, there or by Optuna's own `fail_stale_trials`, are known by the trial
  that they name: the lowest number counts, and others fail when they are claimed.
"""

from optuna_evo.search._leases._claims import ask
from optuna_evo.search._leases._claims import begin
from optuna_evo.search._leases._claims import claim
from optuna_evo.search._leases._ends import fail
from optuna_evo.search._leases._ends import finish
from optuna_evo.search._leases._ends import give_back
from optuna_evo.search._leases._ends import has_orphans
from optuna_evo.search._leases._ends import is_taken_over
from optuna_evo.search._leases._ends import leave
from optuna_evo.search._leases._ends import reclaim
from optuna_evo.search._leases._ends import release
from optuna_evo.search._leases._heartbeat import heartbeat
from optuna_evo.search._leases._worker import this_worker
from optuna_evo.search._leases._worker import Worker


__all__ = [
    "ask",
    "begin",
    "claim",
    "fail",
    "finish",
    "give_back",
    "has_orphans",
    "heartbeat",
    "is_taken_over",
    "leave",
    "reclaim",
    "release",
    "this_worker",
    "Worker",
]

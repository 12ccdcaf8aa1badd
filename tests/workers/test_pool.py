"""A pool of small processes: what it does when they end, crash, or when it is told to stop.

The processes are real; they say what a worker says, without its imports.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from optuna_evo.workers import _pool
from optuna_evo.workers import Event
from optuna_evo.workers import Outcome
from optuna_evo.workers import run_pool


DONE = "say(event='worker_stopped', reason='done')"
FINISH = "say(event='finished', trial=0, state='complete')"
PREAMBLE = """
import json, os, signal, sys, time
def say(**event): print(json.dumps(event), flush=True)
"""


class Small:
    """A process that runs a few lines of Python and says events."""

    def __init__(self, code: str, hear: Callable[[Any], None]) -> None:
        import json

        self.farewell: Event | None = None
        self.last_lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", PREAMBLE + code],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def read() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                event = json.loads(line)
                if event["event"] == "worker_stopped":
                    self.farewell = event
                hear(event)

        self._reader = threading.Thread(target=read)
        self._reader.start()

    def poll(self) -> int | None:
        code = self._process.poll()
        if code is not None:
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()
        return code

    def send(self, number: int) -> None:
        self._process.send_signal(number)


class Heard:
    """Keeps what a display is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def line(self, number: int, text: str) -> None:
        self.said.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(_pool, "_POLL_S", 0.01)


def pool(
    *codes: Sequence[str], on_event: Callable[[Event], None] = lambda event: None
) -> tuple[Outcome, Heard, list[list[str]]]:
    """Run a pool; each worker runs the next of its codes whenever it starts."""
    started: list[list[str]] = [[] for _ in codes]

    def launch(number: int, arguments: Sequence[str], hear: Any, on_line: Any) -> Small:
        assert list(arguments) == [f"argument {number}"]
        left = codes[number][len(started[number]) :]
        started[number].append(left[0] if left else codes[number][-1])
        return Small(started[number][-1], hear)

    heard = Heard()
    outcome = run_pool(
        launch,
        len(codes),
        arguments=lambda number: [f"argument {number}"],
        display=heard,
        log=on_event,
        study="s",
    )
    return outcome, heard, started


def test_a_pool_ends_when_all_workers_are_done() -> None:
    outcome, heard, started = pool([DONE], [FINISH + "\n" + DONE])
    assert outcome == Outcome(stopped_by=None, errors={}, n_crashes=0)
    assert sorted(e["event"] for e in heard.events) == ["finished"] + ["worker_stopped"] * 2
    assert [len(codes) for codes in started] == [1, 1]


@pytest.mark.parametrize(
    ("crash", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os._exit(0)", "exit code 0"),
        ("os._exit(7)", "exit code 7"),
        (
            "say(event='worker_stopped', reason='error', error='CUDA error', restart=True)\n"
            "sys.exit(1)",
            "CUDA error",
        ),
    ],
)
def test_a_worker_that_crashes_starts_again(crash: str, cause: str) -> None:
    outcome, heard, started = pool([crash, DONE], [DONE])
    assert outcome == Outcome(stopped_by=None, errors={}, n_crashes=1)
    assert [len(codes) for codes in started] == [2, 1]
    (crashed,) = [e for e in heard.events if e["event"] == "worker_crashed"]
    assert crashed["cause"] == cause and crashed["worker"] == 0
    assert cause in heard.said[0] and "(1 of 5)" in heard.said[0]


def test_a_worker_that_only_crashes_is_given_up_and_the_others_go_on() -> None:
    outcome, heard, started = pool(["os._exit(3)"], ["time.sleep(0.5)\n" + DONE])
    assert [len(codes) for codes in started] == [6, 1]
    assert outcome.n_crashes == 6 and list(outcome.errors) == [0]
    assert "6 times in a row (exit code 3)" in heard.said[-1]


def test_a_finished_trial_makes_a_crash_the_first_one_again() -> None:
    outcome, _, started = pool([FINISH + "\nos._exit(3)"] * 8 + [DONE])
    assert outcome.errors == {} and outcome.n_crashes == 8
    assert len(started[0]) == 9


@pytest.mark.parametrize(
    "end",
    [
        "say(event='worker_stopped', reason='error', error='no data', restart=False)\nsys.exit(1)",
        "print(json.dumps({'event': 'worker_stopped', 'error': 'no data'}))\nsys.exit(2)",
    ],
)
def test_what_a_user_has_to_mend_is_not_tried_again(end: str) -> None:
    outcome, _, started = pool([end], [DONE])
    assert outcome.errors == {0: "no data"} and [len(codes) for codes in started] == [1, 1]


def test_one_signal_is_passed_on_to_all_and_ends_them_politely() -> None:
    polite = (
        "signal.signal(signal.SIGINT, lambda *_: (say(event='worker_stopped', "
        "reason='interrupted'), sys.exit(130)))\nsay(event='started')\ntime.sleep(60)"
    )
    n_started = iter(range(2))

    def interrupt(event: Event) -> None:
        if event["event"] == "started" and next(n_started) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    outcome, heard, _ = pool([polite], [polite], on_event=interrupt)
    assert outcome == Outcome(stopped_by=signal.SIGINT, errors={}, n_crashes=0)
    assert [e["event"] for e in heard.events].count("worker_stopped") == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_kills() -> None:
    deaf = (
        "signal.signal(signal.SIGINT, lambda *_: say(event='heard'))\nsay(event='started')\n"
        "while True: time.sleep(1)"
    )

    def interrupt(event: Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    outcome, _, started = pool([deaf], on_event=interrupt)
    assert outcome.stopped_by == signal.SIGINT and len(started[0]) == 1

"""What a worker is called, and when it is certainly dead."""

from dataclasses import replace
import subprocess
import sys

import pytest

from optuna_evo.search._leases._worker import is_dead
from optuna_evo.search._leases._worker import this_worker
from optuna_evo.search._leases._worker import Worker


HERE = Worker.this()
ENDED = 2**22 + 1  # above the greatest process number of Linux


def test_a_name_says_all_there_is_to_know() -> None:
    assert Worker.parse(this_worker()) == HERE
    assert this_worker().endswith(f":{HERE.pid}")


@pytest.mark.parametrize("name", ["", "host", "host:pid", "a:b:1", "a:b:c:d:e:1", "host:-1"])
def test_what_is_no_name_is_nobody_and_never_dead(name: str) -> None:
    assert Worker.parse(name) is None
    assert not is_dead(name, HERE)


def test_a_process_that_has_ended_here_is_dead() -> None:
    assert is_dead(str(replace(HERE, pid=ENDED)), HERE)
    assert not is_dead(str(HERE), HERE)


def test_names_of_earlier_versions_go_by_host_and_number() -> None:
    assert is_dead(f"{HERE.host}:{ENDED}", HERE)
    assert not is_dead(f"{HERE.host}:{HERE.pid}", HERE)
    assert not is_dead(f"another:{ENDED}", HERE)


@pytest.mark.parametrize("field", ["host", "boot", "namespace"])
def test_nothing_is_known_of_another_machine_start_or_container(field: str) -> None:
    elsewhere = replace(HERE, pid=ENDED, **{field: "other"})
    assert not is_dead(str(elsewhere), HERE)


@pytest.mark.skipif(not HERE.started, reason="the system says nothing of starts")
def test_a_number_that_is_used_again_is_another_process() -> None:
    code = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            before = replace(HERE, pid=process.pid, started="1")
            assert is_dead(str(before), HERE)
        finally:
            process.kill()
    assert is_dead(str(replace(HERE, started="1")), HERE)  # this very number, earlier


def test_a_host_may_be_called_anything() -> None:
    worker = replace(HERE, host="fe80::1", pid=ENDED)
    assert is_dead(str(worker), replace(worker, pid=1))

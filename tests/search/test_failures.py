"""What is written on a trial that failed."""

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import TRACEBACK
from optuna_evo.errors import ObjectiveError
from optuna_evo.search import failure_attributes


def deep(n: int) -> None:
    if n:
        deep(n - 1)
    raise ValueError("no rows")


def caught(error_type: type[Exception] | None = None) -> Exception:
    try:
        try:
            deep(30)
        except ValueError as error:
            if error_type is None:
                raise
            raise error_type("f.py, line 3: ValueError: no rows") from error
    except Exception as error:
        return error
    raise AssertionError


def test_the_reason_and_the_last_lines_of_the_traceback_are_kept() -> None:
    attributes = failure_attributes(caught())
    assert attributes[ERROR.key] == "ValueError: no rows"
    lines = attributes[TRACEBACK.key]
    assert len(lines) == 12 and lines[-1] == "ValueError: no rows"
    assert any('raise ValueError("no rows")' in line for line in lines)


def test_of_our_own_errors_the_traceback_is_that_of_the_cause() -> None:
    attributes = failure_attributes(caught(ObjectiveError))
    assert attributes[ERROR.key] == "f.py, line 3: ValueError: no rows"
    assert attributes[TRACEBACK.key][-1] == "ValueError: no rows"


def test_long_errors_are_cut() -> None:
    attributes = failure_attributes(ValueError("x" * 10_000))
    assert len(attributes[ERROR.key]) == 1_000
    assert max(map(len, attributes[TRACEBACK.key])) <= 300

"""What is written on a trial that failed: the reason, and where it happened."""

import traceback
from typing import Any

from optuna_evo.attributes import ERROR
from optuna_evo.attributes import TRACEBACK
from optuna_evo.errors import OptunaEvoError


__all__ = ["failure_attributes"]

# MySQL takes 65,535 bytes a value; nobody reads more of a traceback in a table.
_MOST_CHARACTERS = 1_000
_MOST_LINES, _MOST_LINE_CHARACTERS = 12, 300


def failure_attributes(error: BaseException) -> dict[str, Any]:
    """Return the user attributes of a trial that failed of an error.

    The reason is a sentence; the traceback is that of the first cause, which is where a user's own
    code failed, and holds its last lines.

    Example:
        >>> failure_attributes(ValueError("no rows"))[ERROR.key]
        'ValueError: no rows'
    """
    # our own errors are sentences; of others the type says half
    is_ours = isinstance(error, OptunaEvoError)
    reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
    cause = error.__cause__ if is_ours and error.__cause__ is not None else error
    text = "".join(traceback.format_exception(cause, chain=False))
    lines = [line[:_MOST_LINE_CHARACTERS] for line in text.rstrip().splitlines()]
    return {ERROR.key: reason[:_MOST_CHARACTERS], TRACEBACK.key: lines[-_MOST_LINES:]}

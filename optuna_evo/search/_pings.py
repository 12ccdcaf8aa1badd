"""Ask a connection whether it is alive only after it has stood still for a while.

SQLAlchemy's own `pool_pre_ping` asks at each use, which is one message more for every statement of
ours. A connection that worked a moment ago is alive as a rule; if it is not, the statement fails
and is tried again (`_outage`), as one is whose server goes away in the middle of it.
"""

import time
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError


__all__ = ["ping_after_rest"]

_REST_S = 5.0
_SINCE = "optuna_evo_rests_since"


def ping_after_rest(engine: sqlalchemy.Engine) -> None:
    """Have connections of an engine that rested for seconds prove that they are alive."""
    dialect: Any = engine.dialect

    def rest(_connection: Any, record: Any) -> None:
        record.info[_SINCE] = time.monotonic()

    def wake(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_SINCE)
        if since is None or time.monotonic() - since < _REST_S:
            return
        if not dialect._do_ping_w_event(connection):
            raise DisconnectionError("it has gone")  # the pool opens another one

    event.listen(engine, "checkin", rest)
    event.listen(engine, "checkout", wake)

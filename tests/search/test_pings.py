"""Tests of asking a connection whether it is alive."""

import pytest
import sqlalchemy

from optuna_evo.search import _pings as pings


def test_only_a_connection_that_rested_is_asked_and_a_dead_one_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.QueuePool)
    pings.ping_after_rest(engine)
    asked, answers = list[object](), [True, False]

    def ping(connection: object) -> bool:
        asked.append(connection)
        return answers.pop(0)

    monkeypatch.setattr(engine.dialect, "_do_ping_w_event", ping)

    def used() -> object:
        with engine.connect() as connection:
            return connection.connection.driver_connection

    first = used()
    assert used() is first and not asked
    monkeypatch.setattr(pings, "_REST_S", -1.0)
    assert used() is first and len(asked) == 1
    assert used() is not first and len(asked) == 2

"""What MySQL and MariaDB need so that nothing is cut or mistaken: wide texts, exact names.

Optuna makes its tables with the server's defaults. There, a text ends at 64 kB (a long spec, a
figure), a time at whole seconds, and "LR" is the same name as "lr": the second of two such
parameters of a trial would be left out without a word. So the tables are changed once, as long
as no study is in them; afterwards by `optuna_evo study upgrade`.
"""

from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import Engine


__all__ = ["is_wide", "widen"]

_COLLATION = "utf8mb4_bin"
_TEXTS = (
    ("study_user_attributes", "value_json"),
    ("study_system_attributes", "value_json"),
    ("trial_user_attributes", "value_json"),
    ("trial_system_attributes", "value_json"),
    ("trial_params", "distribution_json"),
)
_TIMES = (("trials", "datetime_start"), ("trials", "datetime_complete"))
_NAMED = ("studies", *dict.fromkeys(table for table, _ in _TEXTS))


def is_wide(engine: Engine) -> bool:
    """Tell whether the tables are as they should be."""
    query = sqlalchemy.text(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() "
        "AND table_name = 'study_user_attributes' AND column_name = 'value_json' "
        "AND data_type = 'longtext'"
    )
    with engine.connect() as connection:
        return bool(connection.execute(query).scalar())


def widen(engine: Engine, *, also_filled: bool = False) -> bool:
    """Change the tables, and tell whether there was anything to do.

    Args:
        engine: The database.
        also_filled: Whether to do it although there are studies; workers have to wait for it.
    """
    if is_wide(engine):
        return False
    with engine.begin() as connection:
        if not also_filled and connection.execute(_COUNT).scalar():
            return False
        for statement in _statements():
            connection.execute(sqlalchemy.text(statement))
    return True


_COUNT = sqlalchemy.text("SELECT count(*) FROM (SELECT 1 FROM studies LIMIT 1) found")


def _statements() -> Iterable[str]:
    for table in _NAMED:
        yield f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {_COLLATION}"
    for table, column in _TIMES:
        yield f"ALTER TABLE {table} MODIFY {column} DATETIME(6) NULL"
    for table, column in reversed(_TEXTS):  # the one that `is_wide` looks at comes last
        yield (
            f"ALTER TABLE {table} MODIFY {column} LONGTEXT "
            f"CHARACTER SET utf8mb4 COLLATE {_COLLATION} NULL"
        )

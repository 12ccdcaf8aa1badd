"""Names of studies in this database or another, without anything secret in them."""

from dataclasses import dataclass
from pathlib import Path
import re
from typing import Self

from sqlalchemy.engine import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from optuna_evo.errors import UsageError
from optuna_evo.names import is_secret
from optuna_evo.names import shown_url


__all__ = ["public_url", "Reference", "with_password_of"]

_AUTO = "auto"
_JOURNAL = "journal://"  # a file's path follows, as it is
# A database whose "://" is misspelt: it could hold a password, so it is never taken for a name.
_MISSPELT = re.compile(
    r"\s*(sqlite|postgres|mysql|mariadb|oracle|mssql)[\w+]*\s*[:;,.]?\s*(/|:).*(#|@)"
    r"|[^#]*:[^#]*@[^#]*#",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Reference:
    """A source study, or with the name "auto" all that fit.

    Args:
        study: Its name.
        url: Its database, without a password; None: that of the study that starts from it.
            The password is found where the driver looks for one (PostgreSQL: `PGPASSWORD`,
            `~/.pgpass`); the study's own is used for other databases of the same user and server.

    Example:
        >>> str(Reference.parse("postgresql://me:secret@host/db#old"))
        'postgresql://me@host/db#old'
    """

    study: str
    url: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "NAME" or "URL#NAME"; a password is left out, an SQLite path made absolute.

        Raises:
            UsageError: If it is neither.
        """
        if "://" not in text:
            if _MISSPELT.match(text):
                raise UsageError(
                    f"{shown_url(text)} is neither a study nor a database: write "
                    "postgresql://user@host/database#NAME or sqlite:///old.db#NAME."
                )
            if not text.strip():
                raise UsageError('A source must be "NAME", "URL#NAME" or "auto", got "".')
            return cls(text)
        url, _, study = text.partition("#")
        if not study:
            raise UsageError(
                f"{public_url(url)} names a database and no study in it: write URL#NAME, or "
                "URL#auto for all finished studies of the same space."
            )
        return cls(study, public_url(url))

    @property
    def is_auto(self) -> bool:
        """Whether it stands for all finished studies of the same space."""
        return self.study == _AUTO

    def __str__(self) -> str:
        return self.study if self.url is None else f"{self.url}#{self.study}"


def public_url(url: str) -> str:
    """Return the URL without anything secret, an SQLite path absolute.

    Raises:
        UsageError: If it is no database URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise UsageError(
            'A source must be "NAME", "URL#NAME" or "auto"; what stands before the # is no '
            "database URL, such as sqlite:///old.db or postgresql://user@host/database."
        ) from error
    if url.startswith(_JOURNAL) and "@" in url.removeprefix(_JOURNAL).partition("/")[0]:
        raise UsageError(
            f"A journal is a file and has no user or server: write journal://FILE#NAME, got "
            f"{shown_url(url)}."
        )
    if url.startswith(_JOURNAL):
        return f"{_JOURNAL}{Path(url.removeprefix(_JOURNAL)).absolute()}"
    path = parsed.database
    if parsed.get_backend_name() == "sqlite" and path and path != ":memory:":
        path = str(Path(path).absolute())
    query = {key: value for key, value in parsed.query.items() if not is_secret(key)}
    public = URL.create(
        parsed.drivername, parsed.username, None, parsed.host, parsed.port, path, query
    )
    return public.render_as_string(hide_password=False)


def with_password_of(url: str, own_url: str | None) -> str:
    """Return a public URL with the password of `own_url`, if user and server are the same."""
    if own_url is None:
        return url
    parsed, own = make_url(url), make_url(own_url)
    same = (parsed.host, parsed.port, parsed.username) == (own.host, own.port, own.username)
    if not same or not own.password:
        return url
    return parsed.set(password=own.password).render_as_string(hide_password=False)

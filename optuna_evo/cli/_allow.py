"""What code the user lets a stored study import: by option, by file, or as he gave it before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import click


if TYPE_CHECKING:
    from optuna_evo.plugins import Allowance
    from optuna_evo.spec import StudySpec

__all__ = [
    "allow_import_option",
    "allowance_for",
    "forget_study",
    "remember_copy",
    "remember_parts",
]

_META = "optuna_evo.allow_import"  # among what click keeps for a call


def _keep(ctx: click.Context, _: click.Parameter, modules: tuple[str, ...]) -> None:
    ctx.meta[_META] = modules


def allow_import_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --allow-import; `allowance_for` reads it."""
    return click.option(
        "--allow-import",
        metavar="MODULE",
        multiple=True,
        envvar="OPTUNA_EVO_ALLOW_IMPORT",
        expose_value=False,
        callback=_keep,
        help="Let the stored study import parts of this package or FILE.py. Needed where somebody "
        "else's spec named them; what you named yourself, in a SPEC or as FILE.py:FUNCTION, is "
        'remembered. May be repeated. [env: OPTUNA_EVO_ALLOW_IMPORT; or allow_import = ["MODULE"] '
        "in optuna_evo.toml, here or in ~/.config/optuna_evo]",
    )(command)


def allowance_for(name: str, storage: str | None) -> "Allowance":
    """Return what a stored study may import."""
    from optuna_evo.plugins import Allowance
    from optuna_evo.plugins import allowance_from_files
    from optuna_evo.plugins import remembered

    context = click.get_current_context(silent=True)
    said = context.meta.get(_META, ()) if context is not None else ()
    known = Allowance(names=remembered(_database(storage), name))
    return Allowance.of(said) | known | allowance_from_files()


def remember_parts(spec: "StudySpec", storage: str | None) -> None:
    """Keep for the next time what the user's own spec names; not what the database named."""
    from optuna_evo.plugins import remember
    from optuna_evo.plugins import StoredName
    from optuna_evo.study import foreign_names

    own = [name for name in foreign_names(spec) if not isinstance(name, StoredName)]
    remember(_database(storage), spec.name, own)


def remember_copy(
    name: str, new_name: str, storage: str | None, new_storage: str | None = None
) -> None:
    """Keep for a copy what is kept for a study; `new_storage`: None for the same database."""
    from optuna_evo.plugins import remember
    from optuna_evo.plugins import remembered

    remember(_database(new_storage or storage), new_name, remembered(_database(storage), name))


def forget_study(name: str, storage: str | None) -> None:
    """Forget what was kept for a study that is deleted."""
    from optuna_evo.plugins import forget

    forget(_database(storage), name)


def _database(storage: str | None) -> str:
    """Return what a database is known by: a file by its path, a server without user or password.

    A file by another path, or a server by another name, is another database: then the user is
    asked once more.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    from optuna_evo.search import default_url

    text = storage or default_url()
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return text
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or ":memory:").absolute())
    return f"{url.get_backend_name()}://{url.host}:{url.port}/{url.database}"

"""`optuna_evo study copy` and `upgrade`: from database to database, from schema to schema."""

import click

from optuna_evo.cli._allow import remember_copy
from optuna_evo.cli._lineage import checkpoints_option
from optuna_evo.cli._next import print_next
from optuna_evo.cli._next import print_next_of_database
from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import reads_study
from optuna_evo.names import printable
from optuna_evo.names import shown_url


__all__ = ["study_copy", "study_upgrade"]


@click.command("copy", short_help="Copy a study, also to another database.")
@click.argument("name", metavar="FROM")
@click.argument("new_name", metavar="TO")
@storage_option
@checkpoints_option
@reads_study
@click.option(
    "--new-checkpoints",
    metavar="PLACE",
    help="Where the checkpoints of the copy go. [default: as for a new study]",
)
def study_copy(
    name: str,
    new_name: str,
    storage: str | None,
    checkpoints: str | None,
    new_checkpoints: str | None,
) -> None:
    """Copy a study with its trials and all that is known of them.

    FROM and TO are a NAME in the database of --storage, or URL#NAME in another one; TO may be a
    URL alone, which keeps the name. Generations, lineages with their checkpoints, notes and
    sources stay what they are. A trial that is still running is run again in the copy. Under its
    own name in another database, a study goes on as the original would; under another name it has
    the same trials so far, and other draws from then on.

    \b
    Examples:
      optuna_evo study copy digits_optimizer digits_longer
      optuna_evo study copy digits_optimizer postgresql://user@host/studies
      optuna_evo study copy postgresql://user@host/studies#mine sqlite:///mine.db#mine
    """
    from optuna_evo.attributes import SPEC
    from optuna_evo.study import copy_study

    (old_url, old), (new_url, new) = _place(name), _place(new_name)
    source = open_database(old_url or storage)
    target = open_database(new_url, create=True) if new_url else open_database(storage)
    copied = copy_study(
        old,
        new or old,
        source,
        to=target,
        checkpoints=checkpoints,
        new_checkpoints=new_checkpoints,
    )
    remember_copy(old, new or old, old_url or storage, new_url or storage)
    where = f" in {shown_url(new_url)}" if new_url else ""
    n_trials = len(copied.get_trials(deepcopy=False))
    click.echo(printable(f"Copied {n_trials} trials to study {new or old!r}{where}."))
    if SPEC.is_in(copied.user_attrs):
        stored = load_stored(new or old, new_url or storage, opened=target)
        print_next("copy", stored, url=new_url)
    else:  # of somebody else's
        print_next_of_database("copy")


def _place(text: str) -> tuple[str | None, str]:
    """Split "URL#NAME", "URL" or "NAME" into the database and the study."""
    if "://" not in text:
        return None, text
    url, _, name = text.partition("#")
    return url, name


@click.command("upgrade", short_help="Bring old studies to the newest schema.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@storage_option
def study_upgrade(names: tuple[str, ...], storage: str | None) -> None:
    """Bring studies of older versions to the newest schema; all of the database without a NAME.

    Older studies are read and go on without it; this gives their attributes the names that they
    have now, and brings Optuna's own tables up to date. Do it while no worker is running, and keep
    a copy of the database: older versions will not read it any more.

    \b
    Example:
      optuna_evo study upgrade --storage sqlite:///old.db
    """
    from optuna_evo.search import upgrade_tables
    from optuna_evo.study import upgrade_studies

    quiet_optuna()
    for what in upgrade_tables(storage):
        click.echo(what)
    for name, n_renamed in upgrade_studies(open_database(storage), names):
        done = f"{n_renamed} attributes renamed" if n_renamed else "nothing to do"
        click.echo(printable(f"{name}: {done}."))
    print_next_of_database("upgrade")

"""`optuna_evo study sources`."""

import contextlib

import click

from optuna_evo.cli._next import print_next
from optuna_evo.cli._options import new_console
from optuna_evo.cli._stored import load_stored
from optuna_evo.cli._stored import stored_study
from optuna_evo.names import printable


__all__ = ["study_sources"]


@click.command("sources")
@stored_study
@click.option(
    "--refresh", is_flag=True, help='Look again for what "auto" names; new runs start from that.'
)
def study_sources(name: str, storage: str | None, refresh: bool) -> None:
    """Show what a study starts from, and how much it helped.

    A source's weight, from 0 to 1, says how far it was believed when the last run ended. The
    portfolio is the first trials, taken from the sources; the prior is what was learned from
    them; the base is the sampler that goes on.

    \b
    Examples:
      optuna_evo study sources new
      optuna_evo study sources new --refresh
    """
    from optuna_evo.reports import sources_panel
    from optuna_evo.reports import summarise_sources
    from optuna_evo.study import refresh_sources
    from optuna_evo.study import space_parameters
    from optuna_evo.warm_start import read_references
    from optuna_evo.warm_start import SourceReader

    stored = load_stored(name, storage)
    reader = SourceReader(stored.study._storage, url=storage)
    if refresh:
        new = refresh_sources(stored, reader)
        click.echo(printable(f"New sources: {', '.join(map(str, new)) or 'none'}."))
    if not read_references(stored.study):
        asked = f": {', '.join(stored.spec.warm_start)} found none" * bool(stored.spec.warm_start)
        click.echo(printable(f"Study {name!r} starts from no other study{asked}."))
        print_next("sources", stored)
        return
    parameters = space_parameters(stored.spec)
    if parameters is None:  # what its trials had
        trials = stored.study.get_trials(deepcopy=False)
        parameters = {name: d for t in trials for name, d in t.distributions.items()}
    with contextlib.closing(reader):
        summary = summarise_sources(stored.study, parameters, reader)
    new_console().print(sources_panel(summary))
    print_next("sources", stored)

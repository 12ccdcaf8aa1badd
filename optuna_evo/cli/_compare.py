"""`optuna_evo study compare-samplers`."""

import dataclasses
from pathlib import Path
import signal
import sys

import click

from optuna_evo.cli._allow import remember_parts
from optuna_evo.cli._definition import with_sources
from optuna_evo.cli._options import new_console
from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import quiet_optuna
from optuna_evo.cli._options import run_options
from optuna_evo.cli._options import SET
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._options import WARM_START
from optuna_evo.cli._stored import print_source_warnings
from optuna_evo.cli._stored import source_reader
from optuna_evo.files import write_text
from optuna_evo.names import file_stem
from optuna_evo.names import printable


__all__ = ["study_compare_samplers"]


@click.command("compare-samplers", short_help="Let samplers search the same; tables and curves.")
@click.argument("spec_file", metavar="SPEC", type=click.Path(path_type=Path))
@click.option("--samplers", required=True, metavar="A,B,…", help="Such as random,tpe,gp,ga.")
@click.option(
    "--seeds",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many studies of each sampler.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Of each study. [default: as in SPEC]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the report. [default: NAME_samplers]",
)
@storage_option
@SET
@WARM_START
@run_options
def study_compare_samplers(
    spec_file: Path,
    samplers: str,
    seeds: int,
    trials: int | None,
    out: Path | None,
    storage: str | None,
    overrides: tuple[str, ...],
    sources: tuple[str, ...],
    device: str,
    data_dir: Path | None,
) -> None:
    """Let several samplers search what SPEC describes, with the same seeds, and report.

    Each sampler and seed is a study of its own, "NAME/tpe/0": the same command goes on where it
    was stopped. The report is a table and curves of the best value against evaluations and
    against seconds, in Markdown and PNG; the first sampler is what the others are compared with.
    Old studies serve meta and, with another sampler after the first trials, meta+tpe or meta+gp;
    the others start without.

    \b
    Examples:
      optuna_evo study compare-samplers studies/digits_optimizer.toml \\
          --samplers random,tpe,ga --seeds 3 --trials 40
      optuna_evo study compare-samplers SPEC.toml --samplers tpe,meta,meta+tpe --warm-start auto
    """
    from optuna_evo.reports import comparison_markdown
    from optuna_evo.reports import comparison_table
    from optuna_evo.reports import ComparisonProgress
    from optuna_evo.reports import draw_comparison
    from optuna_evo.spec import load_spec
    from optuna_evo.study import comparison_specs
    from optuna_evo.study import count_finished
    from optuna_evo.study import read_comparison
    from optuna_evo.study import run_comparison

    quiet_optuna()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    spec = with_sources(load_spec(spec_file, overrides=overrides), sources)
    if trials is not None:
        spec = dataclasses.replace(spec, n_trials=trials)
    specs = comparison_specs(spec, samplers.split(","), seeds)
    reader = source_reader(spec, storage)
    opened = open_database(storage, create=True)
    console = new_console()
    counts = {
        "n_trials": len(specs) * seeds * spec.n_trials,
        "n_done": count_finished(specs, opened),
    }
    progress = ComparisonProgress(**counts, console=console)
    with print_source_warnings(), progress:
        run_comparison(
            specs,
            opened,
            device=device,
            data_dir=data_dir,
            listener=progress.study,
            reader=reader,
        )
    for each in (spec for by_seed in specs.values() for spec in by_seed):
        remember_parts(each, storage)
    comparison = read_comparison(spec.name, specs, opened)
    console.print(comparison_table(comparison))
    folder = out or Path(f"{file_stem(spec.name)}_samplers")
    folder.mkdir(parents=True, exist_ok=True)
    draw_comparison(comparison, folder / "comparison.png")
    report = comparison_markdown(comparison, image="comparison.png")
    write_text(folder / "comparison.md", report)
    wrote = f"Wrote {folder / 'comparison.md'} and {folder / 'comparison.png'}."
    click.echo(printable(wrote))

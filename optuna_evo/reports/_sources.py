"""The sources of a warm start, and how much they helped."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
from rich.console import Group
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.errors import OptunaEvoError
from optuna_evo.reports._summary import best_trials
from optuna_evo.reports._terminal import plain
from optuna_evo.warm_start import read_references
from optuna_evo.warm_start import read_weights
from optuna_evo.warm_start import Reference
from optuna_evo.warm_start import SourceReader


__all__ = ["Proposals", "SourceRow", "sources_panel", "summarise_sources", "SourcesSummary"]

_PORTFOLIO, _PRIOR = "portfolio", "prior"


class SourceRow(NamedTuple):
    """One source.

    Args:
        name: Its reference.
        n_trials: Its trials that are learned from; None if it cannot be read.
        shared: Parameters that it has in common with the study.
        weight: Its weight at the end of the last run, in [0, 1]; None before any run.
        problem: Why it cannot be read; empty if it can.
    """

    name: str
    n_trials: int | None
    shared: Sequence[str]
    weight: float | None
    problem: str


class Proposals(NamedTuple):
    """The complete trials that one part of the sampler proposed.

    Args:
        by: "portfolio", "prior", "base", "random", or a part of the base sampler.
        n_trials: Number of those trials.
        mean: Mean of their values.
        best: The best value among them.
        best_trial: Number of the first trial that reached it.
    """

    by: str
    n_trials: int
    mean: float
    best: float
    best_trial: int


class SourcesSummary(NamedTuple):
    """All sources of a study, and what each part of the sampler made of them.

    Args:
        n_parameters: Parameters of the study's space.
        rows: The sources.
        proposals: The parts of the sampler, in the order of their first trials.
        best: The part that proposed the best trial; None without complete trials.
        beaten: Of the complete trials to which no source contributed (neither portfolio nor prior
            proposed them), the share that the portfolio's best trial beats; None where there are
            no such trials, or no portfolio.
    """

    n_parameters: int
    rows: Sequence[SourceRow]
    proposals: Sequence[Proposals]
    best: Proposals | None
    beaten: float | None


def summarise_sources(
    study: optuna.Study, parameters: Iterable[str], reader: SourceReader
) -> SourcesSummary:
    """Compute which sources a study has, what proposed its trials, and how good those were.

    Args:
        study: The study.
        parameters: Names of all parameters of its space.
        reader: Reads the sources.
    """
    names, weights = set(parameters), read_weights(study)
    sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
    complete = best_trials(study, len(study.get_trials(deepcopy=False)))
    by: dict[str, list[FrozenTrial]] = {}
    for trial in sorted(complete, key=lambda t: t.number):
        # "genetic 2: offspring" (once ": litter") and "genetic 2: candidate" are one part
        part = str(PROPOSED_BY.read(trial.user_attrs, "sampler")).partition(":")[0]
        by.setdefault(part, []).append(trial)
    proposals = [_proposals(part, trials, sign) for part, trials in by.items()]
    portfolio = [p.best for p in proposals if p.by == _PORTFOLIO]
    without = [_value(t) for part in by.keys() - {_PORTFOLIO, _PRIOR} for t in by[part]]
    beaten = None
    if portfolio and without:
        beaten = float(np.mean([sign * portfolio[0] > sign * value for value in without]))
    return SourcesSummary(
        n_parameters=len(names),
        rows=[_row(r, names, weights, reader) for r in read_references(study)],
        proposals=proposals,
        best=next((p for p in proposals if p.best_trial == complete[0].number), None),
        beaten=beaten,
    )


def sources_panel(summary: SourcesSummary) -> RenderableType:
    """Draw the sources, and what each part of the sampler proposed."""
    parts: list[RenderableType] = [_source_table(summary)]
    if summary.proposals:
        parts.append(_proposal_table(summary.proposals))
    if summary.best is not None:
        where = f"trial {summary.best.best_trial} ({summary.best.by})"
        parts.append(plain(f"The best value, {summary.best.best:.4f}, is that of {where}."))
    if summary.beaten is not None:
        share = f"{100 * summary.beaten:.0f} %"
        parts.append(
            f"The portfolio's best trial beats {share} of the trials that neither portfolio nor "
            "prior proposed."
        )
    return Group(*parts)


def _row(
    reference: Reference, names: set[str], weights: Mapping[str, float], reader: SourceReader
) -> SourceRow:
    name = str(reference)
    weight = weights.get(name)
    try:
        source = reader.read(reference)
    except OptunaEvoError as error:
        # a row, not an error: the other sources can still be shown
        return SourceRow(name, None, [], weight, str(error))
    return SourceRow(name, len(source.losses), sorted(names & {*source.params}), weight, "")


def _proposals(part: str, trials: Sequence[FrozenTrial], sign: float) -> Proposals:
    # of equal values the earliest trial
    best = max(trials, key=lambda t: (sign * _value(t), -t.number))
    mean = float(np.mean([_value(trial) for trial in trials]))
    return Proposals(part, len(trials), mean, _value(best), best.number)


def _value(trial: FrozenTrial) -> float:
    assert trial.state == TrialState.COMPLETE and trial.value is not None
    return trial.value


def _source_table(summary: SourcesSummary) -> Table:
    table = Table(title="Sources of the warm start")
    table.add_column("source", overflow="fold")
    for column in ("trials", "parameters shared", "weight"):
        table.add_column(column, justify="right")
    for row in summary.rows:
        weight = "" if row.weight is None else f"{row.weight:.2f}"
        if row.n_trials is None:
            both = Text("\n").join([plain(row.name), plain(row.problem)])
            table.add_row(both, "unreadable", "", weight)
        else:
            shared = f"{len(row.shared)} of {summary.n_parameters}"
            table.add_row(plain(row.name), str(row.n_trials), shared, weight)
    return table


def _proposal_table(proposals: Sequence[Proposals]) -> Table:
    table = Table(title="What proposed the complete trials")
    table.add_column("part")
    for column in ("trials", "mean value", "best value", "in trial"):
        table.add_column(column, justify="right")
    for p in proposals:
        table.add_row(
            plain(p.by), str(p.n_trials), f"{p.mean:.4f}", f"{p.best:.4f}", str(p.best_trial)
        )
    return table

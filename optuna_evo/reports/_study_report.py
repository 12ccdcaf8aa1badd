"""All that a report of a study shows, computed before anything is drawn."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import TYPE_CHECKING

import optuna
from rich.console import RenderableType

from optuna_evo.evaluation import JudgeRow
from optuna_evo.reports._cost import Cost
from optuna_evo.reports._cost import cost_of
from optuna_evo.reports._importance import importance_of
from optuna_evo.reports._kinship import Kin
from optuna_evo.reports._kinship import kinship
from optuna_evo.reports._lineage import Lineages
from optuna_evo.reports._lineage import summarise_lineages
from optuna_evo.reports._summary import StudySummary
from optuna_evo.reports._summary import summarise
from optuna_evo.reports._tuning import tuning_course
from optuna_evo.reports._tuning import TuningCourse
from optuna_evo.reports._usage import Usage
from optuna_evo.reports._usage import usage_of


if TYPE_CHECKING:
    from optuna_evo.meta_training import ControllerTrace

__all__ = ["compute_report", "Repeat", "StudyReport"]


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """How a study is done again.

    Args:
        spec: Its spec, as a TOML file.
        file: What the file is to be called.
        commands: Command lines, in their order.
        runs: What its runs recorded: date, command, commit, versions; the first run first.
        now: The same of the machine that made the report.
    """

    spec: str
    file: str
    commands: Sequence[str]
    runs: Sequence[Mapping[str, Any]] = ()
    now: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A study as a report shows it; what a study does not have is None or empty.

    Args:
        summary: At a glance.
        about: What it is, as pairs of a word and a text.
        course: Trial by trial.
        usage: What its trials use, as it goes on.
        importance: Parameters with their importance, the first being the largest.
        kin: The ancestors of the best trial by breeding.
        lineages: The lineages of population-based training.
        judgement: What the judge measured, the judged optimizer first.
        judge_table: The same as it is drawn in a terminal.
        final: What the final training measured on test data, by name.
        controller: What the best controller does over a run.
        cost: What it took.
        repeat: How to do it again.
    """

    summary: StudySummary
    about: Sequence[tuple[str, str]]
    course: TuningCourse
    usage: Usage | None
    importance: Mapping[str, float]
    kin: Sequence[Kin]
    lineages: Lineages | None
    judgement: Sequence[JudgeRow]
    judge_table: RenderableType | None
    final: Mapping[str, float]
    controller: "ControllerTrace | None"
    cost: Cost
    repeat: Repeat


def compute_report(
    study: optuna.Study,
    configure: Callable[[Any], Any],
    *,
    about: Sequence[tuple[str, str]],
    repeat: Repeat,
    winner: int | None = None,
    judgement: Sequence[JudgeRow] = (),
    judge_table: RenderableType | None = None,
    final: Mapping[str, float] | None = None,
    controller: "ControllerTrace | None" = None,
    spent: str | None = None,
) -> StudyReport:
    """Compute a report from the trials of a study, and what only its spec tells.

    Args:
        study: A study with at least one complete trial.
        configure: Its search space, which rebuilds what a trial trained with.
        about: See `StudyReport`.
        repeat: See `StudyReport`.
        winner: Number of the trial whose lineage is the winning one, for a study of lineages.
        judgement: See `StudyReport`.
        judge_table: See `StudyReport`.
        final: See `StudyReport`.
        controller: See `StudyReport`.
        spent: What trials cost, where that counts; see `optuna_evo.spec.ObjectiveSpec`.
    """
    trials = study.get_trials(deepcopy=False)
    summary = summarise(study, configure)
    best = -1 if summary.best is None else summary.best.number
    return StudyReport(
        summary=summary,
        about=about,
        course=tuning_course(study, predict=False, cost=spent),
        usage=usage_of(trials, configure),
        importance=importance_of(study),
        kin=kinship(trials, best),
        lineages=None if winner is None else summarise_lineages(study, winner),
        judgement=judgement,
        judge_table=judge_table,
        final=final or {},
        controller=controller,
        cost=cost_of(trials),
        repeat=repeat,
    )

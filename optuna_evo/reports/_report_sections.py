"""A report as sections of texts, code, tables and pictures: the same for HTML and Markdown."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from pathlib import Path
from typing import NamedTuple
from typing import TYPE_CHECKING
from typing import TypeVar

from optuna_evo.reports._controller_figures import analyse_trace
from optuna_evo.reports._controller_figures import analysis_line
from optuna_evo.reports._controller_figures import draw_controller
from optuna_evo.reports._cost import cost_lines
from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._grid import Grid
from optuna_evo.reports._grid import grids_of
from optuna_evo.reports._judge_figure import draw_judgement
from optuna_evo.reports._report_figures import best_picture
from optuna_evo.reports._report_figures import importance_picture
from optuna_evo.reports._report_figures import kinship_picture
from optuna_evo.reports._report_figures import lineage_picture
from optuna_evo.reports._report_figures import population_picture
from optuna_evo.reports._report_figures import schedule_picture
from optuna_evo.reports._report_figures import tasks_picture
from optuna_evo.reports._report_figures import usage_picture
from optuna_evo.reports._study_report import StudyReport
from optuna_evo.reports._terminal import study_panel


if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Code", "Pairs", "Picture", "Section", "sections_of"]


_T = TypeVar("_T")


class Code(NamedTuple):
    """A block that is shown as it is."""

    text: str


class Pairs(NamedTuple):
    """Words with what they say."""

    pairs: Sequence[tuple[str, str]]


class Picture(NamedTuple):
    """A picture: what its file is called, what it shows, and what writes it to a file."""

    name: str
    shows: str
    draw: Callable[[Path], None]


Part = str | Code | Pairs | Picture | Grid


class Section(NamedTuple):
    """A part of a report under a title of its own."""

    title: str
    parts: Sequence[Part]


def sections_of(report: StudyReport) -> list[Section]:
    """Return what there is to show of a study, in the order of reading."""
    found = [
        _best(report),
        _course(report),
        _population(report),
        _lineages(report),
        _judgement(report),
        _controller(report),
        Section("What it cost", [Pairs(cost_lines(report.cost))]),
        _repeat(report),
    ]
    return [section for section in found if section.parts]


def _best(report: StudyReport) -> Section:
    summary, best = report.summary, report.summary.best
    counts = ", ".join(f"{n} {state}" for state, n in summary.counts.items() if n)
    parts: list[Part] = [Pairs([*report.about, ("trials", counts)])]
    if best is not None:
        shown = (summary.equation, summary.training, summary.notes)
        parts += [f"Trial {best.number}, value {best.value:.6g}."]
        parts += [Code("\n".join(filter(None, shown)))]
    tables = [*grids_of(study_panel(summary))]
    parts += tables[:1] if summary.accuracies else []
    if report.final:
        measured = [(name, f"{value:.4f}") for name, value in report.final.items()]
        parts += ["Trained once more, and measured once on test rows:", Pairs(measured)]
    return Section("The best", parts)


def _course(report: StudyReport) -> Section:
    course = report.course
    parts: list[Part] = []
    if course.values:
        parts.append(
            _picture("best", "value of each trial and the best so far", best_picture, course)
        )
    tasks = tasks_picture(course, report.judgement, report.final)
    if tasks is not None:
        how = "Dots and the line are measured on validation rows"
        how += ", bands on test rows with 95 % intervals." if report.judgement else "."
        parts += [how, _drawn("tasks", "accuracy by task, trial by trial", tasks)]
    if report.importance:
        shows = "importance of each parameter"
        parts += [
            "What the value depends on, among the parameters:",
            _picture("importance", shows, importance_picture, report.importance),
        ]
    return Section("The course of the search", parts)


def _population(report: StudyReport) -> Section:
    course = report.course
    parts: list[Part] = []
    if len(course.generations) > 1:
        drawn = population_picture(course.generations, course.better)
        parts.append(_drawn("population", "values by generation", drawn))
    if report.usage is not None:
        shows = "what the trials use, as the search goes on"
        parts += [
            "Which share of the trials uses what, in percent:",
            _picture("usage", shows, usage_picture, report.usage),
        ]
    tables = [*grids_of(study_panel(report.summary))]
    if report.summary.generations:
        parts.append(tables[-1])
    return Section("Population", parts)


def _lineages(report: StudyReport) -> Section:
    parts: list[Part] = []
    if report.kin:
        parts += [
            f"The best trial has {len(report.kin) - 1} ancestors; lines join parents, children.",
            _picture("kinship", "ancestors of the best trial", kinship_picture, report.kin),
        ]
    if report.lineages is not None and report.lineages.winning:
        line = " → ".join(str(node.number) for node in report.lineages.winning[-40:])
        parts += [
            f"The winner's weights went through the trials {line}.",
            _picture(
                "lineage", "lineages, the winner's set off", lineage_picture, report.lineages
            ),
        ]
        schedule = schedule_picture(report.lineages)
        if schedule is not None:
            shows = "hyperparameters along the winner's lineage"
            parts += ["The schedule that it found:", _drawn("schedule", shows, schedule)]
    return Section("Lineage", parts)


def _judgement(report: StudyReport) -> Section:
    parts: list[Part] = []
    if report.judgement:
        draw = functools.partial(draw_judgement, report.judgement, title="")
        parts.append(Picture("judged", "test accuracy with 95 % intervals", draw))
    if report.judge_table is not None:
        parts += grids_of(report.judge_table)
    return Section("The judge", parts)


def _controller(report: StudyReport) -> Section:
    if report.controller is None:
        return Section("", [])
    found = report.controller
    lines = [analysis_line(each, analysis) for each, analysis in analyse_trace(found).items()]
    draw = functools.partial(draw_controller, found)
    parts: list[Part] = [
        *lines,
        Picture("controller", "what the controller does over a run", draw),
    ]
    return Section("The controller", parts)


def _repeat(report: StudyReport) -> Section:
    repeat = report.repeat
    parts: list[Part] = [
        f"Save this as {repeat.file}:",
        Code(repeat.spec),
        "and run it:",
        Code("\n".join(repeat.commands)),
    ]
    columns = [*dict.fromkeys(key for run in repeat.runs for key in run)]
    if repeat.runs:
        parts.append("What its runs recorded:")
        parts += [
            Pairs([(key, str(run[key])) for key in columns if run.get(key)]) for run in repeat.runs
        ]
    else:
        parts.append("Its runs recorded no command and no versions: an earlier version made them.")
    parts += ["This report was made with:", Pairs([(k, str(v)) for k, v in repeat.now.items()])]
    return Section("How to repeat it", parts)


def _picture(name: str, shows: str, draw: "Callable[[_T], Figure]", what: _T) -> Picture:
    return Picture(name, shows, lambda path: save_figure(draw(what), path))


def _drawn(name: str, shows: str, figure: "Figure") -> Picture:
    return Picture(name, shows, lambda path: save_figure(figure, path))

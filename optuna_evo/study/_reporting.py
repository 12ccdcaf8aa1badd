"""From a stored study to its report: what the trials tell, and what only the spec knows."""

from collections.abc import Callable
import contextlib
from typing import Any
from typing import TYPE_CHECKING

from rich.console import RenderableType

from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import JudgeRow
from optuna_evo.names import file_stem
from optuna_evo.names import quoted
from optuna_evo.objectives import kind_of
from optuna_evo.reports import compute_report
from optuna_evo.reports import judge_table
from optuna_evo.reports import Repeat
from optuna_evo.reports import StudyReport
from optuna_evo.search import best_of
from optuna_evo.search import FINISHED
from optuna_evo.search import living
from optuna_evo.spec import as_toml
from optuna_evo.study._parts import build_space
from optuna_evo.study._run import best_trial
from optuna_evo.study._run import final_metrics
from optuna_evo.study._run import stored_judgement
from optuna_evo.study._runs import here
from optuna_evo.study._runs import runs_of
from optuna_evo.study._stored import StoredStudy
from optuna_evo.study._trained import trace_best


if TYPE_CHECKING:
    from optuna_evo.meta_training import ControllerTrace

__all__ = ["about", "judgement_of", "space_of", "study_report", "winning_trial"]


def study_report(stored: StoredStudy) -> StudyReport:
    """Compute all that a report of a study shows.

    Raises:
        UsageError: If no trial is complete yet.
    """
    best_trial(stored)
    rows, table = judgement_of(stored)
    file = f"{file_stem(stored.spec.name)}.toml"
    commands = [f"optuna_evo study run {quoted(file)}"]
    if rows:
        commands.append(f"optuna_evo study judge {quoted(stored.spec.name)}")
    return compute_report(
        stored.study,
        space_of(stored),
        about=about(stored),
        repeat=Repeat(
            spec=as_toml(stored.spec.to_dict()),
            file=file,
            commands=commands,
            runs=runs_of(stored),
            now=here(),
        ),
        winner=winning_trial(stored),
        judgement=rows,
        judge_table=table,
        final=final_metrics(stored),
        controller=_controller(stored),
        spent=stored.spec.objective.cost,
    )


def space_of(stored: StoredStudy) -> Callable[[Any], Any]:
    """Return what rebuilds the configuration of a trial; None of one that cannot be rebuilt.

    A space of somebody else's code is not run for a look at a study: then parameters are shown.
    """
    try:
        space = build_space(stored.spec)
    except OptunaEvoError:
        return lambda trial: None

    def configure(trial: Any) -> Any:
        with contextlib.suppress(Exception):  # a trial that failed before its space was through
            return space(trial)
        return None

    return configure


def about(stored: StoredStudy) -> list[tuple[str, str]]:
    """Say in a few words what a study is."""
    spec = stored.spec
    parts = [("objective", f"{spec.objective.name} (to {spec.direction})")]
    if spec.tasks:
        parts.append(("tasks", ", ".join(spec.tasks)))
    for word, part in (("space", spec.space), ("sampler", spec.sampler), ("pruner", spec.pruner)):
        options = ", ".join(f"{key} {value}" for key, value in part.options.items())
        if part.name not in (spec.objective.name, "none"):
            parts.append((word, f"{part.name} ({options})" if options else part.name))
    parts.append(("length", f"{spec.n_trials} trials, seed {spec.seed}"))
    if hasattr(kind_of(spec), "trains_segments"):
        epochs = spec.trainer.epochs
        each = f"{epochs:g} epochs" if epochs else f"{spec.trainer.steps} optimizer steps"
        parts.append(("each training", each))
    if spec.warm_start:
        parts.append(("starts from", ", ".join(spec.warm_start)))
    return parts


def judgement_of(stored: StoredStudy) -> tuple[list[JudgeRow], RenderableType | None]:
    """Return the rows of the last judgement and the table of them; empty and None without one."""
    try:
        rows = stored_judgement(stored)
    except OptunaEvoError:  # damaged, or of a rule that cannot be built here
        rows = None
    if not rows:
        return [], None
    n_trials = len(stored.study.get_trials(deepcopy=False, states=FINISHED))
    return rows, judge_table(rows, n_trials=n_trials, steps=stored.spec.trainer.steps)


def winning_trial(stored: StoredStudy) -> int | None:
    """Return the number of the trial whose lineage is the winning one; None without lineages."""
    if not kind_of(stored.spec).has_lineages:
        return None
    trials = stored.study.get_trials(deepcopy=False)
    inherit = stored.spec.lineage.inherit
    alive = living(trials, inherit=inherit, direction=stored.study.direction)
    best = best_of(alive, stored.study.direction)
    return None if best is None else best.number


def _controller(stored: StoredStudy) -> "ControllerTrace | None":
    if not kind_of(stored.spec).trains_controllers:
        return None
    with contextlib.suppress(UsageError):  # the best is a genome
        return trace_best(stored)
    return None

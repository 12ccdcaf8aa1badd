"""The two or three commands that make sense after a command: look, judge, export, go on."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna_evo.attributes import JUDGEMENT
from optuna_evo.names import file_stem
from optuna_evo.names import quoted
from optuna_evo.objectives import kind_of
from optuna_evo.reports import best_trials
from optuna_evo.search import FINISHED
from optuna_evo.study._stored import StoredStudy


__all__ = ["controller_lines", "next_lines", "state_of", "StudyState"]

_MOST_LINES = 3


@dataclass(frozen=True, kw_only=True)
class StudyState:
    """What of a study decides which commands make sense now.

    Args:
        name: Its name.
        n_left: Trials that are not finished yet.
        has_best: Whether a trial is complete.
        compares_optimizers: Whether the judge can compare its best rule.
        is_judged: Whether it has a judgement.
        has_lineages: Whether its trials go on from others' weights.
        trains_controllers: Whether its trials meta-train controllers.
        has_genomes: Whether its trials are update rules, so that the best can be a program.
        has_sources: Whether it starts from other studies.
        is_known: Whether more than its name is known.
    """

    name: str
    n_left: int = 0
    has_best: bool = True
    compares_optimizers: bool = False
    is_judged: bool = False
    has_lineages: bool = False
    trains_controllers: bool = False
    has_genomes: bool = False
    has_sources: bool = False
    is_known: bool = True


def state_of(stored: StoredStudy) -> StudyState:
    """Return what of a study decides which commands make sense now."""
    kind, spec = kind_of(stored.spec), stored.spec
    trials = stored.study.get_trials(deepcopy=False, states=FINISHED)
    return StudyState(
        name=spec.name,
        n_left=max(0, spec.n_trials - len(trials)),
        has_best=bool(best_trials(stored.study, 1)),  # a feasible one
        compares_optimizers=kind.compares_optimizers,
        is_judged=bool(JUDGEMENT.read(stored.study.user_attrs)),
        has_lineages=kind.has_lineages,
        trains_controllers=kind.trains_controllers,
        has_genomes=spec.space.name == "genome" and kind.compares_optimizers,
        has_sources=bool(spec.warm_start),
    )


def next_lines(command: str, state: StudyState | None, *, storage: str | None = None) -> list[str]:
    """Return the command lines that make sense after a command, each with a word on what it does.

    Args:
        command: What was done: "run", "judge", "dashboard", …
        state: The study that it was done with; None: it was about no study, or that is gone.
        storage: What --storage is to say; None: it is not needed.

    Example:
        >>> next_lines("show", StudyState(name="mine", n_left=3))[0]
        'optuna_evo study run mine             # go on: 3 trials are left'
    """
    found = [(c, line, why) for c, line, why in _candidates(state, storage) if c != command]
    chosen = [(line, why) for _, line, why in found[:_MOST_LINES]]
    width = max((len(line) for line, _ in chosen), default=0)
    return [f"{line:{width}}  # {why}" for line, why in chosen]


def controller_lines(command: str, name: str | None) -> list[str]:
    """Return the command lines that make sense after one about learned optimizers.

    Args:
        command: "list", "show" or "meta-train".
        name: A name of the package, or a folder; None: there is none.
    """
    which = "" if name is None else quoted(name)
    end = f"-- {which}" if (name or "").startswith("-") else which
    pairs = [
        ("show", f"optuna_evo optimizer show {end}", "what it is, and how it was made"),
        ("figure", f"optuna_evo optimizer show --figure figure.png {end}", "what it does"),
        ("list", "optuna_evo optimizer list", "those of the package"),
    ]
    wanted = {"show": ("figure", "list"), "list": ("show", "figure")}
    chosen = wanted.get(command, ("show", "figure")) if name is not None else ()
    found = [(line, why) for key, line, why in pairs if key in chosen]
    width = max((len(line) for line, _ in found), default=0)
    return [f"{line:{width}}  # {why}" for line, why in found]


def _candidates(state: StudyState | None, storage: str | None) -> Sequence[tuple[str, str, str]]:
    """Return commands, what to type, and why, the most useful first."""

    def line(command: str, options: str = "") -> str:
        where = f" --storage {quoted(storage)}" if storage else ""
        name = "" if state is None else quoted(state.name)
        # a name that looks like an option comes last, behind what says that it is none
        if state is not None and state.name.startswith("-"):
            return f"optuna_evo study {command}{options}{where} -- {name}"
        return f"optuna_evo study {command} {name}".rstrip() + options + where

    dashboard = "optuna_evo dashboard" + (f" --storage {quoted(storage)}" if storage else "")
    look = ("dashboard", dashboard, "all of it in the browser")
    if state is None:
        return [("list", line("list"), "the studies of the database"), look]
    if not state.is_known:
        return [("show", line("show"), "the best, in the terminal"), look]
    found = []
    if state.n_left:
        n = f"{state.n_left} trial{'s are' if state.n_left > 1 else ' is'} left"
        found.append(("run", line("run"), f"go on: {n}" if state.has_best else n))
    if not state.has_best:
        return [*found, ("status", line("status"), "workers, failures, the time left"), look]
    if state.compares_optimizers and not state.is_judged and not state.n_left:
        found.append(("judge", line("judge"), "against tuned optimizers, on test data"))
    page = quoted(f"{file_stem(state.name)}.html")
    if state.has_lineages:
        found.append(("lineage", line("lineage"), "which trials trained the best model"))
    found.append(("report", line("report", f" -o {page}"), "the whole course, in one file"))
    if state.has_lineages:
        options = " --weights model --schedule schedule.json"
        found.append(("export", line("export", options), "the model, and what trained it"))
    elif state.trains_controllers:
        options = " --controller controller"
        found.append(("export", line("export", options), "the learned optimizer"))
    elif state.has_genomes:
        found.append(("export", line("export", " -o rule.py"), "the rule, in plain PyTorch"))
    else:
        found.append(("export", line("export", " -o best.json"), "the best parameters"))
    if state.has_sources:
        found.append(("sources", line("sources"), "what it starts from, and how that helped"))
    return [*found, look, ("show", line("show"), "the best, in the terminal")]

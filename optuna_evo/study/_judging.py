"""Judge what a stored study found, and find what was judged of it."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna_evo.attributes import JUDGED
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import VERDICT
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import AGAINST
from optuna_evo.evaluation import Book
from optuna_evo.evaluation import judge
from optuna_evo.evaluation import JUDGE_PART
from optuna_evo.evaluation import Judgement
from optuna_evo.evaluation import optimizer_of
from optuna_evo.evaluation import parse_workload
from optuna_evo.evaluation import unseen_workloads
from optuna_evo.evaluation import Workload
from optuna_evo.objectives import kind_of
from optuna_evo.objectives import pick_device
from optuna_evo.reports import best_trials
from optuna_evo.search import FINISHED
from optuna_evo.search import open_study
from optuna_evo.search import study_names
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_space
from optuna_evo.study._run import best_trial
from optuna_evo.study._stored import StoredStudy


__all__ = ["judge_stored", "last_judgement"]

_MOST_LOOKED_AT = 200  # of the best trials, for candidates that differ


def judge_stored(
    stored: StoredStudy,
    *,
    what: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    against: Sequence[str] = AGAINST,
    top: int = 5,
    device: str = "auto",
    on_run: Callable[[int, int], None] | None = None,
    **terms: Any,
) -> Judgement:
    """Judge the best of a study beside tuned optimizers, and write the record.

    Args:
        stored: A study that searches over optimizers.
        what: Judge this in place of what the study found, on the study's tasks: see `judge`.
        tasks: Unseen tasks; None: other data, another width and five times the steps.
        against: As of `judge`.
        top: How many of the best optimizers are measured again on other tasks with fresh seeds,
            before one is named the winner; >= 1.
        device: As in `run_study`.
        on_run: Called with the trainings done and of all trainings.
        terms: Further arguments of `judge`.

    Raises:
        UsageError: If no trial is complete, the study searches over no optimizers, or as `judge`.
    """
    spec = stored.spec
    if not kind_of(spec).compares_optimizers:
        raise UsageError(
            f"Study {spec.name!r} has the objective {spec.objective.name!r}; what is judged are "
            'the optimizers of studies with objective.name = "fitness".'
        )
    if top < 1:
        raise UsageError(f"`top` must be at least 1, got {top}.")
    candidates = _best_optimizers(stored, top) if what is None else [optimizer_of(what)]
    own = _own_workloads(stored)
    if tasks is None:
        unseen = unseen_workloads(own)
    else:
        unseen = [parse_workload(task, steps=spec.trainer.steps) for task in tasks]
        _check_unseen(unseen, own)
    of = spec.name if what is None else f"{spec.name}{JUDGE_PART} of {Path(what).name}"
    found = judge(
        candidates,
        own,
        steps=spec.trainer.steps,
        unseen=unseen,
        against=against,
        storage=stored.study._storage,
        name=of,
        label="evolved" if what is None else Path(what).stem,
        search_cost=_search_cost(stored) if what is None else None,
        device=pick_device(device),
        numbers=spec.trainer.precision,
        trainer=spec.trainer.kind,
        on_run=on_run,
        **terms,
    )
    record = found.to_dict()
    for table in record["tables"].values():
        del table["rows"]  # the trainings stand in their studies
    Book(stored.study._storage, of).root().set_user_attr(VERDICT.key, record)
    return found


def last_judgement(stored: StoredStudy) -> dict[str, Any] | None:
    """Return the record of the last judgement of a study; None if there is none."""
    storage = stored.study._storage
    name = Book(storage, stored.spec.name).root_name
    if name not in study_names(storage):
        return None
    study = open_study(name, storage)
    if JUDGED.read(study.user_attrs) != {"of": stored.spec.name}:
        return None  # somebody else's study of that name
    found = VERDICT.read(study.user_attrs)
    return dict(found) if isinstance(found, dict) else None


def _best_optimizers(stored: StoredStudy, n: int) -> list[OptimizerConfig]:
    """Return the best optimizers that differ, the best first; at least one."""
    best_trial(stored)  # says so if there is none
    space = build_space(stored.spec)
    found: dict[str, OptimizerConfig] = {}
    for trial in best_trials(stored.study, _MOST_LOOKED_AT):
        config = space(trial)
        if isinstance(config, TrainingConfig):
            found.setdefault(config.optimizer.fingerprint(), config.optimizer)
    if not found:
        raise UsageError(f"Study {stored.spec.name!r} searches over no optimizers.")
    return list(found.values())[:n]


def _own_workloads(stored: StoredStudy) -> list[Workload]:
    spec = stored.spec
    objective: Any = build_objective(spec, device="cpu")
    options = [f"{key}={value}" for key, value in sorted(spec.task.items())]
    return [
        Workload(name="+".join([name, *options]), task=task, steps=spec.trainer.steps)
        for name, task in zip(spec.tasks, objective.tasks, strict=True)
    ]


def _check_unseen(unseen: Sequence[Workload], own: Sequence[Workload]) -> None:
    seen = {workload.name for workload in own}
    if known := [workload.name for workload in unseen if workload.name in seen]:
        raise UsageError(
            f"The study was searched on {known[0]!r}, so it is no unseen task: name another one, "
            f"or vary it, such as {known[0]}+steps=5x."
        )


def _search_cost(stored: StoredStudy) -> float:
    """Return what the search trained, in trainings of its own length."""
    objective: Any = build_objective(stored.spec, device="cpu")
    n_cells = len(objective.tasks) * len(objective.seeds)
    trials = stored.study.get_trials(deepcopy=False, states=FINISHED)
    shares = [
        len(trial.intermediate_values) / objective.n_reports
        for trial in trials
        if not REUSED_FROM.is_in(trial.user_attrs)
    ]
    return float(n_cells * sum(shares))

"""Run a stored study, end it, and show what it found."""

from collections.abc import Callable
import math
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import FINAL
from optuna_evo.attributes import JUDGEMENT
from optuna_evo.attributes import META_FEATURES
from optuna_evo.config import EstimatorConfig
from optuna_evo.config import optimizer_to_dict
from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import StorageError
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import JudgeRow
from optuna_evo.evaluation import quick_judge
from optuna_evo.names import quoted
from optuna_evo.objectives import kind_of
from optuna_evo.reports import best_trials
from optuna_evo.rules import Genome
from optuna_evo.samplers import cost_of
from optuna_evo.samplers import is_feasible
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.search import Lineage
from optuna_evo.search import Listener
from optuna_evo.search import search
from optuna_evo.study._environment import note_environment
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_space
from optuna_evo.study._stored import checkpoints_of
from optuna_evo.study._stored import mark_schema
from optuna_evo.study._stored import StoredStudy
from optuna_evo.warm_start import write_weights


__all__ = [
    "best_genome",
    "best_settings",
    "best_trial",
    "final_metrics",
    "judge_study",
    "run_study",
    "stored_judgement",
    "train_best",
]


def run_study(
    stored: StoredStudy,
    *,
    n_more: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    checkpoints: str | None = None,
    listener: Listener | None = None,
) -> int:
    """Go on with a study until its spec's number of trials is finished.

    Args:
        stored: The study.
        n_more: At most so many trials now; None: all that are left.
        timeout: Seconds after which no new trial is begun.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ….
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        checkpoints: Where checkpoints lie (see `LineageSpec`); None: where the spec says.
        listener: Follows what happens.

    Returns:
        The number of trials finished by this call.
    """
    spec = stored.spec
    objective: Any = build_objective(spec, device=device, data_dir=data_dir)
    inheritance = None
    if kind_of(spec).has_lineages:
        store = checkpoints_of(stored, checkpoints)
        inheritance = Lineage(stored.study, objective, store, inherit=spec.lineage.inherit)
        inheritance.clean_up()  # after a process that was killed
    _check_cost(stored)
    mark_schema(stored.study)
    note_environment(stored, device=device)
    _write_meta_features(stored, objective)
    n_done = search(
        stored.study,
        space=build_space(spec),
        objective=objective,
        n_trials=spec.n_trials,
        n_more=n_more,
        timeout=timeout,
        batch_size=spec.batch_size,
        listener=listener,
        inheritance=inheritance,
    )
    if isinstance(stored.study.sampler, MetaPriorSampler):
        write_weights(stored.study, stored.study.sampler)
    _check_cost(stored)
    return n_done


def _check_cost(stored: StoredStudy) -> None:
    """Raise if trials are to have a cost and none of the complete ones has.

    Raises:
        UsageError: With how to give them one.
    """
    cost = stored.spec.objective.cost
    trials = stored.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if cost is None or not trials or any(not math.isnan(cost_of(t, cost)) for t in trials):
        return
    raise UsageError(
        f"`objective.cost` is {cost!r}, but no complete trial of study {stored.spec.name!r} has a "
        f"positive number as user attribute {cost!r}: set it by trial.set_user_attr, or make a "
        'study with objective.cost = "seconds".'
    )


def _write_meta_features(stored: StoredStudy, objective: Any) -> None:
    """Write what is known about the task on the study, for studies that will start from it."""
    if META_FEATURES.is_in(stored.study.user_attrs):
        return
    if features := kind_of(stored.spec).describe(objective):
        stored.study.set_user_attr(META_FEATURES.key, dict(features))


def best_genome(stored: StoredStudy) -> Genome:
    """Return the genome of the best complete trial; raises like `best_trial`."""
    return _best_config(stored).genome


def best_optimizer(stored: StoredStudy) -> OptimizerConfig:
    """Return the optimizer of the best complete trial; raises like `best_trial`."""
    return _best_config(stored).optimizer


def _best_config(stored: StoredStudy) -> TrainingConfig:
    config = build_space(stored.spec)(best_trial(stored))
    if not isinstance(config, TrainingConfig):
        what = "estimators" if isinstance(config, EstimatorConfig) else "parameters of its own"
        raise UsageError(f"Study {stored.spec.name!r} searches over {what}, not over optimizers.")
    return config


def best_settings(stored: StoredStudy) -> dict[str, Any]:
    """Return the best optimizer as plain types; the best parameters where none was searched.

    Raises:
        UsageError: If no trial is complete yet.
    """
    best = best_trial(stored)
    config = build_space(stored.spec)(best)
    if not isinstance(config, TrainingConfig):
        return dict(best.params)
    if isinstance(config.optimizer, Genome):
        return config.optimizer.to_dict()
    return optimizer_to_dict(config.optimizer)


def best_trial(stored: StoredStudy) -> FrozenTrial:
    """Return the best complete trial.

    Raises:
        UsageError: If no trial is complete yet, or none of them meets its constraints.
    """
    best = best_trials(stored.study, 1)
    if not best:
        complete = stored.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if complete and not any(map(is_feasible, complete)):
            raise UsageError(
                f"Study {stored.spec.name!r} has no feasible trial yet: each of the "
                f"{len(complete)} complete ones has a constraint above 0. Give it more trials, or "
                "a space in which the constraints can be met."
            )
        raise UsageError(
            f"Study {stored.spec.name!r} has no complete trial yet: "
            f"optuna_evo study run {quoted(stored.spec.name)}."
        )
    return best[0]


def judge_study(
    stored: StoredStudy,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    on_run: Callable[[int, int], None] | None = None,
) -> list[JudgeRow]:
    """Compare the best genome with classic optimizers on test data and write the rows on it.

    Args:
        stored: The study.
        device: As in `run_study`.
        data_dir: As in `run_study`.
        on_run: Called with the trainings done and to be done.
    """
    if not kind_of(stored.spec).compares_optimizers:
        raise UsageError('The comparison of optimizers goes with objective.name = "fitness".')
    objective: Any = build_objective(stored.spec, device=device, data_dir=data_dir)
    rows = quick_judge(
        best_optimizer(stored),
        objective,
        seeds=max(1, stored.spec.judge.seeds),
        tuning_trials=stored.spec.judge.tuning_trials,
        seed=stored.spec.seed,
        on_run=on_run,
    )
    stored.study.set_user_attr(JUDGEMENT.key, [row.to_dict() for row in rows])
    return rows


def train_best(
    stored: StoredStudy, *, device: str = "auto", data_dir: Path | None = None
) -> float:
    """Train the best configuration on all rows but the test's and measure it on those, once.

    What was measured is written on the study; while the best trial stays the best, it is not
    measured again. Where there are several metrics, all are written and the objective's is
    returned.

    Args:
        stored: A study whose objective knows test data.
        device: As in `run_study`.
        data_dir: As in `run_study`.

    Returns:
        The metric on the test split; NaN if the training diverged.

    Raises:
        UsageError: If the objective has no final training, or no trial is complete.
    """
    best = best_trial(stored)
    known = FINAL.read(stored.study.user_attrs, {})
    if known.get("trial") == best.number:
        return float(known["test_metric"])
    objective = build_objective(stored.spec, device=device, data_dir=data_dir)
    config = build_space(stored.spec)(best)
    result = kind_of(stored.spec).final(stored.spec, objective, config)
    measured: dict[str, Any] = {"trial": best.number, "test_metric": result.metric}
    measured |= {"test_metrics": dict(result.metrics)} if result.metrics else {}
    measured |= {"train_metrics": list(result.train_metrics)} if result.train_metrics else {}
    stored.study.set_user_attr(FINAL.key, measured)
    return float(result.metric)


def final_metrics(stored: StoredStudy) -> dict[str, float]:
    """Return what the last final training measured on test data, by name; empty without one."""
    return dict(FINAL.read(stored.study.user_attrs, {}).get("test_metrics", {}))


def stored_judgement(stored: StoredStudy) -> list[JudgeRow] | None:
    """Return the rows of the last judgement; None if there is none or a better genome since."""
    data = JUDGEMENT.read(stored.study.user_attrs)
    if not data:
        return None
    try:
        rows = [JudgeRow.from_dict(row) for row in data]
        assert rows
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StorageError(
            f"The judgement of study {stored.spec.name!r} is damaged: "
            f"optuna_evo study judge {quoted(stored.spec.name)} --quick makes a new one."
        ) from error
    judged = rows[0].optimizer.fingerprint()
    return rows if judged == best_optimizer(stored).fingerprint() else None

"""Run a stored study, end it, and show what it found."""

from collections.abc import Callable
import math
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from optuna_evo.config import OptimizerConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import judge
from optuna_evo.evaluation import JudgeRow
from optuna_evo.reports import best_trials
from optuna_evo.reports import show_lineages
from optuna_evo.reports import study_note
from optuna_evo.reports import summarise
from optuna_evo.reports import tuning_course
from optuna_evo.reports import tuning_figure
from optuna_evo.rules import Genome
from optuna_evo.samplers import MetaPriorSampler
from optuna_evo.search import Listener
from optuna_evo.search import search
from optuna_evo.study._parts import build_objective
from optuna_evo.study._parts import build_space
from optuna_evo.study._stored import checkpoints_of
from optuna_evo.study._stored import StoredStudy
from optuna_evo.warm_start import keep_weights


__all__ = [
    "best_genome",
    "best_trial",
    "judge_study",
    "run_study",
    "show_in_dashboard",
    "stored_judgement",
    "train_best",
]

_META_FEATURES_KEY = "meta_features"
_JUDGE_KEY = "optuna_evo:judge"
_FINAL_KEY = "optuna_evo:final"
_FIGURE_ID = "tuning-course"


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
        listener: Is told what happens.

    Returns:
        The number of trials finished by this call.
    """
    from optuna_evo.objectives import SegmentObjective
    from optuna_evo.search import Lineage

    spec = stored.spec
    objective = build_objective(spec, device=device, data_dir=data_dir)
    keeper = None
    if isinstance(objective, SegmentObjective):
        store = checkpoints_of(stored, checkpoints)
        keeper = Lineage(stored.study, objective, store, inherit=spec.lineage.inherit)
    _keep_meta_features(stored, objective)
    n_done = search(
        stored.study,
        space=build_space(spec),
        objective=objective,
        n_trials=spec.n_trials,
        n_more=n_more,
        timeout=timeout,
        batch_size=spec.batch_size,
        listener=listener,
        keeper=keeper,
    )
    if isinstance(stored.study.sampler, MetaPriorSampler):
        keep_weights(stored.study, stored.study.sampler)
    return n_done


def _keep_meta_features(stored: StoredStudy, objective: Any) -> None:
    """Write what is known about the task on the study, for studies that will start from it."""
    from optuna_evo.objectives import describe
    from optuna_evo.objectives import describe_table
    from optuna_evo.objectives import EstimatorObjective

    if _META_FEATURES_KEY in stored.study.user_attrs:
        return
    is_table = isinstance(objective, EstimatorObjective)
    features = describe_table(objective.table) if is_table else describe(objective)
    stored.study.set_user_attr(_META_FEATURES_KEY, features)


def best_genome(stored: StoredStudy) -> Genome:
    """Return the genome of the best complete trial; raises like `best_trial`."""
    return _best_config(stored).genome


def best_optimizer(stored: StoredStudy) -> OptimizerConfig:
    """Return the optimizer of the best complete trial; raises like `best_trial`."""
    return _best_config(stored).optimizer


def _best_config(stored: StoredStudy) -> TrainingConfig:
    config = build_space(stored.spec)(best_trial(stored))
    if not isinstance(config, TrainingConfig):
        raise UsageError(f"Study {stored.spec.name!r} searches over estimators, not over genomes.")
    return config


def best_trial(stored: StoredStudy) -> FrozenTrial:
    """Return the best complete trial.

    Raises:
        UsageError: If no trial is complete yet.
    """
    best = best_trials(stored.study, 1)
    if not best:
        raise UsageError(
            f"Study {stored.spec.name!r} has no complete trial yet: "
            f"optuna_evo study run {stored.spec.name}."
        )
    return best[0]


def judge_study(
    stored: StoredStudy,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    on_run: Callable[[int, int], None] | None = None,
) -> list[JudgeRow]:
    """Compare the best genome with classic optimizers on test data and keep the rows in the study.

    Args:
        stored: The study.
        device: As in `run_study`.
        data_dir: As in `run_study`.
        on_run: Called with the trainings done and to be done.
    """
    from optuna_evo.objectives import FitnessObjective

    objective = build_objective(stored.spec, device=device, data_dir=data_dir)
    if not isinstance(objective, FitnessObjective):
        raise UsageError('The comparison of optimizers goes with objective.name = "fitness".')
    rows = judge(
        best_optimizer(stored),
        objective,
        seeds=max(1, stored.spec.judge.seeds),
        tuning_trials=stored.spec.judge.tuning_trials,
        seed=stored.spec.seed,
        on_run=on_run,
    )
    stored.study.set_user_attr(_JUDGE_KEY, [row.to_dict() for row in rows])
    return rows


def train_best(
    stored: StoredStudy, *, device: str = "auto", data_dir: Path | None = None
) -> float:
    """Train the best configuration on all rows but the test's and measure it on those, once.

    Of a table all metrics are kept, and its objective's is returned.

    The result is kept in the study; while the best trial stays the best, it is not measured again.

    Args:
        stored: A study with the objective "accuracy" or "table".
        device: As in `run_study`.
        data_dir: As in `run_study`.

    Returns:
        The metric on the test split; NaN if the training diverged.
    """
    from optuna_evo.objectives import CurveObjective
    from optuna_evo.objectives import EstimatorObjective
    from optuna_evo.objectives import train_finally

    objective = build_objective(stored.spec, device=device, data_dir=data_dir)
    best = best_trial(stored)
    kept = stored.study.user_attrs.get(_FINAL_KEY, {})
    if kept.get("trial") == best.number:
        return float(kept["test_metric"])
    config = build_space(stored.spec)(best)
    kept = {"trial": best.number}
    if isinstance(objective, EstimatorObjective):
        kept["test_metrics"] = objective.test(config)
        kept["test_metric"] = kept["test_metrics"].get(objective.metric_name, math.nan)
    elif isinstance(objective, CurveObjective):
        kept["test_metric"] = train_finally(
            config,
            objective,
            epochs=stored.spec.final.epochs,
            cosine=stored.spec.final.cosine,
            seed=stored.spec.seed,
        )
    else:
        raise UsageError('The final training goes with objective.name = "accuracy" or "table".')
    stored.study.set_user_attr(_FINAL_KEY, kept)
    return float(kept["test_metric"])


def show_in_dashboard(stored: StoredStudy) -> None:
    """Put the best rule and the course of the study on its pages in optuna-dashboard.

    The figure and the note take the place of the last ones; without a complete trial there are
    none.
    """
    from optuna_dashboard import save_note
    from optuna_dashboard import save_plotly_graph_object

    if not best_trials(stored.study, 1):
        return
    summary = summarise(stored.study, build_space(stored.spec))
    save_note(stored.study, study_note(summary))
    figure = tuning_figure(tuning_course(stored.study))
    save_plotly_graph_object(stored.study, figure, graph_object_id=_FIGURE_ID)
    if stored.spec.objective.name == "segment":
        show_lineages(stored.study, inherit=stored.spec.lineage.inherit)


def stored_judgement(stored: StoredStudy) -> list[JudgeRow] | None:
    """Return the rows of the last judgement; None if there is none or a better genome since."""
    data = stored.study.user_attrs.get(_JUDGE_KEY)
    if not data:
        return None
    rows = [JudgeRow.from_dict(row) for row in data]
    judged = rows[0].optimizer.fingerprint()
    return rows if judged == best_optimizer(stored).fingerprint() else None

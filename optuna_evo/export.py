"""What a study leaves to the world: a rule as a file, a model with its schedule, a controller."""

from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.files import whole_folder
from optuna_evo.names import printable
from optuna_evo.names import quoted
from optuna_evo.objectives import build_tasks
from optuna_evo.objectives import kind_of
from optuna_evo.rules import Genome
from optuna_evo.rules import Piece
from optuna_evo.rules import program
from optuna_evo.rules import Schedule
from optuna_evo.search import ancestors
from optuna_evo.search import best_of
from optuna_evo.search import living
from optuna_evo.spec import to_table
from optuna_evo.study import best_controller
from optuna_evo.study import best_trial
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import checkpoints_of
from optuna_evo.study import StoredStudy


__all__ = [
    "export_controller",
    "export_weights",
    "rule_program",
    "schedule_configs",
    "schedule_of",
    "winner",
    "winning_line",
]


def rule_program(stored: StoredStudy) -> str:
    """Return the best genome as a file of Python that needs nothing but torch.

    Raises:
        UsageError: If no trial is complete yet, or the study searches for no genome.
    """
    best = best_trial(stored)
    config = build_space(stored.spec)(best)
    if not isinstance(config, TrainingConfig) or not isinstance(config.optimizer, Genome):
        raise UsageError(
            f"Study {stored.spec.name!r} searches for no update rule, and only one can be written "
            "as Python: export to a file that ends in .json."
        )
    origin = f"Found by optuna_evo, trial {best.number} of study {stored.spec.name!r}."
    return program(config.optimizer, origin=printable(origin))


def winner(stored: StoredStudy) -> FrozenTrial:
    """Return the best trial of the living population, whose weights are there.

    An earlier trial may have been better; its weights are removed when no trial goes on from
    them.

    Raises:
        UsageError: If the study has no lineages, or no weights yet.
    """
    if not kind_of(stored.spec).has_lineages:
        raise UsageError(
            f'Study {stored.spec.name!r} has no lineages: they go with objective.name = "segment".'
        )
    trials = stored.study.get_trials(deepcopy=False)
    inherit = stored.spec.lineage.inherit
    alive = living(trials, inherit=inherit, direction=stored.study.direction)
    best = best_of(alive, stored.study.direction)
    if best is None:
        raise UsageError(
            f"Study {stored.spec.name!r} has no trained model yet: "
            f"optuna_evo study run {quoted(stored.spec.name)}."
        )
    return best


def winning_line(stored: StoredStudy) -> list[FrozenTrial]:
    """Return the trials that the winner's weights went through, from fresh weights on."""
    trials = stored.study.get_trials(deepcopy=False)
    return list(ancestors(trials, winner(stored).number))[::-1]


def schedule_of(stored: StoredStudy) -> Schedule:
    """Return the hyperparameters along the winning line; raises like `winner`."""
    pieces = [
        Piece(
            trial=trial.number,
            first_step=trial.user_attrs["first_step"],
            steps=trial.user_attrs["optimizer_steps"],
            value=float(trial.value or 0.0),
            params=dict(trial.params),
        )
        for trial in winning_line(stored)
    ]
    return Schedule(study=stored.spec.name, task=stored.spec.tasks[0], pieces=pieces)


def schedule_configs(stored: StoredStudy, schedule: Schedule) -> list[TrainingConfig]:
    """Return what to train with, piece by piece, for `trainers.train_segments`.

    Args:
        stored: A study whose space the schedule's hyperparameters are of.
        schedule: Of this study or an exported one.
    """
    space = build_space(stored.spec)
    return [space(optuna.trial.FixedTrial(dict(piece.params))) for piece in schedule.pieces]


def export_weights(
    stored: StoredStudy,
    folder: Path,
    *,
    checkpoints: str | None = None,
    data_dir: Path | None = None,
) -> FrozenTrial:
    """Write the winning model.

    Models that know Hugging Face's format are written in it, with their tokenizer; of others the
    weights, as `model.pt`, for `torch.load` and `load_state_dict`.

    Args:
        stored: A study with the objective "segment".
        folder: Where to; it must be empty or not there.
        checkpoints: Where checkpoints lie (see `LineageSpec`); None: where the spec says.
        data_dir: Folder with data files, for the tokenizer; None: `OPTUNA_EVO_DATA`.

    Returns:
        The trial whose weights they are.

    Raises:
        UsageError: If the folder is not empty, or as `winner`.
        CheckpointError: If the checkpoint is lost.
    """
    import torch

    from optuna_evo.trainers import load_weights

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not an empty folder; name another one.")
    trial = winner(stored)
    checkpoint = checkpoints_of(stored, checkpoints).load(trial.number)
    model: Any = build_tasks(stored.spec)[0].build_model()
    load_weights(model, checkpoint)
    with whole_folder(folder) as part:
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(part, data_dir=data_dir)
        else:
            torch.save(dict(checkpoint.model), part / "model.pt")
    return trial


def export_controller(stored: StoredStudy, folder: Path) -> FrozenTrial:
    """Write the controller of the best trial, for `LearnedOptimizer` and `ControllerConfig`.

    Args:
        stored: A study with the objective "meta_loss".
        folder: Where to; it must be empty or not there.

    Returns:
        The trial.

    Raises:
        UsageError: If the folder is not empty, or as `best_controller`.
    """
    from optuna_evo.learned import save_controller

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not an empty folder; name another one.")
    trial, controller = best_controller(stored)
    spec = stored.spec
    objective: Any = build_objective(spec, device="cpu")
    figures = {"held_out_loss": trial.value}
    figures |= {k: trial.user_attrs[k] for k in ("inner_steps", "step_cost", "seconds")}
    provenance = {
        "command": f"optuna_evo study run {quoted(spec.name)}",
        "study": spec.name,
        "trial": trial.number,
        "seed": spec.seed,
        "params": dict(trial.params),
        "spec": {
            "families": [to_table(domain) for domain in objective.families],
            "horizon": {"low": objective.steps, "high": objective.steps},
        },
        "figures": figures,
    }
    save_controller(controller, folder, provenance=provenance)
    return trial

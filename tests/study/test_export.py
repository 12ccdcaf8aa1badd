"""What a study of lineages leaves: a model that Hugging Face reads, a schedule, a family tree."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from optuna_evo import lr_schedule
from optuna_evo import Schedule
from optuna_evo.attributes import MEMBER
from optuna_evo.errors import UsageError
from optuna_evo.export import export_weights
from optuna_evo.export import schedule_configs
from optuna_evo.export import schedule_of
from optuna_evo.export import winner
from optuna_evo.export import winning_line
from optuna_evo.objectives import train_segments
from optuna_evo.rules import Piece
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_objective
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    folder = tmp_path_factory.mktemp("lineages")
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    spec: dict[str, Any] = {
        "name": "small/gpt2",
        "tasks": ["gpt2"],
        "task": {"text": str(folder / "text.txt"), "sequence_length": 8, "valid_tokens": 64},
        "direction": "minimize",
        "n_trials": 7,
        "space": {"name": "language_model", "lr": [1e-3, 1e-2]},
        "sampler": {"name": "recurrence", "population_size": 2},
        "trainer": {"steps": 2, "precision": "float32"},
        "objective": {"name": "segment", "reports": 1, "divergence_penalty": 20.0},
        "lineage": {"checkpoints": str(folder / "checkpoints")},
    }
    study = create_study(StudySpec.from_dict(spec), optuna.storages.InMemoryStorage())
    run_study(study, device="cpu")
    return study


def test_the_winner_is_the_best_of_those_whose_weights_are_there(stored: StoredStudy) -> None:
    trials = stored.study.get_trials()
    latest = {MEMBER.read(t.user_attrs): t for t in trials}
    assert winner(stored).value == min(t.value for t in latest.values() if t.value)


def test_the_exported_model_is_the_winner_and_hugging_face_reads_it(
    stored: StoredStudy, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer
    from transformers import GPT2LMHeadModel

    trial = export_weights(stored, tmp_path / "model")
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "model").eval()
    rows = build_objective(stored.spec, device="cpu").task.load(None).valid  # type: ignore[union-attr]
    with torch.inference_mode():
        logits = model(input_ids=rows.inputs).logits.flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, rows.targets.flatten()).item()
    assert loss == pytest.approx(trial.value, abs=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").decode([104, 105]) == "hi"


def test_a_folder_with_something_in_it_is_left_alone(stored: StoredStudy, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="is there already and not an empty folder"):
        export_weights(stored, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_schedule_trains_to_what_the_line_reached(stored: StoredStudy) -> None:
    schedule = Schedule.from_dict(json.loads(json.dumps(schedule_of(stored).to_dict())))
    assert schedule.total_steps == 2 * len(winning_line(stored))
    objective: Any = build_objective(stored.spec, device="cpu")
    values, _ = train_segments(schedule_configs(stored, schedule), objective)
    assert values == [piece.value for piece in schedule.pieces]
    other, _ = train_segments(
        schedule_configs(stored, schedule), dataclasses.replace(objective, seed=1)
    )
    assert len(other) == len(values) and other != values


def piece(first_step: int, lr: float, **params: float) -> Piece:
    return Piece(trial=0, first_step=first_step, steps=2, value=1.0, params={"lr": lr, **params})


def test_the_schedule_as_a_scheduler_of_torch() -> None:
    pieces = [piece(0, 0.1, warmup_steps=2), piece(2, 0.2), piece(4, 0.05)]
    schedule = Schedule(study="mine", task="gpt2", pieces=pieces)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=7.0)
    scheduler = lr_schedule(optimizer, schedule)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.05, 0.1, 0.2, 0.2, 0.05, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("total", [1, 3, 8, 9, 100, 12345])
def test_a_stretched_schedule_has_its_pieces_in_proportion(total: int) -> None:
    lengths = [(0, 5), (5, 2), (7, 1)]
    pieces = [
        Piece(trial=k, first_step=a, steps=n, value=1.0, params={"lr": 0.1 * (k + 1)})
        for k, (a, n) in enumerate(lengths)
    ]
    schedule = Schedule(study="mine", task="gpt2", pieces=pieces)
    long = schedule.stretched(total)
    assert long.total_steps == total
    assert all(abs(p.steps - lengths[p.trial][1] * total / 8) <= 1 for p in long.pieces)
    assert total < 8 or long.stretched(8) == schedule
    with pytest.raises(UsageError, match="at least 1 step"):
        schedule.stretched(0)


def test_pieces_with_a_hole_are_no_schedule() -> None:
    with pytest.raises(UsageError, match=r"must follow each other from step 0, got starts=\[0, 4"):
        Schedule(study="mine", task="gpt2", pieces=[piece(0, 0.1), piece(4, 0.1)])
    with pytest.raises(UsageError, match="This is no exported schedule"):
        Schedule.from_dict({"study": "mine"})
    with pytest.raises(UsageError, match="The schedule holds no 'eta', only lr"):
        Schedule(study="mine", task="gpt2", pieces=[piece(0, 0.1)]).lr(0, name="eta")


def test_a_study_without_lineages_says_so() -> None:
    spec = StudySpec(name="plain", tasks=("two_moons",))
    plain = create_study(spec, optuna.storages.InMemoryStorage())
    with pytest.raises(UsageError, match="'plain' has no lineages: they go with objective.name"):
        winner(plain)

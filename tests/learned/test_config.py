"""A learned optimizer in a configuration trains as it would in a script."""

from pathlib import Path
from typing import Any

import pytest
import torch

from optuna_evo import catalog
from optuna_evo import ControllerConfig
from optuna_evo import tasks
from optuna_evo import trainers
from optuna_evo import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import quick_judge
from optuna_evo.learned import MLPController
from optuna_evo.learned import save_controller
from optuna_evo.objectives import FitnessObjective
from optuna_evo.trainers import Checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    controller = MLPController()
    with torch.no_grad():
        controller.net[-1].bias[0] = 1.0
    return save_controller(controller, tmp_path / "mine")


def losses(config: TrainingConfig, n_steps: int = 30, **given: Any) -> list[float]:
    cohort = trainers.start([config], tasks.get("two_moons"), seed=0, total_steps=n_steps, **given)
    cohort.train(n_steps)
    return cohort.losses()


def test_an_untrained_controller_trains_as_its_base_genome(tmp_path: Path) -> None:
    folder = save_controller(MLPController(), tmp_path / "mine")
    learned = TrainingConfig(optimizer=ControllerConfig(controller=str(folder)))
    assert losses(learned) == losses(TrainingConfig(genome=catalog["adam"]))


def test_a_controller_changes_the_training(folder: Path) -> None:
    learned = TrainingConfig(optimizer=ControllerConfig(controller=str(folder)))
    slower = TrainingConfig(optimizer=ControllerConfig(controller=str(folder), lr=0.1))
    found = [losses(learned), losses(slower), losses(learned.with_cosine())]
    assert len({*map(tuple, found)}) == 3


def test_a_configuration_is_written_and_read(folder: Path) -> None:
    config = TrainingConfig(
        optimizer=ControllerConfig(controller=str(folder), lr=0.5, cosine=True), batch_size=8
    )
    assert TrainingConfig.from_dict(config.to_dict()) == config
    assert "controller" in config.to_dict() and str(folder) in config.optimizer.equation()


def test_a_fingerprint_says_the_weights_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    here, there = (ControllerConfig(controller=str(place)) for place in (folder, copied))
    assert here.fingerprint() == there.fingerprint()
    save_controller(MLPController(), copied)
    assert ControllerConfig(controller=str(copied)).fingerprint() != here.fingerprint()
    assert ControllerConfig(controller=str(folder), lr=2.0).fingerprint() != here.fingerprint()


def test_a_controller_that_has_changed_trains_no_old_configuration(folder: Path) -> None:
    config = TrainingConfig(optimizer=ControllerConfig(controller=str(folder)))
    save_controller(MLPController(), folder)
    with pytest.raises(UsageError, match="by now, the configuration was made with"):
        losses(config)


def test_a_training_goes_on_from_a_checkpoint_bit_for_bit(folder: Path) -> None:
    config = TrainingConfig(optimizer=ControllerConfig(controller=str(folder), horizon=20))
    task, outcomes = tasks.get("two_moons"), []
    for parts in ([20], [8, 12]):
        origin: Checkpoint | None = None
        for n_steps in parts:
            cohort = trainers.start(
                [config], task, seed=0, total_steps=n_steps, segment=True, origins=[origin]
            )
            cohort.train(n_steps)
            origin = cohort.checkpoints()[0]
        outcomes.append(cohort.state_dicts()[0])
    assert all(torch.equal(outcomes[0][name], outcomes[1][name]) for name in outcomes[0])


def test_a_controller_goes_on_from_the_checkpoint_of_a_genome_and_back(folder: Path) -> None:
    learned = TrainingConfig(optimizer=ControllerConfig(controller=str(folder), horizon=9))
    adam = TrainingConfig(genome=catalog["adam"])
    for before, after in ((adam, learned), (learned, adam)):
        origin = None
        for config in (before, after):
            cohort = trainers.start(
                [config],
                tasks.get("two_moons"),
                seed=0,
                total_steps=3,
                segment=True,
                origins=[origin],
            )
            cohort.train(3)
            origin = cohort.checkpoints()[0]
        assert cohort.losses()[0] == cohort.losses()[0]


def test_genomes_and_controllers_train_side_by_side(folder: Path) -> None:
    configs = [
        TrainingConfig(genome=catalog["adam"]),
        TrainingConfig(genome=catalog["sgd"]),
        TrainingConfig(optimizer=ControllerConfig(controller=str(folder))),
    ]
    cohort = trainers.start(
        configs, tasks.get("two_moons"), seed=0, total_steps=20, trainer="population"
    )
    cohort.train(20)
    assert len({*cohort.losses()}) == 3


def test_the_judge_takes_a_controller(folder: Path) -> None:
    objective = FitnessObjective(tasks=[tasks.get("two_moons")], seeds=[0], steps=10)
    config = ControllerConfig(controller=str(folder))
    rows = quick_judge(config, objective, seeds=2, tuning_trials=1)
    assert rows[0].name == "learned mine" and rows[0].setting == "given"
    assert len(rows[0].by_seed) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"controller": "nothing"}, "There is no controller 'nothing'"),
        ({"controller": 3}, "`controller` must be a name or a folder, got 3"),
        ({"controller": "a\0b"}, "There is no controller"),
        ({"lr": 0}, "`lr` must be a positive number, got 0"),
        ({"lr": float("nan")}, "`lr` must be a positive number"),
        ({"cosine": "yes"}, "`cosine` must be true or false"),
        ({"horizon": 0}, "`horizon` must be at least 1"),
        ({"weights": 5}, "`weights` must be a digest"),
        ({"wings": 2}, "no controller as `to_dict` writes it"),
    ],
)
def test_a_wrong_setting_is_refused(folder: Path, wrong: dict[str, Any], message: str) -> None:
    data = ControllerConfig(controller=str(folder)).to_dict() | {"weights": None} | wrong
    with pytest.raises(UsageError, match=message):
        ControllerConfig.from_dict(data)

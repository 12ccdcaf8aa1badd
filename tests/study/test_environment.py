"""What a study ran with is on it, and a run with something else says so once."""

import optuna
import pytest
import torch

from optuna_evo.attributes import ENVIRONMENT
from optuna_evo.spec import StudySpec
from optuna_evo.study import create_study
from optuna_evo.study import note_environment
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy


def stored(name: str = "digits") -> StoredStudy:
    spec = StudySpec.from_dict(
        {
            "name": "a",
            "tasks": [name],
            "n_trials": 1,
            "space": {"name": "training", "optimizer": "adam"},
            "sampler": {"name": "random"},
            "trainer": {"steps": 2},
            "objective": {"name": "accuracy", "reports": 1},
        }
    )
    return create_study(spec, optuna.storages.InMemoryStorage())


def test_threads_torch_device_and_precision_are_recorded() -> None:
    study = stored()
    run_study(study, device="cpu")
    (known,) = ENVIRONMENT.read(study.study.user_attrs)
    assert known["threads"] == torch.get_num_threads() and known["precision"] == "float32"
    assert known["torch"] == torch.__version__ and known["device"].startswith("cpu (")


def test_another_number_of_threads_is_said_once() -> None:
    study, n_threads = stored(), torch.get_num_threads()
    assert note_environment(study, device="cpu") is None
    torch.set_num_threads(n_threads + 1)
    try:
        said = note_environment(study, device="cpu")
        assert said is not None
        assert f"began with threads {n_threads}, now {n_threads + 1}" in said
        assert note_environment(study, device="cpu") is None
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_small_models_train_on_one_thread_and_leave_the_number_alone(n_threads: int) -> None:
    from optuna_evo import catalog
    from optuna_evo import tasks
    from optuna_evo import trainers
    from optuna_evo import TrainingConfig

    before = torch.get_num_threads()
    seen = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return tasks.get("two_moons").loss(outputs, targets)

    import dataclasses

    task = dataclasses.replace(tasks.get("two_moons"), loss=loss)
    torch.set_num_threads(n_threads)
    try:
        config = TrainingConfig(genome=catalog["adam"])
        trainers.start([config], task, seed=0, total_steps=3).train(3)
        assert torch.get_num_threads() == n_threads and seen == [1, 1, 1]
    finally:
        torch.set_num_threads(before)

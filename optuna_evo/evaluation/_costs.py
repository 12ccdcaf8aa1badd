"""What a step costs: seconds, and bytes of state for each parameter."""

from collections.abc import Mapping
import statistics
import time
from typing import Any

from optuna_evo.config import OptimizerConfig
from optuna_evo.evaluation._workload import Workload


__all__ = ["state_bytes", "step_seconds"]

_ROUNDS = 5
_STEPS_OF_A_ROUND = 20
_WARM_UP = 3  # kernels are built, averages are made


def step_seconds(
    optimizers: Mapping[str, OptimizerConfig], workload: Workload, **options: Any
) -> dict[str, float]:
    """Return the median seconds of a training step with each optimizer, all measured in turns.

    Turns, so that a busy machine slows all alike; where one thread trains, it is the time of the
    processor. Compare numbers of one call only.

    Args:
        optimizers: By name.
        workload: What is trained.
        options: Of `trainers.start`.
    """
    import torch

    from optuna_evo import trainers

    device = torch.device(options.get("device", "cpu"))
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    steps = min(_STEPS_OF_A_ROUND, max(1, workload.steps))
    cohorts = {
        name: trainers.start(
            [workload.config(optimizer)],
            workload.task,
            seed=0,
            total_steps=_WARM_UP + _ROUNDS * steps,
            **{**options, "trainer": "sequential"},
        )
        for name, optimizer in optimizers.items()
    }
    for cohort in cohorts.values():
        cohort.train(_WARM_UP)
    seconds: dict[str, list[float]] = {name: [] for name in cohorts}
    for _ in range(_ROUNDS):
        for name, cohort in cohorts.items():
            _wait(device)
            start = clock()
            cohort.train(steps)
            _wait(device)
            seconds[name].append((clock() - start) / steps)
    return {name: statistics.median(each) for name, each in seconds.items()}


def state_bytes(optimizer: OptimizerConfig, workload: Workload, **options: Any) -> float:
    """Return the bytes that an optimizer keeps for each parameter, after a step.

    Args:
        optimizer: Which.
        workload: What is trained.
        options: Of `trainers.start`.
    """
    from optuna_evo import trainers

    cohort = trainers.start(
        [workload.config(optimizer)],
        workload.task,
        seed=0,
        total_steps=2,
        **{**options, "trainer": "sequential"},
    )
    cohort.train(1)
    n_parameters = sum(p.numel() for p in workload.build_model().parameters())
    return _bytes(cohort.checkpoints()[0].optimizer) / n_parameters


def _bytes(value: Any) -> int:
    import torch

    if isinstance(value, torch.Tensor):
        # a count is no state that grows with the model
        return value.numel() * value.element_size() if value.ndim else 0
    if isinstance(value, Mapping):
        return sum(_bytes(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes(each) for each in value)
    return 0


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""The fitness of a genome on a small task, ten times as fast as the package's own training.

It is `FitnessObjective` on one of the tasks below with one seed: the same weights, batches, rule
of divergence and formula, in C++ (`small_mlp.cpp`, compiled on first use by g++). A search of
hundreds of genomes, dozens of times over, would otherwise take hours. Values agree with those of
the package up to float32's rounding, which some rules amplify: `check` says for how many.

    python -m tests.benchmarks.small_mlp

Shape legend: n rows, d inputs.
"""

from collections.abc import Sequence
import ctypes
import functools
import math
import os
from pathlib import Path
import subprocess
import tempfile
from typing import Any

import numpy as np
import optuna
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import suggest_genome
from optuna_evo import tasks
from optuna_evo import TrainingConfig
from optuna_evo.curves import has_diverged
from optuna_evo.curves import recent_losses
from optuna_evo.objectives import cell_fitness
from optuna_evo.objectives import FitnessObjective
from optuna_evo.trainers._setting import Setting


TASKS = ("digits", "two_moons", "quadratic")
PENALTY = -1.0
LOSS_WEIGHT = 0.05
_SOURCE = Path(__file__).with_suffix(".cpp")


class _Problem(ctypes.Structure):
    _fields_ = (
        ("n_layers", ctypes.c_int),
        ("sizes", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("n_weights", ctypes.c_int),
        ("inputs", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("order", ctypes.c_void_p),
        ("batch", ctypes.c_int),
        ("steps", ctypes.c_int),
        ("valid_inputs", ctypes.c_void_p),
        ("valid_targets", ctypes.c_void_p),
        ("n_valid", ctypes.c_int),
        ("is_regression", ctypes.c_int),
    )


class _Rule(ctypes.Structure):
    _fields_ = (
        ("directions", ctypes.c_double * 6),
        *((name, ctypes.c_double) for name in ("lr", "weight_decay", "beta1", "beta2")),
        *((name, ctypes.c_double) for name in ("eps", "clip")),
        *((name, ctypes.c_int) for name in ("use_m", "use_v", "bias_correction")),
        *((name, ctypes.c_int) for name in ("warmup", "cosine")),
    )


class SmallTask:
    """One of `TASKS` with one seed; call it with a genome for its fitness, `PENALTY` at worst."""

    def __init__(self, name: str, seed: int, steps: int) -> None:
        task = tasks.get(name)
        setting = Setting.of(
            task,
            seed=seed,
            total_steps=steps,
            device=torch.device("cpu"),
            precision="float32",
            data_dir=None,
            loss_window=steps,
        )
        model = setting.build_model(TrainingConfig(genome=catalog["adam"]))
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        tensors = [t for layer in layers for t in (layer.weight.T, layer.bias)]
        sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
        train, valid = setting.splits.train, setting.splits.valid
        numbered = torch.arange(len(train))
        rows = [self._rows(setting, numbered, step, task.batch_size) for step in range(steps)]
        self._steps = steps
        self._arrays = {
            "sizes": np.array(sizes, dtype=np.int32),
            "weights": np.concatenate([t.detach().reshape(-1).numpy() for t in tensors]),
            "order": np.concatenate(rows).astype(np.int32),
            **{
                prefix + kind: np.ascontiguousarray(values.numpy(), dtype=np.float32)
                for prefix, split in (("", train), ("valid_", valid))
                for kind, values in (("inputs", split.inputs), ("targets", split.targets))
            },
        }
        self._problem = _Problem(
            n_layers=len(layers),
            n_weights=len(self._arrays["weights"]),
            batch=task.batch_size,
            steps=steps,
            n_valid=len(valid),
            is_regression=int(task.kind == "regression"),
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )

    @staticmethod
    def _rows(setting: Any, numbered: torch.Tensor, step: int, size: int) -> np.ndarray:
        from optuna_evo.trainers._streams import rows_from

        order = setting.streams.order
        device = numbered.device
        n_rows = len(numbered)
        return rows_from(step * size, size, n_rows=n_rows, seed=order, device=device).numpy()

    def __call__(self, genome: Genome) -> float:
        rule = _rule(genome, self._steps)
        losses = np.zeros(self._steps, dtype=np.float32)
        metric = _library().train(
            ctypes.byref(self._problem), ctypes.byref(rule), ctypes.c_void_p(losses.ctypes.data)
        )
        window = recent_losses(self._steps, is_over=True)
        if not np.isfinite(losses).all() or has_diverged(losses.tolist(), window=window):
            return PENALTY
        fitness = cell_fitness(float(metric), float(losses.mean()), LOSS_WEIGHT)
        return fitness if math.isfinite(fitness) else PENALTY


def _rule(genome: Genome, steps: int) -> _Rule:
    weights = [0.0] * 7
    for term in genome.terms:
        weights[int(term.type)] += term.alpha
    weights[0] += weights[6] * (1 - genome.beta1)  # NESTEROV is made of two others
    weights[1] += weights[6] * genome.beta1
    warmup = max(1, round(genome.warmup_steps * steps / (genome.horizon or steps)))
    return _Rule(
        directions=(ctypes.c_double * 6)(*weights[:6]),
        lr=genome.lr,
        weight_decay=genome.weight_decay,
        beta1=genome.beta1,
        beta2=genome.beta2,
        eps=genome.eps,
        clip=genome.clip_value if genome.use_gradient_clipping else math.inf,
        use_m=int(genome.use_m),
        use_v=int(genome.use_v),
        bias_correction=int(genome.use_bias_correction),
        warmup=warmup if genome.use_warmup else 0,
        cosine=int(genome.use_cosine_decay),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    path = Path(tempfile.mkdtemp()) / "small_mlp.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-shared", "-fPIC"]
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, *flags, "-o", str(path), str(_SOURCE)], check=True)
    library = ctypes.CDLL(str(path))
    library.train.restype = ctypes.c_float
    return library


def check(names: Sequence[str] = TASKS, *, n: int = 100, steps: int = 40) -> None:
    """Print for how many random genomes the fitness differs from the package's."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    warmup = (steps // 10, 4 * steps // 10)
    genomes = [suggest_genome(study.ask(), horizon=steps, warmup_steps=warmup) for _ in range(n)]
    for name in names:
        objective = FitnessObjective(tasks=[tasks.get(name)], seeds=[3], steps=steps)
        theirs = objective.start([TrainingConfig(genome=g) for g in genomes]).advance()
        task = SmallTask(name, 3, steps)
        pairs = [
            (t if math.isfinite(t) else PENALTY, task(g))
            for t, g in zip(theirs, genomes, strict=True)
        ]
        gaps = np.array([abs(a - b) / max(1.0, abs(a)) for a, b in pairs])
        print(
            f"{name}: {(gaps > 1e-3).sum()} of {n} differ by more than 0.001, median gap "
            f"{np.median(gaps):.1e}, largest {gaps.max():.1e}"
        )


if __name__ == "__main__":
    check()

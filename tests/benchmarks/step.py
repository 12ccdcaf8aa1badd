"""How long an optimizer step takes: evolved rules beside torch's fused AdamW.

    python -m tests.benchmarks.step [--device cuda] [--threads 1,2] [--rounds 30]
    python -m tests.benchmarks.step --controllers [--only mlp]

Peer and rule step in turns on twins of the same parameters, so that a busy machine hits both
alike. Shown are the median time of a step and the median of the ratios of neighbours. A whole
training step is forward, backward and step on 128 images, in the layout that the trainers use. At
the end: the CPU time of first steps with a fresh cache, the build of the kernel in them.

With `--controllers`: learned optimizers, all weights of the controller moved at random, so that
every direction is in the step, beside AdamW(fused) and AdamW(foreach); then how many steps a
second a stack of small perceptrons does (optimizer steps alone).
"""

from collections.abc import Callable
import dataclasses
import os
from pathlib import Path
import tempfile
from time import perf_counter
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from optuna_evo import catalog
from optuna_evo import EvolvedOptimizer
from optuna_evo import Genome
from optuna_evo import suggest_genome
from optuna_evo import tasks
from optuna_evo import TermType
from tests.benchmarks import controllers


Build = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
N_WARMUP = 3

FOUR_TERMS = Genome(
    terms=[("ADAM_TERM", 1.0), ("RMS_NORM", 0.2), ("MOMENTUM", 0.1), ("GRAD", 0.1)],
    weight_decay=0.01,
)
# sign(g) and g / |g| as well: one more division, the dearest rules of four terms
FOUR_COSTLY_TERMS = Genome(
    terms=[("ADAM_TERM", 1.0), ("SQRT_GRAD", 0.2), ("SIGN_GRAD", 0.1), ("NESTEROV", 0.1)],
    weight_decay=0.01,
)
MOMENTUM = Genome(terms=[("MOMENTUM", 1.0)], weight_decay=0.01)
SIGN = Genome(terms=[("SIGN_GRAD", 1.0)], weight_decay=0.01)
LION = dataclasses.replace(catalog["lion"], weight_decay=0.01)
SIGN_MOMENTUM = Genome(terms=[("SIGN_MOMENTUM", 1.0)], weight_decay=0.01)
CAUTIOUS = Genome(terms=[("AGREEMENT", 1.0)], weight_decay=0.01)
ALL_TERMS = Genome(terms=[(term, 0.1) for term in TermType], weight_decay=0.01)

RULES: dict[str, tuple[Genome, dict[str, Any]]] = {
    "4 terms, m and v": (FOUR_TERMS, {"fused": True}),
    "4 terms, m and v, g / abs(g)": (FOUR_COSTLY_TERMS, {"fused": True}),
    "momentum": (MOMENTUM, {"fused": True}),
    "sign": (SIGN, {"fused": True}),
    "Lion": (LION, {"fused": True}),
    "sign of momentum": (SIGN_MOMENTUM, {"fused": True}),
    "momentum where it agrees with g": (CAUTIOUS, {"fused": True}),
    "all terms": (ALL_TERMS, {"fused": True}),
    "4 terms, m and v: foreach": (FOUR_TERMS, {"foreach": True}),
    "4 terms, m and v: readable loop": (FOUR_TERMS, {"foreach": False}),
}
TRAINED = ("4 terms, m and v", "4 terms, m and v: foreach", "4 terms, m and v: readable loop")


@click.command()
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", default="1", show_default=True, help="Numbers of threads, by commas.")
@click.option("--rounds", default=30, show_default=True, help="Timed pairs of each row.")
@click.option("--only", default="", help="Rows whose name contains this.")
@click.option("--controllers", "learned", is_flag=True, help="Learned optimizers instead.")
def main(device: str, threads: str, rounds: int, only: str, learned: bool) -> None:
    """Print one table."""
    if learned:
        controllers.show(device, rounds, only)
        return
    where = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    print(
        f"torch {torch.__version__}, {device} ({where}), {rounds} pairs, load {os.getloadavg()}\n"
    )
    print("| parameters | rule | threads | rule, ms | AdamW(fused=True), ms | ratio |")
    print("|---|---|---|---|---|---|")
    for count in map(int, threads.split(",")):
        torch.set_num_threads(count)
        for what, make in (("50 M in 150", large), ("SmallCNN, 0.8 M in 8", small)):
            for name, (genome, way) in RULES.items():
                if only in name:
                    times = step_times(make(device), make(device), genome, way, rounds)
                    print(row(what, name, count, times), flush=True)
        for name in TRAINED:
            if only in name:
                times = training_times(device, *RULES[name], rounds)
                print(row("SmallCNN, whole training step", name, count, times), flush=True)
    if device == "cpu":
        first, fifty = build_seconds()
        print("\nCPU time of first steps with a fresh cache: ", end="")
        print(f"1 genome {first:.2f} s, 50 genomes {fifty:.2f} s")


def row(what: str, name: str, threads: int, times: np.ndarray) -> str:
    """Return a line of the table from times (rounds, 2) in seconds: peer, rule."""
    peer, ours = 1e3 * np.median(times, axis=0)
    ratio = np.median(times[:, 1] / times[:, 0])
    return f"| {what} | {name} | {threads} | {ours:.3f} | {peer:.3f} | {ratio:.2f} |"


def large(device: str) -> list[nn.Parameter]:
    """Return 50 million parameters in 150 matrices."""
    return [nn.Parameter(torch.randn(577, 578, device=device)) for _ in range(150)]


def small(device: str) -> list[nn.Parameter]:
    """Return the parameters of the SmallCNN as the trainers lay them out."""
    model = tasks.get("mnist").build_model().to(device, memory_format=torch.channels_last)
    return list(model.parameters())


def peer(params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that all are measured against."""
    return torch.optim.AdamW(params, weight_decay=0.01, fused=True)


def step_times(
    theirs: list[nn.Parameter],
    ours: list[nn.Parameter],
    genome: Genome,
    way: dict[str, Any],
    rounds: int,
) -> np.ndarray:
    """Return seconds of a step, (rounds, 2)."""
    for p in (*theirs, *ours):
        p.grad = torch.randn_like(p)
    optimizers = (peer(theirs), EvolvedOptimizer(ours, genome, **way))
    # a step of the small model is shorter than what the clock and the caches disturb
    repeats = 1 if sum(p.numel() for p in ours) > 1e7 else 10
    return in_turns([o.step for o in optimizers], rounds, repeats, ours[0].device)


def training_times(device: str, genome: Genome, way: dict[str, Any], rounds: int) -> np.ndarray:
    """Return seconds of a training step of the SmallCNN, (rounds, 2)."""
    images = torch.randn(128, 1, 28, 28, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (128,), device=device)

    def trainer(build: Build) -> Callable[[], object]:
        model = tasks.get("mnist").build_model().to(device, memory_format=torch.channels_last)
        optimizer = build(list(model.parameters()))

        def train() -> None:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return train

    ours = trainer(lambda params: EvolvedOptimizer(params, genome, **way))
    return in_turns([trainer(peer), ours], rounds, 1, torch.device(device))


def in_turns(
    works: list[Callable[[], object]], rounds: int, repeats: int, device: torch.device
) -> np.ndarray:
    """Return the seconds that each work takes, (rounds, works), done in turns."""
    times = np.empty((N_WARMUP + rounds, len(works)))
    for i in range(N_WARMUP + rounds):
        for j, work in enumerate(works):
            start = perf_counter()
            for _ in range(repeats):
                work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[i, j] = (perf_counter() - start) / repeats
    return times[N_WARMUP:]


def build_seconds() -> tuple[float, float]:
    """Return the CPU time of the first steps of one genome, and of fifty, with a fresh cache."""
    import optuna

    from optuna_evo.optimizers import _native

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    genomes = [suggest_genome(study.ask()) for _ in range(50)]
    seconds = []
    for count in (1, 50):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = str(Path(folder))
            _native._library.cache_clear()
            params = small("cpu")
            for p in params:
                p.grad = torch.randn_like(p)
            start = sum(os.times()[:4])  # of this process and of the compiler
            for genome in genomes[:count]:
                EvolvedOptimizer(params, genome, total_steps=1, fused=True).step()
            seconds.append(sum(os.times()[:4]) - start)
    return seconds[0], seconds[1]


if __name__ == "__main__":
    main()

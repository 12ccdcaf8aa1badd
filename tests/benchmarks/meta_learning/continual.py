"""First quadratics, then MLPs: what is forgotten of the first, what is learned of the second."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.learned import ColumnController
from optuna_evo.learned import Controller
from optuna_evo.meta_training import EWC
from optuna_evo.meta_training import fine_tune
from optuna_evo.meta_training import Replayed
from optuna_evo.meta_training import Reservoir
from optuna_evo.meta_training import task_seeds
from tests.benchmarks.meta_learning.domains import A
from tests.benchmarks.meta_learning.domains import B
from tests.benchmarks.meta_learning.domains import FAMILIES
from tests.benchmarks.meta_learning.domains import logs
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.domains import STEPS
from tests.benchmarks.meta_learning.domains import trained
from tests.benchmarks.meta_learning.domains import untrained
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import ratio
from tests.benchmarks.meta_learning.tables import Table


def table(seeds: Sequence[int], share: float) -> Table:
    """Return forgetting on A and gain on B, in logarithms of test losses, by the naive ones."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for seed in seeds:
        n = int(150 * share)
        first = trained(A, int(400 * share), seed)
        a, b = logs(first, A), logs(first, B)
        for way, controller in second(first, n, seed).items():
            # a progressive network answers the first domain by its frozen column
            keeper = first if way == "progressive column" else controller
            forgotten, gained = logs(keeper, A) - a, b - logs(controller, B)
            found.setdefault(way, []).append((forgotten, gained))
    both = {
        way: [torch.cat(part) for part in zip(*own, strict=True)] for way, own in found.items()
    }
    forgotten, gained = both["naive"]
    fresh = both["from scratch"][1]
    done = Table(
        f"{A}, then {B}: logarithms of test losses of 64 held-out tasks, {len(seeds)} seeds",
        (
            "way",
            "forgotten on A",
            "gained on B",
            "forgotten / naive",
            "gained / naive",
            "gained / scratch",
        ),
    )
    for way, (lost, won) in both.items():
        ratios = [ratio(lost, forgotten), ratio(won, gained), ratio(won, fresh)]
        done.rows.append([way, mean(lost), mean(won), *ratios])
    return done


def second(first: Controller, n: int, seed: int) -> dict[str, Controller]:
    """Return the controllers after the second domain, by the way that they learned it."""
    families = [FAMILIES[B]]
    outer = spec(n, seed=seed + 1)
    reservoir = Reservoir(64, seed=seed)
    for task in task_seeds("train", 1000):
        reservoir.add(task)
    replayed = Replayed(family=FAMILIES[A], tasks=reservoir.tasks)
    seen = reservoir.tasks[:32]
    return {
        "naive": fine_tune(outer, first, families),
        **{
            f"EWC {strength:g}": fine_tune(
                outer,
                first,
                families,
                penalty=EWC.of(first, FAMILIES[A], seen, steps=STEPS, strength=strength),
            )
            for strength in STRENGTHS
        },
        # replayed outer steps are cheap ones: the second domain gets as many as the naive way
        "replay of 64 tasks": fine_tune(
            spec(2 * n, seed=seed + 1), first, [replayed, *families], shares=[0.5, 0.5]
        ),
        "from scratch": fine_tune(outer, untrained(), families),
        "progressive column": fine_tune(outer, ColumnController(column=first), families),
    }


STRENGTHS = (3.0, 5.0, 10.0)

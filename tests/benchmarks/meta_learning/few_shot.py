"""A controller of quadratics meets networks: what five short runs teach a part of it."""

from collections.abc import Sequence

import torch

from optuna_evo.meta_training import adapt_few_shot
from optuna_evo.meta_training import compare
from optuna_evo.meta_training import fine_tune
from optuna_evo.meta_training import task_seeds
from tests.benchmarks.meta_learning.domains import A
from tests.benchmarks.meta_learning.domains import B
from tests.benchmarks.meta_learning.domains import FAMILIES
from tests.benchmarks.meta_learning.domains import logs
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.domains import STEPS
from tests.benchmarks.meta_learning.domains import trained
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import ratio
from tests.benchmarks.meta_learning.tables import Table


SHOTS = 5
PASSES = 4


def table(seeds: Sequence[int], share: float) -> Table:
    """Return the gain over the controller as it is, in logarithms of test losses."""
    rows: dict[str, list[torch.Tensor]] = {}
    for seed in seeds:
        first = trained(A, int(400 * share), seed)
        support = task_seeds("train", SHOTS, first=100 * seed)
        family, everything = FAMILIES[B], [n for n, _ in first.named_parameters()]
        ways = {
            "zero-shot": first,
            f"biases, {SHOTS} runs once": adapt_few_shot(first, family, support, steps=STEPS),
            f"biases, {SHOTS} runs {PASSES} times": adapt_few_shot(
                first, family, support, steps=STEPS, passes=PASSES
            ),
            f"all, {SHOTS} runs {PASSES} times": adapt_few_shot(
                first, family, support, steps=STEPS, names=everything, lr=0.01, passes=PASSES
            ),
            "all, meta-training": fine_tune(spec(int(150 * share), seed=seed), first, [family]),
        }
        for way, controller in ways.items():
            rows.setdefault(way, []).append(logs(controller, B))
    found = {way: torch.cat(parts) for way, parts in rows.items()}
    zero, full = found["zero-shot"], found["all, meta-training"]
    done = Table(
        f"From {A} to {B}: logarithms of test losses of 64 held-out tasks, {len(seeds)} seeds",
        ("adapted", "log test loss", "gain", "gain / full fine-tuning", "better than zero-shot"),
    )
    for way, own in found.items():
        better = way != "zero-shot" and compare(own, zero).is_better
        share_of = ratio(zero - own, zero - full)
        done.rows.append([way, mean(own), mean(zero - own), share_of, "yes" if better else "no"])
    return done

"""A domain that meta-training never saw: from nothing, from a trunk, and beside a trunk."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.learned import ColumnController
from optuna_evo.meta_training import fine_tune
from tests.benchmarks.meta_learning.domains import A
from tests.benchmarks.meta_learning.domains import B
from tests.benchmarks.meta_learning.domains import C
from tests.benchmarks.meta_learning.domains import FAMILIES
from tests.benchmarks.meta_learning.domains import logs
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.domains import untrained
from tests.benchmarks.meta_learning.multi_domain import beside_each_other
from tests.benchmarks.meta_learning.tables import Table


def table(seeds: Sequence[int], share: float) -> Table:
    """Return test losses of the third domain by those of a controller trained on it only."""
    found: dict[tuple[str, str, str], list[Tensor]] = {}
    n, third = int(150 * share), [FAMILIES[C]]
    for seed in seeds:
        shares = [0.75, 0.25]
        families = [FAMILIES[A], FAMILIES[B]]
        trunk = fine_tune(spec(2 * n, seed=seed), untrained(), families, shares=shares)
        whole, half, fifth = (spec(n // part, seed=seed) for part in (1, 2, 5))
        adapter = ColumnController(column=trunk, hidden_size=4)
        scratch = {
            f"{m} steps from scratch": logs(fine_tune(s, untrained(), third), C)
            for m, s in ((n, whole), (n // 5, fifth))
        }
        ways = {
            "the trunk as it is": trunk,
            "20 % of the steps from the trunk": fine_tune(fifth, trunk, third),
            "20 % of the steps for an adapter": fine_tune(fifth, adapter, third),
            "50 % of the steps from the trunk": fine_tune(half, trunk, third),
            "all steps for a progressive column": fine_tune(
                whole, ColumnController(column=trunk, num_layers=2), third
            ),
        }
        for way, controller in ways.items():
            ours = logs(controller, C)
            for beside, theirs in scratch.items():
                found.setdefault((C, way, beside), []).append(torch.stack([ours, theirs]))
    return beside_each_other(found, len(seeds))

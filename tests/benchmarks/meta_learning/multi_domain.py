"""One trunk for two domains, and an adapter for each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_evo.learned import ColumnController
from optuna_evo.meta_training import fine_tune
from tests.benchmarks.meta_learning.domains import A
from tests.benchmarks.meta_learning.domains import B
from tests.benchmarks.meta_learning.domains import FAMILIES
from tests.benchmarks.meta_learning.domains import logs
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.domains import untrained
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import Table


def table(seeds: Sequence[int], share: float) -> Table:
    """Return test losses, geometric means, by those of what each is compared with."""
    found: dict[tuple[str, str, str], list[Tensor]] = {}
    n = int(100 * share)
    for seed in seeds:
        base = untrained()
        trunk = fine_tune(spec(2 * n, seed=seed), base, [FAMILIES[A], FAMILIES[B]])
        for domain in (A, B):
            adapter = ColumnController(column=trunk, hidden_size=4)
            adapted = fine_tune(spec(n, seed=seed + 1), adapter, [FAMILIES[domain]])
            pairs = (logs(adapted, domain), logs(trunk, domain))
            found.setdefault((domain, "trunk + adapter", "shared trunk"), []).append(
                torch.stack(pairs)
            )
    return beside_each_other(found, len(seeds))


def beside_each_other(found: dict[tuple[str, str, str], list[Tensor]], n_seeds: int) -> Table:
    """Return pairs of log losses (2, M), by domain, controller and what it is beside, as rows."""
    done = Table(
        f"Test losses of 64 held-out tasks (geometric means), {n_seeds} seeds",
        ("domain", "controller", "beside", "log loss", "log loss beside", "ratio of losses"),
    )
    for (domain, way, beside), parts in found.items():
        ours, theirs = torch.cat(parts, dim=1)
        difference = ours - theirs
        low, high = (
            float((difference.mean() + sign * 1.96 * difference.std() / len(ours) ** 0.5).exp())
            for sign in (-1, 1)
        )
        middle = float(difference.mean().exp())
        done.rows.append(
            [
                domain,
                way,
                beside,
                mean(ours),
                mean(theirs),
                f"{middle:.3f} [{low:.3f}, {high:.3f}]",
            ]
        )
    return done

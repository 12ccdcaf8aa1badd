"""One trunk for two domains, an adapter for each, and a third domain that the trunk never saw."""

from collections.abc import Sequence

import torch

from optuna_evo.learned import ColumnController
from optuna_evo.meta_training import fine_tune
from tests.benchmarks.meta_learning.domains import A
from tests.benchmarks.meta_learning.domains import B
from tests.benchmarks.meta_learning.domains import C
from tests.benchmarks.meta_learning.domains import FAMILIES
from tests.benchmarks.meta_learning.domains import logs
from tests.benchmarks.meta_learning.domains import spec
from tests.benchmarks.meta_learning.domains import trained
from tests.benchmarks.meta_learning.domains import untrained
from tests.benchmarks.meta_learning.tables import mean
from tests.benchmarks.meta_learning.tables import Table


def table(seeds: Sequence[int], share: float) -> Table:
    """Return test losses, geometric means, by those of what each is compared with."""
    found: dict[tuple[str, str, str], list[torch.Tensor]] = {}
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
        # the third domain: from nothing, from the trunk, and a new column on the trunk
        scratch = logs(trained(C, n, seed), C)
        fifth = spec(n // 5, seed=seed)
        ways = {
            "trunk as it is": trunk,
            "transfer, 20 % of the steps": fine_tune(fifth, trunk, [FAMILIES[C]]),
            "trunk + adapter, 20 % of the steps": fine_tune(
                fifth, ColumnController(column=trunk, hidden_size=4), [FAMILIES[C]]
            ),
            "transfer, 50 % of the steps": fine_tune(
                spec(n // 2, seed=seed), trunk, [FAMILIES[C]]
            ),
            "progressive column, all steps": fine_tune(
                spec(n, seed=seed), ColumnController(column=trunk), [FAMILIES[C]]
            ),
        }
        for way, controller in ways.items():
            own = torch.stack([logs(controller, C), scratch])
            found.setdefault((C, way, f"from scratch, {n} steps"), []).append(own)
    done = Table(
        f"Test losses of 64 held-out tasks (geometric means), {len(seeds)} seeds",
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

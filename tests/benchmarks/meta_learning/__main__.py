"""The modes of meta-learning in figures, one table a mode.

    python -m tests.benchmarks.meta_learning --mode maml

Intervals are of 95 %, over held-out tasks; pairs share their tasks.
"""

from collections.abc import Callable
import importlib
import time

import click
import torch

from tests.benchmarks.meta_learning.tables import Table


MODES = {
    "maml": "maml",
    "rates": "rates",
    "online": "online",
    "continual": "continual",
    "few_shot": "few_shot",
    "domains": "multi_domain",
    "transfer": "transfer",
}


@click.command()
@click.option("--mode", type=click.Choice([*MODES]), multiple=True, help="Default: all.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--quick", is_flag=True, help="A tenth of the steps: does it run at all?")
def main(mode: tuple[str, ...], seeds: int, quick: bool) -> None:
    """Print one table for each mode."""
    torch.set_num_threads(1)
    for name in mode or MODES:
        start = time.perf_counter()
        module = importlib.import_module(f"tests.benchmarks.meta_learning.{MODES[name]}")
        table: Callable[..., Table] = module.table
        print(table(range(seeds), 0.1 if quick else 1.0), flush=True)
        print(f"\n{time.perf_counter() - start:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()

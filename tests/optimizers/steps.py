"""Numbers, gradients and steps on which every path of the update is compared with the rows."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from optuna_evo import Genome
from optuna_evo.optimizers._reference import reference_update
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import Rule
from optuna_evo.rules import step_numbers
from tests.optimizers import published_loop


SIZE = 1100  # more than a block of the compiled kernel
TERMS = (*(term.name.lower() for term in DIRECTIONS), "dense")


def random_rules(count: int) -> list[Rule]:
    """Return rules of every direction that the published terms can be."""
    rng = np.random.default_rng(0)
    return [Genome.from_dict(published_loop.random_seed(rng)).rule for _ in range(count)]


def numbers_with(step_along: Mapping[str, float], **scalars: float) -> tuple[float, ...]:
    """Return the numbers of a step along some terms."""
    usual = {"m_share": 0.1, "v_decay": 0.95, "v_share": 0.05, "rms_scale": 1.25, "eps": 1e-4}
    chosen = usual | {"decay": 0.99, "clip": 2.0} | scalars | dict(step_along)
    assert chosen.keys() <= set(NUMBERS)
    return tuple(chosen.get(name, 0.0) for name in NUMBERS)


def symbols_of(numbers: Sequence[float]) -> list[str]:
    """Return the averages that a step reads."""
    terms = [t for t, number in zip(DIRECTIONS, numbers, strict=False) if number]
    return [s for s in AVERAGES if any(s in term.row.reads for term in terms)]


def gradients(n_steps: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    rng = np.random.default_rng(1)
    return [
        torch.from_numpy(g).to(dtype) for g in published_loop.wide_gradients(rng, n_steps, SIZE)
    ]


def dense_direction(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(-2, 3, SIZE, dtype=torch.float64).to(dtype)


def by_rows(all_numbers: Sequence[Sequence[float]], grads: list[Tensor]) -> Tensor:
    """Train weights of ones by the readable update, and return them."""
    w = torch.ones_like(grads[0])
    averages = {symbol: [torch.zeros_like(w)] for symbol in symbols_of(all_numbers[0])}
    for numbers, g in zip(all_numbers, grads, strict=True):
        reference_update([w], [g], averages, numbers, [dense_direction(w.dtype)])
    return w


def of_rules(rules: list[Rule], step: int, total_steps: int = 20) -> Tensor:
    """Return the numbers of step 1, 2, … of each rule, (P, n)."""
    rows = [step_numbers(rule, step, total_steps=total_steps) for rule in rules]
    return torch.tensor(rows, dtype=torch.float64)

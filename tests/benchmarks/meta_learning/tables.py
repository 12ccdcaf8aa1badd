"""Means with their intervals, and a table of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math

import torch
from torch import Tensor


@dataclass
class Table:
    """Rows of cells under a title; prints as Markdown."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"{self.title}\n\n{body}"


def mean(values: Tensor) -> str:
    """Return mean and half-width of its interval."""
    return f"{float(values.mean()):.4g} ± {half_width(values):.2g}"


def half_width(values: Tensor) -> float:
    """Return half of the 95 % interval of a mean."""
    return 1.96 * float(values.double().std()) / math.sqrt(len(values))


def ratio(ours: Tensor, theirs: Tensor, *, draws: int = 2000) -> str:
    """Return the ratio of paired means with its bootstrap interval."""
    low, middle, high = ratio_interval(ours, theirs, draws=draws)
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def ratio_interval(
    ours: Tensor, theirs: Tensor, *, draws: int = 2000
) -> tuple[float, float, float]:
    """Return lower end, ratio of the means, and upper end."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(ours), (draws, len(ours)), generator=generator)
    ratios = ours.double()[rows].mean(1) / theirs.double()[rows].mean(1)
    low, high = torch.quantile(ratios, torch.tensor([0.025, 0.975]).double()).tolist()
    return low, float(ours.double().mean() / theirs.double().mean()), high

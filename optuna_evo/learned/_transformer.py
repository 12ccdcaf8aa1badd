"""Attention over tensors and over what each of them was like in the last steps."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import DEFAULT_MIXES
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._mlp import mlp
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import STATISTICS
from optuna_evo.learned._statistics import time_features
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = ["TransformerController"]

# All but the place among the tensors: what is answered must not depend on their order.
_SEEN = [i for i, name in enumerate(STATISTICS) if name != "place among the tensors"]


class TransformerController(Controller):
    """A transformer whose tokens are tensors: a learning rate and a mix for each.

    A token is the `STATISTICS` of a tensor with the time. First a tensor attends to its own last
    steps, then to all tensors, so what is right for one can depend on how it compares with the
    others. Permuting the tensors permutes the answer.

    Args:
        hidden_size: Size of a token; a multiple of `num_heads`.
        num_heads: Heads of attention.
        num_layers: Layers of attention over tensors.
        sequence_length: Steps that a tensor remembers, this one included.
        attends: Whether tensors attend to one another; without, the same weights see each alone.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in.

    Raises:
        ValueError: If a size is no positive number, or heads do not divide the hidden size.

    Example:
        >>> rule = ControllerRule(TransformerController(num_heads=4, sequence_length=4))
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
    """

    kind = "transformer"

    def __init__(
        self,
        *,
        hidden_size: int = 16,
        num_heads: int = 2,
        num_layers: int = 1,
        sequence_length: int = 4,
        attends: bool = True,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = DEFAULT_MIXES,
    ) -> None:
        sizes = (hidden_size, num_heads, num_layers, sequence_length)
        if min(sizes) < 1 or hidden_size % num_heads:
            raise ValueError(
                "`hidden_size`, `num_heads`, `num_layers` and `sequence_length` must be positive "
                f"and `num_heads` divide `hidden_size`, got {', '.join(map(str, sizes))}."
            )
        settings = {
            "hidden_size": hidden_size,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "sequence_length": sequence_length,
            "attends": attends,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        self.needs_total_steps = uses_total_steps
        self.sequence_length, self.attends = sequence_length, attends
        n_inputs = len(_SEEN) + (7 if uses_total_steps else 4)
        with seeded(seed):
            self.embed = nn.Linear(n_inputs, hidden_size)
            self.age = nn.Parameter(torch.randn(sequence_length, hidden_size) / 10)
            self.past = _Attention(hidden_size, num_heads)
            self.blocks = nn.ModuleList(_Block(hidden_size, num_heads) for _ in range(num_layers))
            self.head = mlp([hidden_size, 1 + len(self.mixes)])

    def start(self, layout: Layout) -> State:
        """Return an empty history: tokens (steps, T, inputs), and how many there are."""
        n_inputs = self.embed.in_features
        return {
            "history": torch.zeros(self.sequence_length, len(layout), n_inputs),
            "count": torch.zeros(()),
        }

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return a learning rate and a mix for each tensor."""
        total = reading.total_steps if self.needs_total_steps else None
        time = time_features(reading.step, total)
        rows = reading.statistics[:, _SEEN]
        now = torch.cat([rows, time.expand(len(rows), -1)], dim=-1)
        history = torch.cat([state["history"][1:], now.unsqueeze(0)])  # oldest first
        count = (state["count"] + 1).clamp(max=self.sequence_length)
        tokens = self.embed(history) + self.age.unsqueeze(1)  # (W, T, hidden)
        there = torch.arange(self.sequence_length, device=count.device)
        open_ = there >= self.sequence_length - count
        blocked = torch.where(open_, 0.0, -1e9).to(tokens)
        own = tokens.transpose(0, 1)  # (T, W, hidden)
        x = self.past(own[:, -1:], own, blocked).squeeze(1) + own[:, -1]
        for block in self.blocks:
            x = block(x, attends=self.attends)
        out = self.head(_normalised(x))
        answer = Answer(log_lr=bounded(out[:, 0], 6.0), mix=out[:, 1:])
        return answer, {"history": history, "count": count}


class _Block(nn.Module):
    """Attention over tensors and a perceptron, both on normalised tokens and added to them."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.attention = _Attention(hidden_size, num_heads)
        self.wide = nn.Linear(hidden_size, 2 * hidden_size)
        self.narrow = nn.Linear(2 * hidden_size, hidden_size)

    def forward(self, x: Tensor, *, attends: bool) -> Tensor:
        tokens = _normalised(x)
        if attends:
            x = x + self.attention(tokens, tokens, None)
        else:  # the values of the token itself: as many weights, no look at others
            x = x + self.attention.of_itself(tokens)
        wide = torch.tanh(self.wide(_normalised(x)))
        return x + self.narrow(wide)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """Attention by heads, of plain products, so that it can be vmapped."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size, bias=False)  # a bias would change nothing
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, queries: Tensor, tokens: Tensor, blocked: Tensor | None) -> Tensor:
        """Return what (..., Q, hidden) finds in (..., K, hidden)."""
        q, k, v = (
            self._heads(f(x))
            for f, x in ((self.query, queries), (self.key, tokens), (self.value, tokens))
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if blocked is not None:
            scores = scores + blocked
        found = scores.softmax(dim=-1) @ v  # (..., heads, Q, hidden / heads)
        return self.out(found.transpose(-2, -3).flatten(-2))  # type: ignore[no-any-return]

    def of_itself(self, tokens: Tensor) -> Tensor:
        """Return what each token finds if it sees itself only."""
        return self.out(self.value(tokens))  # type: ignore[no-any-return]

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.num_heads, -1).transpose(-2, -3)


def _normalised(x: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred * (centred.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()

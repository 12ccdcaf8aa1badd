"""A recurrent network for every coordinate: one LSTM, a hidden state for each weight."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._controller import seeded
from optuna_evo.learned._controller import zero_
from optuna_evo.learned._mlp import bounded
from optuna_evo.learned._reading import Answer
from optuna_evo.learned._reading import Reading
from optuna_evo.learned._reading import State
from optuna_evo.learned._statistics import time_features
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout


__all__ = ["log_and_sign", "LSTMController"]

_N_INPUTS = 4  # of a weight, beside the time
_OUTPUT_SCALE = 0.1  # Andrychowicz et al. 2016: outputs of the order of a step


class LSTMController(Controller):
    """A coordinatewise LSTM (arXiv:1606.04474): all weights share it, each has its hidden state.

    Its inputs are the gradient of a weight as logarithm and sign (appendix A there), what Adam
    would do, the size of the gradient beside its average size, and the time. Its output is a
    direction; beside it a learning rate for all is learned. Hidden states begin at 0 in every run.

    Args:
        hidden_size: Numbers in a hidden state.
        num_layers: Layers.
        forget_gate_bias: What is added before the forget gates: the larger, the longer a state is
            kept at first.
        preprocessing: p of the logarithm: gradients below exp(-p) count as proportional.
        uses_total_steps: Whether it sees how far the run is; then it needs `total_steps`.
        seed: Of the weights of all layers but the last, which is 0.
        genome: The base, or its `to_dict`; None: `catalog["adam"]`.
        mixes: Directions that it mixes in, by coefficients that are learned numbers.

    Raises:
        ValueError: If a size is no positive number.

    Example:
        >>> rule = ControllerRule(LSTMController(hidden_size=8, num_layers=1))
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule)
    """

    kind = "lstm"
    sees = "whole"
    has_direction = True

    def __init__(
        self,
        *,
        hidden_size: int = 20,
        num_layers: int = 2,
        forget_gate_bias: float = 1.0,
        preprocessing: float = 10.0,
        uses_total_steps: bool = True,
        seed: int = 0,
        genome: Genome | Mapping[str, Any] | None = None,
        mixes: Sequence[str] = (),
    ) -> None:
        if hidden_size < 1 or num_layers < 1 or not preprocessing > 0:
            raise ValueError(
                "`hidden_size`, `num_layers` and `preprocessing` must be positive, got "
                f"{hidden_size}, {num_layers} and {preprocessing}."
            )
        settings = {
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "forget_gate_bias": forget_gate_bias,
            "preprocessing": preprocessing,
            "uses_total_steps": uses_total_steps,
            "seed": seed,
        }
        super().__init__(settings, genome=genome, mixes=mixes)
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.preprocessing = preprocessing
        self.needs_total_steps = uses_total_steps
        n_inputs = _N_INPUTS + (7 if uses_total_steps else 4)
        with seeded(seed):
            sizes = [n_inputs, *[hidden_size] * (num_layers - 1)]
            self.cells = nn.ModuleList(_Cell(n, hidden_size, forget_gate_bias) for n in sizes)
        self.head = nn.Linear(hidden_size, 1)
        zero_(self.head)
        self.same = nn.Parameter(torch.zeros(1 + len(self.mixes)))  # for all tensors and steps

    def start(self, layout: Layout) -> State:
        """Return hidden states of zeros, (layers, N, hidden_size)."""
        n = sum(math.prod(shape) for shape in layout)
        shape = (self.num_layers, n, self.hidden_size)
        return {"hidden": torch.zeros(shape), "cell": torch.zeros(shape)}

    def forward(self, reading: Reading, state: State) -> tuple[Answer, State]:
        """Return a direction, and the hidden states after the step."""
        g, m, v = (reading.flat[name] for name in ("grads", "m", "v"))
        root = v.sqrt() + 1e-12
        total = reading.total_steps if self.needs_total_steps else None
        x = torch.cat(
            [
                log_and_sign(g, self.preprocessing),
                bounded(torch.stack([m / root, g / root], dim=-1), 4.0),
                time_features(reading.step, total).expand(len(g), -1),
            ],
            dim=-1,
        )
        hidden, cells = [], []
        for layer, cell in enumerate(self.cells):
            x, c = cell(x, state["hidden"][layer], state["cell"][layer])
            hidden.append(x)
            cells.append(c)
        n_tensors = len(reading.layout)
        answer = Answer(
            log_lr=bounded(self.same[0], 6.0).expand(n_tensors),
            mix=self.same[1:].expand(n_tensors, -1),
            direction=_OUTPUT_SCALE * self.head(x).squeeze(-1),
        )
        return answer, {"hidden": torch.stack(hidden), "cell": torch.stack(cells)}


class _Cell(nn.Module):
    """One layer of an LSTM for a step, of plain products, so that it can be vmapped."""

    def __init__(self, n_inputs: int, hidden_size: int, forget_gate_bias: float) -> None:
        super().__init__()
        self.gates = nn.Linear(n_inputs + hidden_size, 4 * hidden_size)
        with torch.no_grad():  # input, forget, candidate, output
            self.gates.bias[hidden_size : 2 * hidden_size] += forget_gate_bias

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.gates(torch.cat([x, hidden], dim=-1))
        i, f, new, o = gates.chunk(4, dim=-1)
        cell = f.sigmoid() * cell + i.sigmoid() * new.tanh()
        return o.sigmoid() * cell.tanh(), cell


def log_and_sign(x: Tensor, p: float) -> Tensor:
    """Return two numbers for each, (..., 2), that tell sizes over many orders of magnitude.

    (log|x| / p, sign x) where |x| >= exp(-p), else (-1, exp(p) x): arXiv:1606.04474, appendix A.
    """
    size = x.abs()
    large = size >= math.exp(-p)
    logarithm = torch.where(large, size.clamp(min=math.exp(-p)).log() / p, -1.0)
    sign = torch.where(large, x.sign(), (x * math.exp(p)).clamp(-1, 1))
    return torch.stack([logarithm, sign], dim=-1)

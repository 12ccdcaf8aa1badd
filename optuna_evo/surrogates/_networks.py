"""An ensemble of small networks, trained at once with numpy.

    k networks, n rows, c feature columns, h hidden units

All networks are one batch of matrices, so an ensemble costs little more than a network. Each row
of the training data has a weight for each network, (k, n), zero where a network must not see the
row: so every row can be predicted by a network that has not seen it. The optimizer is AdamW
(Loshchilov and Hutter 2019) over full batches, with a linear decay of the rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


Array = NDArray[np.float64]

N_STEPS = 100
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.3
BETAS = (0.9, 0.99)
EPSILON = 1e-8


@dataclass(frozen=True)
class Networks:
    """Two tanh layers and a linear head, k times."""

    layers: tuple[tuple[Array, Array], ...]  # (k, in, out), (k, 1, out)

    def __call__(self, features: Array) -> Array:
        """Return every network's prediction for rows (n, c), (k, n)."""
        return _forward(self.layers, features)[-1][..., 0]


def train(
    features: Array, targets: Array, row_weights: Array, *, hidden: int, rng: np.random.Generator
) -> Networks:
    """Fit networks to standardised targets (n,), rows weighted by (k, n)."""
    k, n_columns = len(row_weights), features.shape[1]
    sizes = [n_columns, hidden, hidden, 1]
    layers = [
        (rng.standard_normal((k, a, b)) / np.sqrt(a), np.zeros((k, 1, b)))
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    shares = row_weights / row_weights.sum(axis=1, keepdims=True)
    moments = [tuple((np.zeros_like(p), np.zeros_like(p)) for p in layer) for layer in layers]
    for step in range(1, N_STEPS + 1):
        rate = LEARNING_RATE * (1.0 - (step - 1) / N_STEPS)
        gradients = _backward(layers, features, targets, shares)
        for layer, gradient, moment in zip(layers, gradients, moments, strict=True):
            for parameter, g, (first, second) in zip(layer, gradient, moment, strict=True):
                _adamw(parameter, g, first, second, step, rate)
    return Networks(tuple(layers))


def _forward(layers: "Layers", features: Array) -> list[Array]:
    """Return the activations of every layer, the input first and the (k, n, 1) output last."""
    activations = [np.broadcast_to(features, (len(layers[0][0]), *features.shape))]
    for i, (weight, bias) in enumerate(layers):
        linear = activations[-1] @ weight + bias
        activations.append(linear if i == len(layers) - 1 else np.tanh(linear))
    return activations


def _backward(
    layers: "Layers", features: Array, targets: Array, shares: Array
) -> list[tuple[Array, Array]]:
    """Return the gradient of each network's weighted mean squared error."""
    activations = _forward(layers, features)
    error = 2.0 * shares[..., None] * (activations[-1] - targets[None, :, None])
    gradients: list[tuple[Array, Array]] = []
    for i in range(len(layers) - 1, -1, -1):
        below = activations[i]
        gradients.append((below.transpose(0, 2, 1) @ error, error.sum(axis=1, keepdims=True)))
        if i:
            error = (error @ layers[i][0].transpose(0, 2, 1)) * (1.0 - below * below)
    return gradients[::-1]


def _adamw(
    parameter: Array, gradient: Array, first: Array, second: Array, step: int, rate: float
) -> None:
    """Move a parameter in place; biases (k, 1, out) are not decayed."""
    first *= BETAS[0]
    first += (1.0 - BETAS[0]) * gradient
    second *= BETAS[1]
    second += (1.0 - BETAS[1]) * gradient * gradient
    if parameter.shape[1] > 1:
        parameter *= 1.0 - rate * WEIGHT_DECAY
    corrected = np.sqrt(second / (1.0 - BETAS[1] ** step)) + EPSILON
    parameter -= rate / (1.0 - BETAS[0] ** step) * first / corrected


Layers = list[tuple[Array, Array]] | tuple[tuple[Array, Array], ...]

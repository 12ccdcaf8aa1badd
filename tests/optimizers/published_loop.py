"""The plain loop of the published notebook (arXiv:2512.11853), as an oracle in float64.

Terms that are ours follow those of the notebook, by their integers. It knows nothing of canonical
forms: every scalar and flag of a genome is used as it stands.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import numpy as np

from optuna_evo import Genome


Array = np.ndarray[Any, np.dtype[np.float64]]


def train(
    seed: Mapping[str, Any], weights: Array, gradients: Sequence[Array], total_steps: int
) -> Array:
    """Return the weights after one step for each gradient; `seed` is in the published format.

    The notebook writes NESTEROV as m + 0.9 * (g - m); `nesterov_beta` replaces that 1 - 0.9.
    """
    w, (m, v, s) = weights.copy(), np.zeros((3, *weights.shape))
    beta1, beta2 = seed["beta1"], seed["beta2"]
    eps, decay = 10.0 ** seed["eps_log10"], 10.0 ** seed["wd_log10"]
    for step, g in enumerate(gradients):
        lr = 10.0 ** seed["lr_log10"]
        if seed["use_warmup"] and step < seed["warmup_steps"]:
            lr *= (step + 1) / seed["warmup_steps"]
        if seed["use_cosine_decay"]:
            lr *= 0.5 * (1 + math.cos(math.pi * step / total_steps))
        if seed["use_gradient_clipping"]:
            g = g.clip(-seed["clip_value"], seed["clip_value"])
        w = w * (1 - lr * decay)
        m = beta1 * m + (1 - beta1) * g if seed["use_m"] else g
        v = beta2 * v + (1 - beta2) * g * g if seed["use_v"] else g * g
        m_hat, v_hat = m, v
        if seed["use_bias_correction"] and seed["use_m"]:
            m_hat = m / (1 - beta1 ** (step + 1))
        if seed["use_bias_correction"] and seed["use_v"]:
            v_hat = v / (1 - beta2 ** (step + 1))
        terms = {
            0: g,
            1: m_hat,
            2: g / (np.sqrt(v_hat) + eps),
            3: m_hat / (np.sqrt(v_hat) + eps),
            4: np.sign(g),
            5: g / (np.abs(g) + eps),
            6: m_hat + (1 - seed.get("nesterov_beta", 0.1)) * (g - m_hat),
            7: m_hat / (np.abs(g) + eps),
            8: np.sign(m_hat),
            9: np.sign(beta1 * s + (1 - beta1) * g) if seed["use_m"] else np.sign(g),
            10: np.where(np.sign(g) == np.sign(m_hat), m_hat, 0.0),
        }
        for kind, alpha in zip(seed["term_types"], seed["alphas"], strict=True):
            w = w - lr * alpha * terms[kind]
        s = beta2 * s + (1 - beta2) * g
    return w


def seed_format(genome: Genome) -> dict[str, Any]:
    """Write a genome in the published format, `nesterov_beta` added."""
    data = genome.to_dict()
    share = genome.beta1 if genome.nesterov_beta is None else genome.nesterov_beta
    return data | {
        "term_types": [int(term.type) for term in genome.terms],
        "alphas": [term.alpha for term in genome.terms],
        "lr_log10": math.log10(genome.lr),
        "eps_log10": math.log10(genome.eps),
        "wd_log10": math.log10(genome.weight_decay) if genome.weight_decay else -math.inf,
        "nesterov_beta": share,
    }


def random_seed(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a genome in the published format, within the published ranges."""
    n_terms = int(rng.integers(1, 5))
    flags = ("use_m", "use_v", "use_bias_correction", "use_gradient_clipping")
    return {
        "term_types": rng.integers(0, 7, n_terms).tolist(),
        "alphas": rng.uniform(-5, 5, n_terms).tolist(),
        "lr_log10": rng.uniform(-5, -1),
        "beta1": rng.uniform(0, 0.999),
        "beta2": rng.uniform(0, 0.9999),
        "eps_log10": rng.uniform(-10, -4),
        "wd_log10": rng.uniform(-6, -2),
        "clip_value": rng.uniform(0.5, 2),
        "warmup_steps": int(rng.integers(1, 30)),
        **{flag: bool(rng.integers(2)) for flag in (*flags, "use_warmup", "use_cosine_decay")},
    }


def wide_gradients(rng: np.random.Generator, n_steps: int, size: int = 24) -> list[Array]:
    """Draw gradients of all magnitudes from 1e-6 to 10, both signs."""
    return list(
        rng.choice([-1.0, 1.0], (n_steps, size)) * 10 ** rng.uniform(-6, 1, (n_steps, size))
    )

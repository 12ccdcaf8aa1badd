"""Two update rules that observe: one has coefficients of its own, one a direction of its own."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.rules import Layout
from optuna_evo.rules import Needs
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import Observation


def numbers_of(shape: tuple[int, int], **named: Tensor | float) -> Tensor:
    """Return numbers (P, T, n) that do nothing but what is named."""
    numbers = torch.zeros(*shape, len(NUMBERS), dtype=torch.float64)
    for name, value in {"decay": 1.0, "v_decay": 1.0, "clip": torch.inf, **named}.items():
        numbers[..., NUMBERS.index(name)] = torch.as_tensor(value, dtype=torch.float64)
    return numbers


class TrustRatio:
    """Layer-wise adaptive rates (arXiv:1708.03888), the ratio |w| / |g| averaged over steps.

    A tensor w moves by lr * r * m, where m averages g by 0.9 and r averages |w| / |g| by 0.8.
    """

    needs: Needs = frozenset({"m"})
    observes = True

    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr

    def fingerprint(self) -> str:
        return f"trust-ratio-{self.lr}"

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> "TrustRatioCoefficients":
        return TrustRatioCoefficients(self.lr, torch.zeros(n_members, len(layout)).double())


class TrustRatioCoefficients:
    def __init__(self, lr: float, ratios: Tensor) -> None:
        self.lr, self.ratios = lr, ratios  # (P, T)

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        assert seen is not None
        sizes = [_norms(w) / _norms(g) for w, g in zip(seen.params, seen.grads, strict=True)]
        self.ratios = self.ratios.lerp(torch.stack(sizes, dim=1).nan_to_num(0, 0, 0), 0.2)
        steps = self.lr * self.ratios
        return numbers_of(tuple(steps.shape), momentum=steps, m_share=0.1)  # type: ignore[arg-type]

    def select(self, index: Tensor) -> None:
        self.ratios = self.ratios[index]

    def state_dict(self) -> dict[str, Any]:
        return {"ratios": self.ratios}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.ratios = state["ratios"].clone()


def _norms(stacked: Tensor) -> Tensor:
    return stacked.double().reshape(len(stacked), -1).norm(dim=1)


class Orthogonal:
    """Move matrices by the orthogonal factor of an average of gradients; others by its sign."""

    needs: Needs = frozenset({"m"})
    observes = True

    def fingerprint(self) -> str:
        return "orthogonal"

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> "OrthogonalCoefficients":
        return OrthogonalCoefficients(n_members, [len(shape) == 2 for shape in layout])


class OrthogonalCoefficients:
    def __init__(self, n_members: int, is_matrix: list[bool]) -> None:
        self.n_members, self.is_matrix = n_members, torch.tensor(is_matrix)

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        pairs = zip(seen.averages["m"], seen.grads, strict=True)
        averages = [m.lerp(g.to(m), 0.1) for m, g in pairs]
        return [polar(m) if m.ndim == 3 else torch.zeros_like(m) for m in averages]

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        shape = (self.n_members, len(self.is_matrix))
        return numbers_of(
            shape,
            dense=0.1 * self.is_matrix.double(),
            sign_momentum=0.01 * (~self.is_matrix).double(),
            m_share=0.1,
            decay=0.99,
        )

    def select(self, index: Tensor) -> None:
        self.n_members = len(index)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert not state


def polar(matrices: Tensor) -> Tensor:
    """Return U V of the singular value decomposition U S V."""
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    return u @ v

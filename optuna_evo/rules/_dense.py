"""Directions and modifiers that are no elementwise functions, written for stacks of tensors.

They call nothing but methods of tensors, so they need no torch here; `optuna_evo.optimizers` runs
them, and a rule that is exported as a file has the text of those that it uses.

Shape legend: P members, or 1; a tensor of the members is (P, *shape), a matrix (P, r, c).
"""

from __future__ import annotations

from typing import Any


__all__ = [
    "cautious",
    "LONGEST",
    "norm_bounded",
    "orthogonalised",
    "per_member",
    "rms_normalised",
    "rotated_update",
]

LONGEST = 10_000
"""The side of a matrix up to which it has a basis of SOAP, as in the published code."""


def orthogonalised(x: Any) -> Any:
    """Return about U V of the singular value decompositions U S V, with the size of Adam's steps.

    Five Newton-Schulz iterations with the coefficients of Muon (Jordan et al., 2024), in bfloat16
    on a GPU, as published. The factor 0.2 sqrt(max(r, c)) gives elements a root mean square of
    0.2, as Adam's steps have, so that both share a learning rate (arXiv:2502.16982).
    """
    rows, columns = x.shape[1:]
    y = x.bfloat16() if x.is_cuda and x.element_size() < 8 else x
    y = y.mT if rows > columns else y
    y = y / y.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = y @ y.mT
        gram = gram.baddbmm(gram, gram, beta=-4.7750, alpha=2.0315)
        y = y.baddbmm(gram, y, beta=3.4445)
    y = y.mT if rows > columns else y
    return 0.2 * max(rows, columns) ** 0.5 * y.to(x.dtype)


def rotated_update(
    g: Any,
    m: Any,
    basis: Any,
    step: int,
    v_decay: Any,
    v_share: Any,
    scale: Any,
    eps: Any,
    linalg: Any,
) -> Any:
    """Return Adam's step in the eigenbasis of Shampoo's factors: SOAP (arXiv:2409.11321).

    As its published code does, the first step only begins the basis and gives 0, and each tenth
    step turns the basis by one QR iteration, after it was used.

    Args:
        g: Gradients, (P, r, c).
        m: Their averages, after the step.
        basis: Changed in place: for a side of the matrix ("left", "right") that is not too long
            its factor and its basis, and "square", the average of squared rotated gradients.
        step: Steps done before.
        v_decay: What is kept of the averages of squares and the factors.
        v_share: What is new in them.
        scale: Of the root of squares: bias correction.
        eps: Added to the root.
        linalg: `torch.linalg`.
    """
    sides = [side for side in ("left", "right") if side in basis]
    update = 0 * g
    if step:
        rotated, moved = g, m
        if "left" in sides:
            rotated, moved = basis["left"].mT @ rotated, basis["left"].mT @ moved
        if "right" in sides:
            rotated, moved = rotated @ basis["right"], moved @ basis["right"]
        square = v_decay * basis["square"] + v_share * rotated * rotated
        basis["square"].copy_(square)
        update = moved / (square.sqrt() * scale + eps)
        if "left" in sides:
            update = basis["left"] @ update
        if "right" in sides:
            update = update @ basis["right"].mT
    for side in sides:
        factor, turn = basis[side + "_factor"], basis[side]
        outer = g @ g.mT if side == "left" else g.mT @ g
        factor.copy_(v_decay * factor + v_share * outer)
        finite = factor.nan_to_num(0.0, 0.0, 0.0)
        if step == 0:
            turn.copy_(linalg.eigh(finite)[1].flip(-1))
        elif step % 10 == 0:
            order = (turn * (finite @ turn)).sum(-2).argsort(-1, descending=True)
            at = order[:, :, None] if side == "left" else order[:, None, :]
            basis["square"].copy_(basis["square"].take_along_dim(at, 1 if side == "left" else 2))
            turn.copy_(linalg.qr(finite @ turn.take_along_dim(order[:, None, :], 2))[0])
    return update


def cautious(u: Any, g: Any) -> Any:
    """Return an update without the elements that go against the gradient, the others longer.

    The mask and its rescaling are those of "Cautious Optimizers" (arXiv:2411.16085).
    """
    mask = (u * g > 0).to(u.dtype)
    return u * mask / per_member(mask.reshape(len(u), -1).mean(1).clamp(min=1e-3), u)


def rms_normalised(u: Any) -> Any:
    """Return an update whose elements have a root mean square of 1 in each tensor."""
    size = u.reshape(len(u), -1).square().mean(1).sqrt()
    return u / per_member(size.clamp(min=1e-12), u)


def norm_bounded(u: Any, w: Any, bound: Any) -> Any:
    """Return an update no longer than `bound` times the weights of its tensor.

    It is LAMB's trust ratio (arXiv:1904.00962) where that shortens a step. Weights count as at
    least 1e-3 in root mean square, as in Adafactor's relative steps (arXiv:1804.04235), so that
    what begins at 0 can leave it.
    """
    sizes = [x.reshape(len(x), -1).square().mean(1).sqrt() for x in (u, w)]
    u_size, w_size = sizes[0].clamp(min=1e-12), sizes[1].clamp(min=1e-3)
    return u * per_member(w_size / u_size, u).mul(bound).clamp(max=1.0)


def per_member(x: Any, like: Any) -> Any:
    """Return numbers (P,) with as many dimensions as `like`, (P, 1, ...)."""
    return x.reshape([len(x)] + [1] * (like.ndim - 1))

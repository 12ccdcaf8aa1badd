"""What a controller's part of a step costs, counted, not timed: the same on all machines."""

import math
from typing import Any
from typing import Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optuna_evo.learned._controller import Controller
from optuna_evo.learned._rule import ControllerRule
from optuna_evo.optimizers import StackOptimizer
from optuna_evo.rules import Layout


__all__ = ["REFERENCE", "step_cost"]

REFERENCE: Final[Layout] = ((64, 64), (64,), (64, 64), (64,), (10, 64), (10,))
"""An MLP of three layers, 8,970 weights."""
_PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that operations write, and the multiplications of matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        written = sum(
            t.numel()
            for t in (found if isinstance(found, tuple | list) else [found])
            if isinstance(t, Tensor) and not t._is_view()
        )
        name = func.__name__.partition(".")[0]
        if name in _PRODUCTS:
            inner = args[-1] if name in ("mm", "bmm") else args[2]
            written *= inner.shape[-2]
        self.n += written
        return found


def step_cost(controller: Controller, layout: Layout = REFERENCE) -> float:
    """Return how many operations a step of the controller takes for each parameter of a model.

    An operation writes an element, or is a multiplication in a matrix product. What the base
    genome's own update takes, some ten operations, is not among them.

    Args:
        controller: The controller.
        layout: Shapes of the model's tensors.

    Example:
        >>> step_cost(MLPController()) < step_cost(LSTMController())
        True
    """
    size = sum(math.prod(shape) for shape in layout)
    random = torch.Generator().manual_seed(0)
    weights, grads = (torch.randn(1, size, generator=random) for _ in range(2))
    optimizer = StackOptimizer(ControllerRule(controller), weights, total_steps=10, layout=layout)
    optimizer.step(weights, grads)  # tables of the base are made in the first step
    seen = optimizer.observe(weights, grads)
    run = ControllerRule(controller).start(layout, 1, 10, weights.device)
    with torch.no_grad():
        run.evaluate(1, seen)
        with _Counter() as counter:
            run.evaluate(2, seen)
    return float(counter.n / size)

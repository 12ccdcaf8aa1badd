"""What `torch.compile` makes of a step: it runs as it is, outside of compiled graphs.

A step is one compiled pass already. Traced, it would be compiled anew whenever the count of
steps, an ordinary number, changes. This module loads the compiler: it is loaded in traces only.
"""

from typing import Any

import torch


__all__ = ["step_outside"]


@torch.compiler.disable(  # type: ignore[no-untyped-call, untyped-decorator]
    reason="A step of EvolvedOptimizer is a compiled kernel and stays outside of graphs: compile "
    "the model, or leave out `fullgraph=True`."
)
def step_outside(optimizer: Any, closure: Any) -> Any:
    """Do one step of an optimizer, not traced."""
    return optimizer._step(closure)

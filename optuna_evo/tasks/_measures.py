"""Losses and metrics: means over a batch, in float32 whatever the outputs are in.

One output where two classes are told apart is the logit of class 1.

Shape legend: b rows of a batch.
"""

from torch import Tensor
import torch.nn.functional as F

from optuna_evo.errors import UsageError


__all__ = ["accuracy", "cross_entropy", "mean_squared_error", "variance_explained"]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy in nats.

    Args:
        outputs: Logits (..., classes), or the logits of class 1, (...) or (..., 1).
        targets: Classes (...) or (..., 1).

    Raises:
        UsageError: If the shapes do not go together.
    """
    if _is_one_logit("cross_entropy", outputs, targets):
        logits = outputs.reshape(targets.shape).float()
        return F.binary_cross_entropy_with_logits(logits, targets.float())
    return F.cross_entropy(outputs.flatten(0, -2).float(), targets.flatten().long())


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of targets whose class has the largest logit; shapes as `cross_entropy`.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[2.0], [-1.0]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """
    if _is_one_logit("accuracy", outputs, targets):
        return ((outputs.reshape(targets.shape) > 0) == (targets > 0.5)).float().mean()
    return (outputs.argmax(dim=-1).flatten() == targets.flatten()).float().mean()


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared difference.

    Args:
        outputs: Values (b,), or (b, k) of k values a row.
        targets: The true ones, of the same shape; (b,) and (b, 1) go together.

    Raises:
        UsageError: If the shapes do not go together; torch would pair each row with each.
    """
    if _plain(outputs) != _plain(targets):
        raise _misfit("mean_squared_error", outputs, targets, "the same shape for both")
    return F.mse_loss(outputs.reshape(targets.shape).float(), targets.float())


def variance_explained(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - mean squared error, the share explained of targets with variance 1."""
    return 1 - mean_squared_error(outputs, targets)


def _is_one_logit(measure: str, outputs: Tensor, targets: Tensor) -> bool:
    """Return whether outputs are logits of class 1; False: one for each of two or more classes."""
    if outputs.shape[-1:] != (1,) and outputs.shape[:-1] in (targets.shape, _plain(targets)):
        return False
    # (b, k) twice could be k logits a row or k indicators of one class
    if _plain(outputs) == _plain(targets) and (
        outputs.ndim < 2 or outputs.shape != targets.shape or _is_column(outputs)
    ):
        return True
    raise _misfit(
        measure,
        outputs,
        targets,
        "outputs (..., classes), or (...) or (..., 1), the logits of class 1, and targets (...)",
    )


def _is_column(values: Tensor) -> bool:
    return values.ndim > 1 and values.shape[-1] == 1


def _plain(values: Tensor) -> tuple[int, ...]:
    return tuple(values.shape[:-1] if _is_column(values) else values.shape)


def _misfit(measure: str, outputs: Tensor, targets: Tensor, allowed: str) -> UsageError:
    return UsageError(
        f"`{measure}` takes {allowed}; got outputs of shape {tuple(outputs.shape)} and targets "
        f"of shape {tuple(targets.shape)}."
    )

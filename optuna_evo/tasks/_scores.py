"""The metrics of a task on a whole split, from the outputs of a model."""

from torch import Tensor

from optuna_evo.metrics import classification_metrics
from optuna_evo.metrics import regression_metrics
from optuna_evo.tasks._spans import answer_scores
from optuna_evo.tasks._task import Split
from optuna_evo.tasks._task import Task


__all__ = ["scores"]


def scores(task: Task, outputs: Tensor, split: Split) -> dict[str, float]:
    """Return the metrics of `optuna_evo.metrics` that apply; none for a language model.

    Args:
        task: Whose kind decides which.
        outputs: Tensor (n, ...), what the model makes of all inputs of the split.
        split: The rows.

    Example:
        >>> from optuna_evo import tasks
        >>> task = tasks.get("two_moons")
        >>> valid = task.load(None).valid
        >>> sorted(scores(task, task.build_model()(valid.inputs), valid))
        ['accuracy', 'auc', 'f1', 'matthews']
    """
    plain = outputs.detach().float().cpu()
    if task.kind == "classification":
        return classification_metrics(plain.softmax(dim=1).numpy(), split.targets.cpu().numpy())
    if task.kind == "regression":
        return regression_metrics(plain.numpy(), split.targets.cpu().numpy())
    if task.kind == "question_answering":
        return answer_scores(plain, split.extras)
    return {}

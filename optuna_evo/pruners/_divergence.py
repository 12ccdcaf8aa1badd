"""Stop runs that have diverged."""

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optuna_evo.curves import DEFAULT_FACTOR
from optuna_evo.curves import has_diverged


__all__ = ["DivergencePruner"]


class DivergencePruner(BasePruner):
    """Prune a trial whose reported values show that it has diverged, in any study.

    A trial whose last value is NaN or infinite is pruned at any step. A trial whose last value
    exploded, by the rule of `optuna_evo.curves.has_diverged`, is pruned from step
    `n_warmup_steps` on. A trial without reported values never is. Which values are better is read
    from the study, and no other trial is looked at.

    Args:
        factor:
            How many times the scale of the trial's own values a value may be worse than the best
            of them, > 0; None: only NaN and infinite values are divergence.
        n_warmup_steps:
            No explosion is seen before this step, >= 0: some runs rise before they fall.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import optuna
        >>> from optuna_evo.pruners import DivergencePruner
        >>> def objective(trial):
        ...     lr, x = trial.suggest_float("lr", 0.1, 3.0), 1.0
        ...     for step in range(20):
        ...         x -= lr * 2 * x
        ...         trial.report(x**2, step)
        ...         if trial.should_prune():
        ...             raise optuna.TrialPruned
        ...     return x**2
        >>> study = optuna.create_study(pruner=DivergencePruner())
        >>> study.optimize(objective, n_trials=20)
    """

    def __init__(self, *, factor: float | None = DEFAULT_FACTOR, n_warmup_steps: int = 0) -> None:
        has_diverged([], factor=factor)
        if n_warmup_steps < 0:
            raise ValueError(f"`n_warmup_steps` must not be negative, got {n_warmup_steps=}.")
        self._factor = factor
        self._n_warmup_steps = n_warmup_steps

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Tell whether the trial has diverged."""
        steps = sorted(trial.intermediate_values)
        if not steps:
            return False
        return has_diverged(
            [trial.intermediate_values[step] for step in steps],
            direction="maximize" if study.direction == StudyDirection.MAXIMIZE else "minimize",
            factor=self._factor if steps[-1] >= self._n_warmup_steps else None,
        )

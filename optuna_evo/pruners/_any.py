"""Several pruners as one, without losing why a trial was stopped."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol
from typing import runtime_checkable

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import Trial

from optuna_evo.pruners._flatness import as_frozen


class Verdict(Enum):
    """What a pruner says of a running trial."""

    GO_ON = "go on"
    FLAT = "flat"  # finished early: its value is as good as it gets
    POOR = "poor"  # not worth its budget


@runtime_checkable
class FindsFlatness(Protocol):
    """A pruner that can say that a trial is finished rather than poor."""

    def is_flat(self, study: Study, trial: FrozenTrial | Trial) -> bool:
        """Return whether the trial is finished early."""


class AnyPruner(BasePruner):
    """Stop a trial when any of several pruners would.

    All members are asked every time, because some of them (successive halving) record what they
    were asked. A trial is poor if a member prunes it that does not call it flat, and flat if every
    member that would stop it calls it flat.

    Args:
        pruners:
            The members, at least one; Optuna's pruners and other `AnyPruner`s included.

    Raises:
        ValueError: If there are no members, or one is not a pruner.

    Example:
        >>> import optuna
        >>> from optuna_evo.pruners import FlatnessPruner
        >>> pruner = AnyPruner([optuna.pruners.MedianPruner(), FlatnessPruner()])
        >>> study = optuna.create_study(pruner=pruner)
    """

    def __init__(self, pruners: Sequence[BasePruner]) -> None:
        wrong = [p for p in pruners if not isinstance(p, BasePruner)]
        if not pruners or wrong:
            raise ValueError(
                f"`pruners` must hold at least one pruner and nothing else, but got {pruners!r}. "
                "Give objects, as in AnyPruner([optuna.pruners.MedianPruner()])."
            )
        self._pruners = tuple(pruners)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether any member would stop the trial."""
        return self.verdict(study, trial) is not Verdict.GO_ON

    def is_flat(self, study: Study, trial: FrozenTrial | Trial) -> bool:
        """Return whether the trial should stop and no member calls it poor."""
        return self.verdict(study, trial) is Verdict.FLAT

    def verdict(self, study: Study, trial: FrozenTrial | Trial) -> Verdict:
        """Ask all members once."""
        frozen = as_frozen(study, trial)
        verdicts = {verdict(pruner, study, frozen) for pruner in self._pruners}
        worst_first = (Verdict.POOR, Verdict.FLAT, Verdict.GO_ON)
        return next(v for v in worst_first if v in verdicts)


def verdict(pruner: BasePruner, study: Study, trial: FrozenTrial) -> Verdict:
    """Return what any pruner says of a trial; only those with `is_flat` can call it flat."""
    if isinstance(pruner, AnyPruner):
        return pruner.verdict(study, trial)
    if not pruner.prune(study, trial):
        return Verdict.GO_ON
    if isinstance(pruner, FindsFlatness) and pruner.is_flat(study, trial):
        return Verdict.FLAT
    return Verdict.POOR

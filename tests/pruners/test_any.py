"""Several pruners as one: any of them stops a trial, and why it was stopped is kept."""

import optuna
from optuna.pruners import BasePruner
from optuna.pruners import MedianPruner
from optuna.pruners import NopPruner
from optuna.pruners import ThresholdPruner
from optuna.study import Study
from optuna.trial import FrozenTrial
import pytest

from optuna_evo.pruners import AnyPruner
from optuna_evo.pruners import FlatnessPruner
from optuna_evo.pruners import Verdict


PLATEAU = [1.0, 0.5, *[0.3] * 20]
FALLING = [1.0 - step / 50 for step in range(30)]


class Counting(BasePruner):
    """Prunes nothing, and counts how often it was asked."""

    def __init__(self) -> None:
        self.n_asked = 0

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        self.n_asked += 1
        return False


def _verdict(pruner: AnyPruner, values: list[float]) -> Verdict:
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    for step, value in enumerate(values):
        trial.report(value, step)
    return pruner.verdict(study, trial)


@pytest.mark.parametrize(
    ("members", "values", "expected"),
    [
        ([NopPruner(), FlatnessPruner()], FALLING, Verdict.GO_ON),
        ([NopPruner(), FlatnessPruner()], PLATEAU, Verdict.FLAT),
        ([ThresholdPruner(upper=0.2), FlatnessPruner()], PLATEAU, Verdict.POOR),
        ([FlatnessPruner(), ThresholdPruner(upper=0.2)], PLATEAU, Verdict.POOR),
        ([FlatnessPruner(), ThresholdPruner(upper=0.2)], FALLING, Verdict.POOR),
        ([AnyPruner([FlatnessPruner()]), NopPruner()], PLATEAU, Verdict.FLAT),
        ([AnyPruner([FlatnessPruner(), ThresholdPruner(upper=0.2)])], PLATEAU, Verdict.POOR),
    ],
)
def test_poor_outweighs_flat_and_flat_outweighs_keep(
    members: list[BasePruner], values: list[float], expected: Verdict
) -> None:
    assert _verdict(AnyPruner(members), values) is expected


def test_a_trial_is_pruned_for_either_reason() -> None:
    study = optuna.create_study(pruner=AnyPruner([FlatnessPruner(), MedianPruner()]))
    trial = study.ask()
    for step, value in enumerate(PLATEAU):
        trial.report(value, step)
    assert trial.should_prune()


def test_a_trial_below_the_median_is_poor_and_not_flat() -> None:
    pruner = AnyPruner([FlatnessPruner(), MedianPruner(n_startup_trials=1)])
    study = optuna.create_study(pruner=pruner)
    good = study.ask()
    good.report(0.1, 0)
    study.tell(good, 0.1)
    poor = study.ask()
    poor.report(0.9, 0)
    assert poor.should_prune()
    assert not pruner.is_flat(study, poor)


def test_every_member_is_asked_once_even_after_one_has_said_yes() -> None:
    counting = Counting()
    _verdict(AnyPruner([ThresholdPruner(upper=0.0), counting]), [1.0])
    assert counting.n_asked == 1


@pytest.mark.parametrize("members", [[], [MedianPruner], [None]])
def test_members_must_be_pruners(members: list[BasePruner]) -> None:
    with pytest.raises(ValueError, match="at least one pruner and nothing else"):
        AnyPruner(members)

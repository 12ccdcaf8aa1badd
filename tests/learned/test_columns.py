"""A new column beside a frozen one: the old answers stay, and only the new one is trained."""

import pytest
import torch

from optuna_evo.errors import UsageError
from optuna_evo.learned import ColumnController
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import MLPController
from optuna_evo.meta_training import flat_parameters
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import roll
from optuna_evo.meta_training import set_parameters


def trained(controller: Controller, size: float = 0.3) -> Controller:
    theta = flat_parameters(controller)
    random = torch.Generator().manual_seed(0)
    set_parameters(controller, theta + size * torch.randn(theta.shape, generator=random))
    return controller


def losses(controller: Controller) -> torch.Tensor:
    tasks = Quadratics().sample(range(4))
    rule = ControllerRule(controller)
    return roll(tasks, rule, marks=[5, 20], total_steps=20, splits=["test"])["test"]


def test_an_untrained_column_answers_as_the_frozen_one_bit_for_bit() -> None:
    old = trained(MLPController())
    assert torch.equal(losses(ColumnController(column=old)), losses(old))


def test_training_a_column_changes_nothing_of_the_frozen_one() -> None:
    old = trained(MLPController())
    before, at_first = losses(old), flat_parameters(old)
    new = trained(ColumnController(column=old, hidden_size=4), 1.0)
    assert not torch.equal(losses(new), before)
    assert torch.equal(losses(old), before) and torch.equal(flat_parameters(old), at_first)
    frozen = torch.cat([b.flatten() for b in new.get_submodule("column").buffers()])
    assert torch.equal(frozen, at_first)


def test_only_the_new_column_has_meta_parameters_and_it_reads_the_old_answers() -> None:
    old = trained(MLPController())
    column = ColumnController(column=old, hidden_size=4)
    assert {name.partition(".")[0] for name, _ in column.named_parameters()} == {"net"}
    with torch.no_grad():
        column.net[0].weight[:, :-5] = 0  # all but the answers
        column.net[0].bias.zero_()
        column.net[2].weight.fill_(0.5)
    silent = ColumnController(column=MLPController(), hidden_size=4)
    silent.net.load_state_dict(column.net.state_dict())
    assert torch.equal(losses(silent), losses(MLPController()))
    assert not torch.equal(losses(column), losses(old))


def test_columns_are_put_on_columns_and_rebuilt_from_their_settings() -> None:
    first = trained(ColumnController(column=trained(MLPController()), hidden_size=4))
    second = trained(ColumnController(column=first, hidden_size=3))
    again = ColumnController(**second.settings)
    again.load_state_dict(second.state_dict())
    assert torch.equal(losses(again), losses(second))


def test_a_column_beside_a_direction_is_refused() -> None:
    with pytest.raises(UsageError, match="give one that has none"):
        ColumnController(column=MLPController(per_parameter=True))

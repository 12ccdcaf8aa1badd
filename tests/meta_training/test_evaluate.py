"""What is shown of a controller is measured on held-out tasks, beside Adam tuned on others."""

import pytest
import torch

from optuna_evo.learned import MLPController
from optuna_evo.meta_training import adam_grid
from optuna_evo.meta_training import compare
from optuna_evo.meta_training import constant_losses
from optuna_evo.meta_training import evaluate
from optuna_evo.meta_training import Guarding
from optuna_evo.meta_training import Quadratics
from optuna_evo.meta_training import task_seeds
from optuna_evo.meta_training import tuned
from optuna_evo.meta_training import tuned_baselines
from optuna_evo.rules import Genome


def test_the_best_of_a_grid_is_the_one_with_the_least_mean_loss() -> None:
    tasks = Quadratics(size=4).sample(task_seeds("tune", 8))
    grid = adam_grid([0.001, 0.1, 100.0], total_steps=20)
    assert len(grid) == 9
    found = tuned(tasks, grid, steps=20, split="train")
    assert found.genome.lr == 0.1
    assert min(found.losses) == found.losses[grid.index(found.genome)]


def test_tuning_has_at_least_sixteen_trials_of_rate_and_schedule() -> None:
    found = tuned_baselines(Quadratics(size=3), steps=5, n_tasks=4, lrs=[0.1, 0.2])
    assert {*found} == {"adam", "adamw"}
    assert found["adamw"].use_warmup and found["adamw"].use_cosine_decay
    from optuna_evo.meta_training import _evaluate

    assert len(_evaluate.LRS) * 3 >= 16


def test_an_untrained_controller_has_the_losses_of_its_base() -> None:
    controller = MLPController(genome=Genome(terms=[("ADAM_TERM", 1.0)], lr=0.1))
    found = evaluate(
        controller,
        Quadratics(size=4),
        steps=10,
        marks=[5],
        n_tasks=6,
        baselines={"adam": Genome(terms=[("ADAM_TERM", 1.0)], lr=0.2)},
    )
    assert found.marks == (5, 10)
    for split in ("train", "test"):
        assert torch.equal(found.losses["controller"][split], found.losses["untrained"][split])  # type: ignore[index]
    assert found.compare("untrained", 10, "train").ratio == 1.0
    assert found.compare("adam", 10, "train").ratio != 1.0


def test_a_guarded_training_of_any_controller_is_no_worse_than_the_fallback() -> None:
    controller = MLPController(genome=Genome(terms=[("ADAM_TERM", 1.0)], lr=0.1))
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in controller.parameters():
            p.copy_(torch.randn(p.shape, generator=random))
    found = evaluate(
        controller,
        Quadratics(size=4),
        steps=33,
        n_tasks=6,
        baselines={"adam": Genome(terms=[("ADAM_TERM", 1.0)], lr=0.2)},
        guards={"guarded": Guarding(every=5)},
    )
    guarded, adam = (found.losses[name]["test"] for name in ("guarded", "adam"))
    assert bool((guarded <= adam).all())
    assert found.compare("adam", 33, "test", of="guarded").ratio <= 1


def test_a_diverged_training_counts_as_a_bad_number() -> None:
    tasks = Quadratics(size=4).sample([0, 1])
    sgd = Genome(terms=[("GRAD", 1.0)], lr=1e6)
    losses = constant_losses(tasks, sgd, marks=[50], total_steps=50, splits=["test"])["test"]
    assert bool(losses.isfinite().all()) and float(losses.min()) > 100


def test_a_comparison_is_paired() -> None:
    better = compare([1.0, 11.0, 101.0], [2.0, 12.0, 102.0])
    assert better.is_better and better.difference == pytest.approx(-1)
    assert better.difference_interval[1] < 0
    unsure = compare([1.0, 11.0, 101.0], [2.0, 10.0, 102.0])
    assert not unsure.is_better
    with pytest.raises(ValueError, match="two equal numbers"):
        compare([1.0], [1.0, 2.0])

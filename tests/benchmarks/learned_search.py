"""Whether a search for learned optimizers pays, and one space for genomes and learned ones.

    python -m tests.benchmarks.learned_search --what search [--trials 30] [--seed 0]
    python -m tests.benchmarks.learned_search --what space [--seeds 5] [--total 300000]

"search": the study `studies/learned_optimizer_search.toml`. Its best controller beside the default
configuration, that of `studies/learned_optimizer.toml`, meta-trained by the same budget, both on
held-out tasks that neither saw, with a paired 95 % interval; and the share of inner steps that
the pruner saved.

"space": three studies a seed of the same total of inner steps: of genomes alone, of learned ones
alone, and of both in the space of `studies/genome_or_learned.toml`. The best rule of each is
measured on tasks that no study saw.
"""

from collections.abc import Callable
import math
from pathlib import Path
import time
from typing import Any

import click
import numpy as np
import optuna
from scipy import stats
import torch

from optuna_evo.config import MetaTrainingConfig
from optuna_evo.learned import Controller
from optuna_evo.learned import ControllerRule
from optuna_evo.meta_training import build_family
from optuna_evo.meta_training import compare
from optuna_evo.meta_training import held_out_losses
from optuna_evo.meta_training import load_meta_spec
from optuna_evo.meta_training import MetaTraining
from optuna_evo.meta_training import task_seeds
from optuna_evo.objectives import MetaLossObjective
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule
from optuna_evo.spec import load_spec
from optuna_evo.spec import StudySpec
from optuna_evo.study import best_controller
from optuna_evo.study import best_trial
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import create_study
from optuna_evo.study import run_study
from optuna_evo.study import StoredStudy
from optuna_evo.surrogates import predict_scores


STUDIES = Path(__file__).parents[2] / "studies"


@click.command()
@click.option("--what", type=click.Choice(["search", "space"]), default="search")
@click.option("--trials", default=30, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--seeds", default=5, show_default=True)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--total", default=300_000, show_default=True, help="Inner steps of a study.")
@click.option("--set", "overrides", multiple=True, help="As of optuna_evo study run.")
@click.option("--tasks", "n_tasks", default=64, show_default=True)
def main(
    what: str,
    trials: int,
    seed: int,
    seeds: int,
    first: int,
    total: int,
    overrides: tuple[str, ...],
    n_tasks: int,
) -> None:
    """Print one table."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if what == "search":
        sets = (f"n_trials={trials}", f"seed={seed}", *overrides)
        _search(load_spec(STUDIES / "learned_optimizer_search.toml", overrides=sets), n_tasks)
    else:
        _one_space(range(first, first + seeds), total, overrides, n_tasks)


def _search(spec: StudySpec, n_tasks: int) -> None:
    began = time.monotonic()
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu")
    objective: Any = build_objective(stored.spec, device="cpu")
    space = build_space(stored.spec)
    ended = stored.study.get_trials(deepcopy=False)
    done = sum(t.user_attrs.get("inner_steps", 0) for t in ended)
    whole = sum(objective.whole_cost(space(t)) for t in ended)
    n_pruned = sum(t.state == optuna.trial.TrialState.PRUNED for t in ended)
    trial, best = best_controller(stored)
    default = meta_train(objective, default_config())
    ours, theirs = (
        test_losses(objective, _learned(controller), n_tasks) for controller in (best, default)
    )
    print(f"best: trial {trial.number} of {len(ended)}, {trial.params}")
    print(f"inner steps: {done:,} of {whole:,}, {1 - done / whole:.1%} saved; {n_pruned} pruned")
    print(predict_scores(stored.study).sentence)
    print("| split | best | default | geometric ratio | 95 % | difference | 95 % | better |")
    print("|---" * 8 + "|")
    for split in ("train", "valid", "test"):
        found = compare(ours[split], theirs[split])
        low, high = found.geometric_interval
        a, b = found.difference_interval
        print(
            f"| {split} | {found.mean:.4f} | {found.other_mean:.4f} | {found.geometric:.3f} | "
            f"{low:.3f}..{high:.3f} | {found.difference:.4f} | {a:.4f}..{b:.4f} | "
            f"{'yes' if found.is_better else 'no'} |"
        )
    print(f"{time.monotonic() - began:.0f} s")


def default_config() -> MetaTrainingConfig:
    """Return the configuration of `studies/learned_optimizer.toml`."""
    spec = load_meta_spec(STUDIES / "learned_optimizer.toml")
    settings = spec.controller_settings()
    genome = Genome.from_dict(settings.pop("genome"))
    return MetaTrainingConfig(
        kind=spec.controller.name,
        settings=settings,
        genome=genome,
        estimator=spec.outer.estimator,
        pairs=spec.outer.pairs,
        truncation=spec.outer.truncation,
        perturbation=spec.outer.perturbation,
        lr=spec.outer.lr,
    )


def meta_train(objective: MetaLossObjective, config: MetaTrainingConfig) -> Controller:
    """Meta-train a configuration as a trial would, and return the best state."""
    spec = objective.spec(config)
    training = MetaTraining(spec, selection=objective.selection())
    training.select()
    for report in range(1, objective.reports + 1):
        while training.number < spec.outer.steps * report // objective.reports:
            training.step()
        training.select()
    return training.controller()


def _learned(controller: Controller) -> Callable[[int], UpdateRule]:
    return lambda n_members: ControllerRule(controller)


def rule_of(stored: StoredStudy) -> Callable[[int], UpdateRule]:
    """Return the best rule of a study."""
    config = build_space(stored.spec)(best_trial(stored))
    if isinstance(config, MetaTrainingConfig):
        return _learned(best_controller(stored)[1])
    rule = config.genome.rule
    return lambda n_members: ConstantRule([rule] * n_members)


def test_losses(
    objective: MetaLossObjective, rule: Callable[[int], UpdateRule], n_tasks: int
) -> dict[str, np.ndarray]:
    """Return the losses at the end of runs on tasks that are for figures only, by split."""
    (domain,) = objective.families
    family = build_family(domain.name, domain.options)
    tasks = family.sample(task_seeds("test", n_tasks))
    steps = objective.steps
    splits = ("train", "valid", "test")
    found = held_out_losses(rule(n_tasks), tasks, marks=[steps], total_steps=steps, splits=splits)
    return {split: losses[0].numpy() for split, losses in found.items()}


def _one_space(seeds: range, total: int, overrides: tuple[str, ...], n_tasks: int) -> None:
    names = {"genome": ["genome"], "learned": ["learned"], "both": ["genome", "learned"]}
    print("| seed | " + " | ".join(f"{n}, trials" for n in names) + " | both / better |")
    print("|---" * (len(names) + 2) + "|", flush=True)
    ratios: dict[str, list[float]] = {"genome": [], "learned": [], "better": []}
    for seed in seeds:
        losses, cells = {}, []
        for name, rules in names.items():
            sets = (f"space.rules={rules}".replace("'", '"'), f"seed={seed}", "n_trials=100000")
            spec = load_spec(STUDIES / "genome_or_learned.toml", overrides=(*sets, *overrides))
            stored = create_study(spec, optuna.storages.InMemoryStorage())
            objective: Any = build_objective(stored.spec, device="cpu")
            while inner_steps(stored) < total:
                run_study(stored, n_more=1, device="cpu")
            found = test_losses(objective, rule_of(stored), n_tasks)["valid"]
            losses[name] = math.exp(float(np.log(np.maximum(found, 1e-12)).mean()))
            kind = best_trial(stored).params.get("rule", rules[0])
            cells.append(f"{losses[name]:.4f} ({kind}), {len(stored.study.trials)}")
        better = min(losses["genome"], losses["learned"])
        for name, value in {**losses, "better": better}.items():
            if name != "both":
                ratios[name].append(losses["both"] / value)
        cells.append(f"{losses['both'] / better:.3f}")
        print(f"| {seed} | " + " | ".join(cells) + " |", flush=True)
    for name, values in ratios.items():
        logs = np.log(values)
        half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
        low, high = math.exp(logs.mean() - half), math.exp(logs.mean() + half)
        print(f"both / {name}: {math.exp(logs.mean()):.3f}, 95 % {low:.3f}..{high:.3f}")


def inner_steps(stored: StoredStudy) -> int:
    """Return what a study has cost so far."""
    trials = stored.study.get_trials(deepcopy=False)
    return sum(t.user_attrs.get("inner_steps", 0) for t in trials)


if __name__ == "__main__":
    main()

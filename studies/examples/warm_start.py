"""A study that starts from an old one of another space.

The old study tuned learning rate and momentum. The new space has no momentum but dropout, and
learning rates up to ten times as high: what both spaces share is carried over, the rest is new.
"""

import math

import optuna

from optuna_evo import MetaPriorSampler


optuna.logging.set_verbosity(optuna.logging.WARNING)


def old_objective(trial: optuna.Trial) -> float:
    """Stand for a training on last year's data: best at lr 0.01, momentum 0.9."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    return math.log10(lr / 0.01) ** 2 + (momentum - 0.9) ** 2


def new_objective(trial: optuna.Trial) -> float:
    """Stand for a training on this year's data: best at lr 0.02, dropout 0.2."""
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    return math.log10(lr / 0.02) ** 2 + (dropout - 0.2) ** 2


old = optuna.create_study(study_name="old", sampler=optuna.samplers.TPESampler(seed=0))
old.optimize(old_objective, n_trials=40)

for name, sampler in {
    "cold": optuna.samplers.TPESampler(seed=1),
    "warm": MetaPriorSampler([old], seed=1),
}.items():
    new = optuna.create_study(study_name=name, sampler=sampler)
    new.optimize(new_objective, n_trials=20)
    best = [min(t.value for t in new.trials[:n]) for n in (1, 5, 20)]
    print(f"{name}: best loss after 1, 5, 20 trials " + ", ".join(f"{b:.2g}" for b in best))

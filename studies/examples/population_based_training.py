"""Population-based training in a loop of your own: hyperparameters evolve while models train.

A trial is a segment of training; `segment_of` says from whose weights it goes on. Study and
checkpoints lie on disk: a script that was stopped goes on when it is started again.
"""

from pathlib import Path

import optuna
from optuna.trial import TrialState
from sklearn.datasets import load_digits
import torch
from torch import nn

from optuna_evo import RecurrenceSampler
from optuna_evo import segment_of


FOLDER, N_SEGMENTS, STEPS = Path("population"), 40, 20
optuna.logging.set_verbosity(optuna.logging.WARNING)
pixels, labels = load_digits(return_X_y=True)
inputs, targets = torch.from_numpy(pixels).float() / 16, torch.from_numpy(labels).long()


def train_segment(trial: optuna.Trial, parent: int | None) -> float:
    """Go on from the parent's checkpoint, save one, return the validation loss."""
    lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
    torch.manual_seed(trial.number)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    if parent is not None:
        weights, state = torch.load(FOLDER / f"{parent}.pt")
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
    optimizer.param_groups[0]["lr"] = lr  # after loading, which brings the parent's back
    for _ in range(STEPS):
        rows = torch.randint(0, 1200, (32,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    torch.save((model.state_dict(), optimizer.state_dict()), FOLDER / f"{trial.number}.pt")
    with torch.no_grad():
        return nn.functional.cross_entropy(model(inputs[1200:]), targets[1200:]).item()


FOLDER.mkdir(exist_ok=True)
sampler, url = RecurrenceSampler(seed=0), f"sqlite:///{FOLDER}/study.db"
study = optuna.create_study(storage=url, study_name="pbt", sampler=sampler, load_if_exists=True)
for lost in study.get_trials(states=(TrialState.RUNNING,)):  # of a killed run: done again
    study.tell(lost.number, state=TrialState.FAIL)
while len(study.get_trials(states=(TrialState.COMPLETE,))) < N_SEGMENTS:
    trial = study.ask()
    study.tell(trial, train_segment(trial, segment_of(study.trials[trial.number]).parent))

trials, number = study.trials, study.best_trial.number
while number is not None:  # from the best model back to fresh weights
    trial, segment = trials[number], segment_of(trials[number])
    lr, step = trial.params["lr"], (segment.index + 1) * STEPS
    print(f"step {step}: lr {lr:.4f}, loss {trial.value:.3f}")
    number = segment.parent

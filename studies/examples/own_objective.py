"""An Optuna script as it is: train a small network, report on the way, stop what is poor."""

import optuna
from sklearn.datasets import load_breast_cancer
import torch


N_EPOCHS = 20


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return standardised features and 0 or 1 for 569 tumours."""
    table = load_breast_cancer()
    x = torch.tensor(table.data, dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0), torch.tensor(table.target, dtype=torch.float32)


def objective(trial: optuna.Trial) -> float:
    """Return the validation loss; torch's generator is seeded for each trial."""
    width = trial.suggest_int("width", 2, 64, log=True)
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    x, y = load_data()
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    compute_loss = torch.nn.BCEWithLogitsLoss()
    for epoch in range(N_EPOCHS):
        for rows in torch.randperm(400).split(40):
            loss = compute_loss(model(x[rows]).squeeze(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            validation = compute_loss(model(x[400:]).squeeze(1), y[400:]).item()
        trial.report(validation, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return validation


if __name__ == "__main__":
    study = optuna.create_study()
    study.optimize(objective, n_trials=30)
    print(study.best_params, study.best_value)

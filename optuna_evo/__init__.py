"""Evolve optimizers and hyperparameters of PyTorch models with Optuna."""

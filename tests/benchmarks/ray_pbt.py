"""Ray Tune's population-based training of the models that `tests.benchmarks.recurrence` trains."""

from collections.abc import Mapping
from dataclasses import replace
import logging
import os
from pathlib import Path
import tempfile
from typing import Any

import torch

from tests.benchmarks.recurrence_lab import Lab
from tests.benchmarks.recurrence_lab import State


# those of `language_model_space`
RANGES = {"lr": (1e-5, 1e-2), "beta1": (0.8, 0.99), "weight_decay": (1e-4, 0.3)}


def run_pbt(lab: Lab, seed: int) -> State:
    """Return the model with the lowest loss seen; counts its steps in `lab`."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import ray
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    if not ray.is_initialized():
        ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR)
    ranges = {
        "lr": tune.loguniform(*RANGES["lr"]),
        "beta1": tune.uniform(*RANGES["beta1"]),
        "weight_decay": tune.loguniform(*RANGES["weight_decay"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        budget = replace(lab.budget, population=1)
        tune.Tuner(
            tune.with_resources(_member_class(), {"cpu": 1}),
            param_space={**ranges, "budget": vars(budget), "seed": seed, "folder": folder},
            tune_config=tune.TuneConfig(
                num_samples=lab.budget.population,
                search_alg=tune.search.BasicVariantGenerator(random_state=seed),
                scheduler=PopulationBasedTraining(
                    time_attr="training_iteration",
                    metric="loss",
                    mode="min",
                    perturbation_interval=1,
                    hyperparam_mutations=ranges,
                    custom_explore_fn=_within_ranges,
                ),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                stop={"training_iteration": lab.budget.rounds},
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(num_to_keep=2),
            ),
        ).fit()
        lab.steps = len(list(Path(folder).glob("segment-*"))) * lab.budget.segment
        return _load(Path(folder) / "best.pt")


def _within_ranges(config: dict[str, Any]) -> dict[str, Any]:
    """Undo factors that lead out of the ranges, some of them out of what AdamW allows."""
    clipped = {k: min(max(config[k], low), high) for k, (low, high) in RANGES.items()}
    return {**config, **clipped}


def _member_class() -> type:
    from ray import tune

    class Member(tune.Trainable):  # type: ignore[misc]
        """A member of the population; an iteration is a segment."""

        def setup(self, config: dict[str, Any]) -> None:
            from tests.benchmarks.recurrence_lab import Budget

            torch.set_num_threads(1)
            self._lab = Lab(Budget(**config["budget"]), config["seed"])
            self._folder = Path(config["folder"])
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self._params = {name: config[name] for name in RANGES}
            self._state = State(None)
            return True

        def step(self) -> Mapping[str, float]:
            self._lab.steps = 0
            self._state = self._lab.go_on(self._state, self._params)
            n_done = len(list(self._folder.glob("segment-*")))
            (self._folder / f"segment-{n_done}").touch()
            best = self._folder / "best.pt"
            if not best.exists() or self._state.loss < _load(best).loss:
                torch.save(vars(self._state), best)
            return {"loss": self._state.loss}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            torch.save(vars(self._state), Path(checkpoint_dir) / "state.pt")

        def load_checkpoint(self, checkpoint_dir: str) -> None:
            self._state = _load(Path(checkpoint_dir) / "state.pt")

    return Member


def _load(path: Path) -> State:
    return State(**torch.load(path, weights_only=False))

"""SMAC 2 (Lindauer et al. 2022) as a row of `sample_efficiency`, where it is installed.

pip install smac (its forest, pyrfr, is built with SWIG and a C++ compiler)
"""

from pathlib import Path
from tempfile import TemporaryDirectory
import time
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from tests.benchmarks.tables import Table


def run_smac(
    table: Table, seed: int, n_trials: int, *, retrain_after: int
) -> tuple[list[float], list[float]]:
    """Return the value of each trial, and the milliseconds that each ask took."""
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario
    from smac.runhistory import TrialValue

    values, ms = [], []
    with TemporaryDirectory() as folder:
        scenario = Scenario(
            _space(table, seed),
            deterministic=True,
            n_trials=n_trials,
            seed=seed,
            output_directory=Path(folder),
        )
        smac = Facade(
            scenario,
            lambda config, seed: 0.0,
            overwrite=True,
            logging_level=False,
            config_selector=Facade.get_config_selector(scenario, retrain_after=retrain_after),
        )
        for _ in range(n_trials):
            start = time.perf_counter()
            asked = smac.ask()
            ms.append(1e3 * (time.perf_counter() - start))
            values.append(table.lookup(dict(asked.config)))
            smac.tell(asked, TrialValue(cost=values[-1]))
    return values, ms


def _space(table: Table, seed: int) -> Any:
    from ConfigSpace import CategoricalHyperparameter
    from ConfigSpace import ConfigurationSpace
    from ConfigSpace import EqualsCondition
    from ConfigSpace import UniformFloatHyperparameter
    from ConfigSpace import UniformIntegerHyperparameter

    space = ConfigurationSpace(seed=seed)
    for name, distribution in table.space.items():
        match distribution:
            case CategoricalDistribution(choices=choices):
                space.add(CategoricalHyperparameter(name, list(choices)))
            case IntDistribution(low=low, high=high, log=log):
                space.add(UniformIntegerHyperparameter(name, low, high, log=log))
            case FloatDistribution(low=low, high=high, log=log):
                space.add(UniformFloatHyperparameter(name, low, high, log=log))
    for name, (parent, value) in table.conditions.items():
        space.add(EqualsCondition(space[name], space[parent], value))
    return space

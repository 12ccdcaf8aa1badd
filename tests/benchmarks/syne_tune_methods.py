"""Syne Tune's transfer methods, asked for configurations of our tables (`pip install syne-tune`).

CTS          quantile-based copula Thompson sampling (Salinas, Shen and Perrone 2020)
BoundingBox  the box of the sources' best, searched at random (Perrone et al. 2019); conformal
             quantile regression inside it takes a second of processor time per ask
ZeroShot     a complementary list predicted by surrogates (Wistuba et al. 2015); it ends when
             it has no more, the best found so far stands then
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import io
import logging
import time
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.study import Study
import pandas as pd

from tests.benchmarks.tables import Table


METRIC = "loss"


def run_cts(
    table: Table, sources: Sequence[Study], seed: int, n: int
) -> tuple[list[float], float]:
    """Run the quantile-based method."""
    from syne_tune.optimizer.schedulers.single_objective_scheduler import SingleObjectiveScheduler
    from syne_tune.optimizer.schedulers.transfer_learning.quantile_based import (
        quantile_based_searcher,
    )

    def make(space: dict[str, Any], tasks: dict[str, Any]) -> Any:
        searcher = quantile_based_searcher.QuantileBasedSurrogateSearcher(
            space, tasks, random_seed=seed
        )
        return SingleObjectiveScheduler(
            space, metric=METRIC, searcher=searcher, random_seed=seed, do_minimize=True
        )

    return _run(make, table, sources, n)


def run_bounding_box(
    table: Table, sources: Sequence[Study], seed: int, n: int
) -> tuple[list[float], float]:
    """Run the bounding box around the best of the sources."""
    from syne_tune.optimizer.baselines import RandomSearch
    from syne_tune.optimizer.schedulers.transfer_learning.bounding_box import BoundingBox

    def inner(space: dict[str, Any], metric: str, do_minimize: bool, random_seed: int) -> Any:
        return RandomSearch(space, [metric], do_minimize=do_minimize, random_seed=random_seed)

    def make(space: dict[str, Any], tasks: dict[str, Any]) -> Any:
        return BoundingBox(inner, space, METRIC, tasks, random_seed=seed)

    return _run(make, table, sources, n)


def run_zero_shot(
    table: Table, sources: Sequence[Study], seed: int, n: int
) -> tuple[list[float], float]:
    """Run the list that is made before the first trial."""
    from syne_tune.optimizer.schedulers.transfer_learning.zero_shot import ZeroShotTransfer

    class Fixed(ZeroShotTransfer):  # type: ignore[misc]
        # version 0.16 reads this attribute and never sets it
        random_state = np.random.RandomState(seed)

    def make(space: dict[str, Any], tasks: dict[str, Any]) -> Any:
        return Fixed(space, METRIC, tasks, use_surrogates=True, random_seed=seed)

    return _run(make, table, sources, n)


def _run(
    make: Callable[[dict[str, Any], dict[str, Any]], Any],
    table: Table,
    sources: Sequence[Study],
    n_trials: int,
) -> tuple[list[float], float]:
    from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler

    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    np.random.seed(0)
    space = {name: _domain(dist) for name, dist in table.space.items()}
    values: list[float] = []
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        asker = AskTellScheduler(make(space, _evaluations(space, sources)))
        for _ in range(n_trials):
            try:
                trial = asker.ask()
            except (AttributeError, IndexError, ValueError):
                break  # nothing more is suggested
            values.append(table.lookup(_plain(trial.config, table.space)))
            asker.tell(trial, {METRIC: values[-1]})
    values += [min(values)] * (n_trials - len(values))
    return values, 1e3 * (time.perf_counter() - start) / n_trials


def _domain(dist: BaseDistribution) -> Any:
    from syne_tune.config_space import choice
    from syne_tune.config_space import lograndint
    from syne_tune.config_space import loguniform
    from syne_tune.config_space import randint
    from syne_tune.config_space import uniform

    if isinstance(dist, CategoricalDistribution):
        return choice(list(dist.choices))
    if isinstance(dist, IntDistribution):
        return (lograndint if dist.log else randint)(dist.low, dist.high)
    assert isinstance(dist, FloatDistribution)
    return (loguniform if dist.log else uniform)(dist.low, dist.high)


def _evaluations(space: dict[str, Any], sources: Sequence[Study]) -> dict[str, Any]:
    from syne_tune.optimizer.schedulers.transfer_learning import (
        transfer_learning_task_evaluation as task,
    )

    return {
        study.study_name: task.TransferLearningTaskEvaluations(
            configuration_space=space,
            hyperparameters=pd.DataFrame([t.params for t in study.get_trials(deepcopy=False)]),
            objectives_names=[METRIC],
            objectives_evaluations=np.array(
                [t.value for t in study.get_trials(deepcopy=False)], dtype=float
            ).reshape(-1, 1, 1, 1),
        )
        for study in sources
    }


def _plain(config: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the configuration with the types of the space."""
    return {
        name: int(config[name]) if isinstance(dist, IntDistribution) else config[name]
        for name, dist in space.items()
    }

"""More recorded runs as objectives: many numbers, and conditional spaces.

    family     tables   parameters                              objective
    taskset    6        8 float in logs, the nearest of 1,000   final validation loss, clipped
    deepobs    4        1 category of 3, a learning rate each   ln(final test loss), clipped
    branches   3        1 category of 3, 2 + 5 + 7 below it     regret of the branch's table

`branches` are choices of a model: AdaBoost, an MLP of HPOBench, a network of LCBench, whose tables
lie one above the other at their own distances.

Sources: Metz et al. 2020 (TaskSet, by releaunifreiburg/DPL); Schneider, Balles and Hennig 2019
(DeepOBS); those of `tables`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
import pandas as pd

from tests.benchmarks.tables import LCBENCH_TASKS
from tests.benchmarks.tables import load_family
from tests.benchmarks.tables import load_lcbench
from tests.benchmarks.tables import Table


# adaboost, hpobench, lcbench: which table of the family, and how far above the best its best is
BRANCHES = (
    ((3, 0.0), (0, 0.1), (0, 0.2)),
    ((9, 0.2), (1, 0.0), (2, 0.1)),
    ((17, 0.1), (3, 0.2), (4, 0.0)),
)


def load_more(folder: Path) -> list[Table]:
    """Return the 13 tables."""
    return [*_taskset(folder), *_deepobs(folder), *_branches(folder)]


def _taskset(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "taskset_adam8p.parquet")
    columns = list(frame.columns[2:10])
    rows = frame[columns].copy()
    for beta in ("beta1", "beta2"):  # drawn as 1 - 10^u
        rows[beta] = 1.0 - rows[beta]
    space: dict[str, BaseDistribution] = {
        c: FloatDistribution(float(rows[c].min()), float(rows[c].max()), log=True) for c in columns
    }
    final = np.array([curve[-1] for curve in frame["valid_loss"]])
    names = {task: task.removeprefix("FixedTextRNNClassification_") for task in frame["task"]}
    tables = []
    for task, name in names.items():
        mine = (frame["task"] == task).to_numpy()
        tables.append(_nearest(f"taskset/{name}", "taskset", rows[mine], final[mine], space))
    return tables


def _nearest(
    name: str, family: str, rows: pd.DataFrame, values: NDArray[np.float64], space: dict[str, Any]
) -> Table:
    """Answer with the nearest recorded configuration on the (log) scales."""
    low = np.log([d.low for d in space.values()])
    width = np.log([d.high for d in space.values()]) - low
    recorded = (np.log(rows.to_numpy()) - low) / width
    values = _clipped(values)

    def lookup(params: Mapping[str, Any]) -> float:
        place = (np.log([params[k] for k in space]) - low) / width
        return float(values[((recorded - place) ** 2).sum(axis=1).argmin()])

    return Table(name, family, space, lookup, float(values.min()), float(np.median(values)))


def _clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give diverged runs a value as far above the median as the best is below, and some."""
    finite = values[np.isfinite(values)]
    median, best = float(np.median(finite)), float(finite.min())
    return np.minimum(np.where(np.isfinite(values), values, np.inf), median + 3 * (median - best))


def _deepobs(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "deepobs_baselines.parquet")
    with np.errstate(all="ignore"):
        frame["final"] = np.log([losses[-1] for losses in frame["test_losses"]])
    tables = []
    for problem, part in frame.groupby("problem"):
        part = part.assign(final=_clipped(part["final"].to_numpy()))
        mean = part.groupby(["optimizer", "learning_rate"])["final"].mean()
        records = {
            name: (np.log(mean[name].index.to_numpy()), mean[name].to_numpy())
            for name in ("sgd", "momentum", "adam")
        }
        space: dict[str, BaseDistribution] = {"optimizer": CategoricalDistribution(list(records))}
        for name in records:
            space[f"{name}_lr"] = FloatDistribution(1e-5, 1e2, log=True)

        def lookup(params: Mapping[str, Any], records: Any = records) -> float:
            name = params["optimizer"]
            rates, losses = records[name]
            return float(losses[np.abs(rates - np.log(params[f"{name}_lr"])).argmin()])

        all_losses = np.concatenate([losses for _, losses in records.values()])
        tables.append(
            Table(
                f"deepobs/{problem}",
                "deepobs",
                space,
                lookup,
                float(all_losses.min()),
                float(np.median(all_losses)),
                {f"{name}_lr": ("optimizer", name) for name in records},
            )
        )
    return tables


def _branches(folder: Path) -> list[Table]:
    tasks = LCBENCH_TASKS[:5]
    families = [
        load_family(folder, "adaboost"),
        load_family(folder, "hpobench"),
        load_lcbench(folder, tasks),
    ]
    tables = []
    for k, picks in enumerate(BRANCHES):
        parts = {
            f"model{j}": (tables_of[place], above)
            for j, (tables_of, (place, above)) in enumerate(zip(families, picks, strict=True))
        }
        space: dict[str, BaseDistribution] = {"model": CategoricalDistribution(list(parts))}
        conditions = {}
        for name, (table, _) in parts.items():
            for key, distribution in table.space.items():
                space[f"{name}_{key}"] = distribution
                conditions[f"{name}_{key}"] = ("model", name)

        def lookup(params: Mapping[str, Any], parts: Any = parts) -> float:
            name = params["model"]
            table, above = parts[name]
            own = {key: params[f"{name}_{key}"] for key in table.space}
            return float(table.regret(table.lookup(own)) + above)

        tables.append(Table(f"branches/{k}", "branches", space, lookup, 0.0, 1.1, conditions))
    return tables

"""Recorded training runs as objectives: look a configuration up instead of training it.

Numeric grids are ordered integers, so every sampler sees the same steps and none has to guess the
grid; operations, activations and schedules are categories. All objectives are minimised.

    family     tables                    parameters                    objective
    adaboost   10 of 50                  2 ordered (12 x 9)            1 - accuracy
    deepar     11                        6 float, the nearest of       CRPS
                                         about 230 recorded ones
    hpobench   4                         5 ordered (30,000)            1 - mean valid accuracy
    hpolib     2                         6 ordered, 3 categories       ln(mean valid MSE)
    nas201     3                         6 categories of 5 (15,625)    error in %
    lcbench    6 of 34 (a YAHPO model)   4 float, 3 int, some in logs  -valid accuracy in %

`load_tables` has 25 of them without DeepAR; `load_family` has all of a family.

Sources: Wistuba et al. 2015; Salinas, Shen and Perrone 2020 (DeepAR); Eggensperger et al. 2021
(HPOBench); Klein and Hutter 2019 (HPOLib); Dong and Yang 2020 (NAS-Bench-201); Zimmer et al. 2021,
Pfisterer et al. 2022 (LCBench, YAHPO).
"""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pandas as pd

from tests.benchmarks import source_tables


LCBENCH_TASKS = ("3945", "126026", "167152", "168329", "189354", "189906")
MORE_LCBENCH_TASKS = ("34539", "126025", "146212", "168331", "168868", "168910")
LCBENCH_EPOCH = 52
FAMILIES = (
    "hpobench",
    "hpolib",
    "nas201",
    "adaboost",
    "deepar",
    "lcbench",
    "taskset",
    "nmt",
    "glmnet",
)
N_REFERENCE = 50_000  # random configurations that stand for the LCBench space


@dataclass(frozen=True)
class Table:
    """One objective: a space, a lookup, and the two figures that normalise regret."""

    name: str
    family: str
    space: Mapping[str, BaseDistribution]
    lookup: Callable[[Mapping[str, Any]], float]
    best: float
    median: float
    conditions: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Of a parameter that is there only where another one has a value: that one, the value."""

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Suggest the parameters that apply, in their order."""
        for name, distribution in self.space.items():
            if name in self.conditions:
                parent, value = self.conditions[name]
                if trial.params.get(parent) != value:
                    continue
            match distribution:
                case CategoricalDistribution():
                    trial.suggest_categorical(name, distribution.choices)
                case IntDistribution(low=low, high=high, log=log, step=step):
                    trial.suggest_int(name, low, high, log=log, step=step)
                case FloatDistribution(low=low, high=high, log=log, step=step):
                    trial.suggest_float(name, low, high, log=log, step=step)
        return trial.params

    def regret(self, value: float) -> float:
        """Return 0 at the best known value, 1 at the median of the space."""
        return max(0.0, (value - self.best) / (self.median - self.best))


def load_tables(folder: Path) -> list[Table]:
    """Return all 25 tables, from the folder that holds `adaboost.parquet` and the others."""
    return [
        *_adaboost(folder),
        *_hpobench(folder),
        *_hpolib(folder),
        *_nas201(folder),
        *load_lcbench(folder),
    ]


def load_family(folder: Path, family: str) -> list[Table]:
    """Return all tables of a family: for transfer from some of them to others."""
    match family:
        case "adaboost":
            return _adaboost(folder, step=1, limit=50)
        case "deepar":
            return _deepar(folder)
        case "hpobench":
            return _hpobench(folder)
        case "hpolib":
            return _hpolib(folder)
        case "nas201":
            return _nas201(folder)
        case "lcbench":
            return load_lcbench(folder, LCBENCH_TASKS + MORE_LCBENCH_TASKS)
        case "taskset":
            return [_records_table(*records) for records in source_tables.taskset(folder)]
        case "nmt":
            return [_records_table(*records) for records in source_tables.nmt(folder)]
        case "glmnet":
            return [_smooth_table(*model) for model in source_tables.glmnet(folder)]
    raise ValueError(f"No family {family!r}; there are {', '.join(FAMILIES)}.")


def _adaboost(folder: Path, *, step: int = 4, limit: int = 10) -> list[Table]:
    frame = pd.read_parquet(folder / "adaboost.parquet")
    accuracy = frame.groupby("dataset")["accuracy"]
    # Where the median is the best value already, regret is undefined.
    usable = sorted(frame["dataset"].unique()[(accuracy.max() > accuracy.median()).to_numpy()])
    chosen = usable[::step][:limit]
    return [
        _grid_table(
            f"adaboost/{name}",
            "adaboost",
            part[["n_iterations", "n_product_terms"]],
            1.0 - part["accuracy"].to_numpy(),
            categories=(),
        )
        for name, part in ((n, frame[frame["dataset"] == n]) for n in chosen)
    ]


def _hpobench(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "hpobench_mlp.parquet")
    frame["dataset"] = frame["dataset"].astype(str)
    columns = ["alpha", "batch_size", "depth", "learning_rate_init", "width"]
    return [
        _grid_table(
            f"hpobench/{name}",
            "hpobench",
            part[columns],
            1.0 - np.stack(part["valid_accuracy"].to_list()).mean(axis=1),
            categories=(),
        )
        for name, part in frame.groupby("dataset")
    ]


def _hpolib(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "hpolib_mlp.parquet")
    frame["dataset"] = frame["dataset"].astype(str)
    columns = [c for c in frame.columns if c not in ("dataset", "valid_mse")]
    return [
        _grid_table(
            f"hpolib/{name}",
            "hpolib",
            part[columns],
            np.log(np.stack(part["valid_mse"].to_list()).mean(axis=1)),
            categories=("activation_fn_1", "activation_fn_2", "lr_schedule"),
        )
        for name, part in frame.groupby("dataset")
    ]


def _nas201(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "nas_bench_201.parquet")
    columns = [f"hp_x{i}" for i in range(6)]
    return [
        _grid_table(
            f"nas201/{name}",
            "nas201",
            part[columns],
            part["metric_error"].to_numpy(),
            categories=tuple(columns),
        )
        for name, part in frame.groupby("task")
    ]


def _grid_table(
    name: str,
    family: str,
    configs: pd.DataFrame,
    values: NDArray[np.float64],
    *,
    categories: tuple[str, ...],
) -> Table:
    """Index a full grid by the rank of each parameter's value."""
    levels = {column: sorted(configs[column].unique()) for column in configs.columns}
    codes = [
        np.searchsorted(np.asarray(levels[column]), configs[column].to_numpy())
        for column in configs.columns
    ]
    grid = np.full([len(level) for level in levels.values()], np.nan)
    grid[tuple(codes)] = values
    space: dict[str, BaseDistribution] = {
        column: CategoricalDistribution([str(v) for v in level])
        if column in categories
        else IntDistribution(0, len(level) - 1)
        for column, level in levels.items()
    }

    def lookup(params: Mapping[str, Any]) -> float:
        # A category's internal representation is its rank, an ordered integer's is itself.
        index = tuple(int(space[k].to_internal_repr(params[k])) for k in space)
        return float(grid[index])

    return Table(name, family, space, lookup, float(np.nanmin(grid)), float(np.nanmedian(grid)))


def _deepar(folder: Path) -> list[Table]:
    frame = pd.read_parquet(folder / "deepar.parquet")
    columns = [c for c in frame.columns if c.startswith("hp_")]
    low, high = frame[columns].min(), frame[columns].max()
    space: dict[str, BaseDistribution] = {
        c: FloatDistribution(float(low[c]), float(high[c])) for c in columns
    }
    return [
        _records_table(
            f"deepar/{name}", part[columns].to_numpy(), part["metric_CRPS"].to_numpy(), space
        )
        for name, part in frame.groupby("task")
    ]


def _records_table(
    name: str, configs: NDArray[np.float64], values: NDArray[np.float64], space: dict[str, Any]
) -> Table:
    """Answer with the nearest recorded configuration, in units of the ranges."""
    low = np.array([d.low for d in space.values()])
    width = np.array([d.high - d.low for d in space.values()])
    recorded = (configs - low) / width

    def lookup(params: Mapping[str, Any]) -> float:
        place = (np.array([params[k] for k in space]) - low) / width
        return float(values[((recorded - place) ** 2).sum(axis=1).argmin()])

    # the median of random questions, not of the records, which others have already searched
    rng = np.random.default_rng(0)
    drawn = rng.random((2_000, len(width)))
    nearest = ((recorded[None] - drawn[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    family = name.split("/")[0]
    return Table(
        name, family, space, lookup, float(values.min()), float(np.median(values[nearest]))
    )


def _smooth_table(
    name: str,
    space: dict[str, Any],
    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Table:
    """Answer with a model of few parameters; its best is that of many random configurations."""
    rng = np.random.default_rng(0)
    values = predict(source_tables.draw_rows(space, source_tables.N_REFERENCE, rng))

    def lookup(params: Mapping[str, Any]) -> float:
        return float(predict(np.array([[params[key] for key in space]]))[0])

    best, median = float(values.min()), float(np.median(values))
    return Table(name, name.split("/")[0], space, lookup, best, median)


def load_lcbench(folder: Path, tasks: tuple[str, ...] = LCBENCH_TASKS) -> list[Table]:
    """Return tables of the LCBench surrogate."""
    root = folder / "yahpo" / "lcbench"
    session = source_tables.open_model(root)
    columns = json.loads((root / "columns.json").read_text())
    codes = json.loads((root / "encoding.json").read_text())["OpenML_task_id"]
    spec = json.loads((root / "config_space.json").read_text())["hyperparameters"]
    space = {
        p["name"]: _yahpo_distribution(p)
        for p in spec
        if p["type"] != "categorical" and p["name"] != "epoch"
    }
    order = [c for c in columns["cont_names"] if c != "epoch"]
    target = columns["y_names"].index("val_accuracy")
    epoch_at = columns["cont_names"].index("epoch")

    def predict(task: str, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        x = np.insert(rows, epoch_at, LCBENCH_EPOCH, axis=1).astype(np.float32)
        task_column = np.full((len(rows), 1), codes[task], dtype=np.int32)
        out = session.run(None, {"x_cat": task_column, "x_cont": x})[0]
        return -np.asarray(out, dtype=np.float64)[:, target]

    return [_model_table(task, space, order, predict) for task in tasks]


def _yahpo_distribution(entry: Mapping[str, Any]) -> BaseDistribution:
    kind = IntDistribution if entry["type"] == "uniform_int" else FloatDistribution
    return kind(entry["lower"], entry["upper"], log=entry["log"])


def _model_table(
    task: str,
    space: Mapping[str, BaseDistribution],
    order: list[str],
    predict: Callable[[str, NDArray[np.float64]], NDArray[np.float64]],
) -> Table:
    rng = np.random.default_rng(0)
    rows = np.stack([_draw(space[name], N_REFERENCE, rng) for name in order], axis=1)
    values = predict(task, rows)
    best = _climb(task, rows, values, space, order, predict, rng)

    def lookup(params: Mapping[str, Any]) -> float:
        return float(predict(task, np.array([[params[name] for name in order]]))[0])

    return Table(f"lcbench/{task}", "lcbench", space, lookup, best, float(np.median(values)))


def _draw(dist: BaseDistribution, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    assert isinstance(dist, FloatDistribution | IntDistribution)
    if dist.log:
        drawn = np.exp(rng.uniform(np.log(dist.low), np.log(dist.high), n))
    else:
        drawn = rng.uniform(dist.low, dist.high, n)
    return np.round(drawn) if isinstance(dist, IntDistribution) else drawn


def _climb(
    task: str,
    rows: NDArray[np.float64],
    values: NDArray[np.float64],
    space: Mapping[str, BaseDistribution],
    order: list[str],
    predict: Callable[[str, NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> float:
    """Improve the best random rows coordinate by coordinate, so that the best is hard to beat."""
    top = np.argsort(values)[:20]
    points, scores = rows[top].copy(), values[top].copy()
    for _ in range(20):
        for j, name in enumerate(order):
            trial = np.repeat(points, 20, axis=0)
            trial[:, j] = _draw(space[name], len(trial), rng)
            found = predict(task, trial).reshape(len(points), 20)
            pick = found.argmin(axis=1)
            better = found.min(axis=1) < scores
            chosen = trial.reshape(len(points), 20, -1)[np.arange(len(points)), pick]
            points[better], scores[better] = chosen[better], found.min(axis=1)[better]
    return float(scores.min())

"""More recorded training runs as objectives, as in `tables`: of further families.

    family     tables                    parameters                    objective
    taskset    6                         8 float in logs, the nearest  last valid loss, at most 10
                                         of 1,000 recorded ones
    nmt        3                         6 ordered, the nearest of     -BLEU
                                         118 to 604 recorded ones
    glmnet     4 (a YAHPO model)         2 float, one in logs          log loss

Sources: Metz et al. 2020 (TaskSet); Zhang and Duh 2020 (NMT); Pfisterer et al. 2022 (YAHPO).
"""

from collections.abc import Callable
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pandas as pd


DIVERGED = 10.0  # a valid loss of TaskSet; random guessing has 0.69
N_REFERENCE = 20_000  # random configurations that stand for the space of a model
GLMNET_TRAIN_SIZE = 1.0

Rows = NDArray[np.float64]
Records = tuple[str, Rows, NDArray[np.float64], dict[str, BaseDistribution]]


def taskset(folder: Path) -> list[Records]:
    """Return name, configurations, values and space of each task."""
    frame = pd.read_parquet(folder / "taskset_adam8p.parquet")
    plain = ["learning_rate", "epsilon", "l1", "l2", "linear_decay", "exponential_decay"]
    logs = {name: np.log10(frame[name].to_numpy()) for name in plain}
    logs |= {f"1-{name}": np.log10(1.0 - frame[name].to_numpy()) for name in ("beta1", "beta2")}
    table = pd.DataFrame(logs)
    space: dict[str, BaseDistribution] = {
        name: FloatDistribution(float(column.min()), float(column.max()))
        for name, column in table.items()
    }
    last = np.array([float(curve[-1]) for curve in frame["valid_loss"]])
    last = np.clip(np.nan_to_num(last, nan=DIVERGED, posinf=DIVERGED), 0.0, DIVERGED)
    rows = frame.groupby("task").indices
    return [
        (f"taskset/{task.removeprefix('FixedTextRNNClassification_imdb_')}", *part, space)
        for task, part in ((t, (table.to_numpy()[i], last[i])) for t, i in rows.items())
    ]


def nmt(folder: Path) -> list[Records]:
    """Return name, configurations, values and space of each pair of languages."""
    frame = pd.read_parquet(folder / "nmt_transformer.parquet")
    columns = ["bpe_symbols", "num_layers", "num_embed", "num_hidden", "num_heads"]
    columns.append("learning_rate")
    levels = {name: np.sort(frame[name].unique()) for name in columns}
    space: dict[str, BaseDistribution] = {
        name: IntDistribution(0, len(level) - 1) for name, level in levels.items()
    }
    codes = np.stack([np.searchsorted(levels[n], frame[n].to_numpy()) for n in columns], axis=1)
    rows = frame.groupby("task").indices
    bleu = frame["dev_bleu"].to_numpy(dtype=np.float64)
    return [(f"nmt/{task}", codes[i].astype(float), -bleu[i], space) for task, i in rows.items()]


def open_model(folder: Path) -> Any:
    """Return the network of a YAHPO model, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )


def glmnet(
    folder: Path,
) -> list[tuple[str, dict[str, BaseDistribution], Callable[[Rows], NDArray[np.float64]]]]:
    """Return name, space and model of each data set: rows of the space's order to losses."""
    root = folder / "yahpo" / "iaml_glmnet"
    session = open_model(root)
    columns = json.loads((root / "columns.json").read_text())
    codes = json.loads((root / "encoding.json").read_text())["task_id"]
    spec = json.loads((root / "config_space.json").read_text())["hyperparameters"]
    ranges = {p["name"]: p for p in spec}
    space: dict[str, BaseDistribution] = {
        n: FloatDistribution(ranges[n]["lower"], ranges[n]["upper"], log=ranges[n]["log"])
        for n in ("alpha", "s")
    }
    order = columns["cont_names"]
    target = columns["y_names"].index("logloss")

    def model(task: str) -> Callable[[Rows], NDArray[np.float64]]:
        def predict(rows: Rows) -> NDArray[np.float64]:
            given = dict(zip(space, rows.T, strict=True))
            given["trainsize"] = np.full(len(rows), GLMNET_TRAIN_SIZE)
            x = np.stack([given[name] for name in order], axis=1).astype(np.float32)
            category = np.full((len(rows), 1), codes[task], dtype=np.int32)
            return np.asarray(
                session.run(None, {"x_cat": category, "x_cont": x})[0], dtype=np.float64
            )[:, target]

        return predict

    return [(f"glmnet/{t}", space, model(t)) for t in ranges["task_id"]["choices"]]


def draw_rows(space: dict[str, Any], n: int, rng: np.random.Generator) -> Rows:
    """Return random configurations of floats, (n, d)."""
    parts = [
        np.exp(rng.uniform(math.log(d.low), math.log(d.high), n))
        if d.log
        else rng.uniform(d.low, d.high, n)
        for d in space.values()
    ]
    return np.stack(parts, axis=1)

"""MLPs on small versions of real data sets: a training of some hundred steps takes milliseconds.

    digits    8 x 8 pixels, 10 classes                       1,077 + 360 + 360 rows
    fashion   Fashion-MNIST at 7 x 7 pixels                  4,000 + 2,048 + 4,000
    mnist     MNIST at 14 x 14 pixels                        the same
    cifar     CIFAR-10 at 8 x 8 pixels, 3 colours            the same
    ag_news   64 hashed word counts, 4 classes               the same
    sst2      256 hashed word counts, 2 classes              the same
    hpobench  5 numbers, the accuracy of a training          the same
    nas201    6 operations, the error of an architecture     the same

A name says data set, width of the hidden layers, their number and the activation:
`small_task("fashion/32x1/tanh")`. The last two are regressions, on normalised values.
"""

from collections.abc import Mapping
import functools
from pathlib import Path

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

from optuna_evo import tasks
from optuna_evo.tasks import accuracy
from optuna_evo.tasks import cross_entropy
from optuna_evo.tasks import Split
from optuna_evo.tasks import Splits
from optuna_evo.tasks import Task
from tests.benchmarks.stacked_tasks import StackedTask


__all__ = ["small_task", "StackedMLP"]

_ROWS = (4_000, 2_048, 4_000)
_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
_PIXELS = {"fashion": 7, "mnist": 14, "cifar": 8}  # along an edge
_N_IN = {
    "digits": 64,
    "fashion": 49,
    "mnist": 196,
    "cifar": 192,
    "ag_news": 64,
    "sst2": 256,
    "hpobench": 5,
    "nas201": 30,
}
_N_OUT = {"ag_news": 4, "sst2": 2, "hpobench": 1, "nas201": 1}
_Parts = tuple[Split, Split, Split]


@functools.cache
def small_task(name: str) -> Task:
    """Return a task by its name, such as "digits/32x1/relu"."""
    data_set, shape, activation = name.split("/")
    width, depth = map(int, shape.split("x"))
    is_value = _N_OUT.get(data_set) == 1

    def build_model() -> nn.Module:
        sizes = [_N_IN[data_set], *[width] * depth]
        layers: list[nn.Module] = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(n_in, n_out), _ACTIVATIONS[activation]()]
        return nn.Sequential(*layers, nn.Linear(width, _N_OUT.get(data_set, 10)))

    def load(data_dir: Path | None = None) -> Splits:
        train, valid, _ = _parts(data_set, data_dir)
        return Splits(train, valid, data_set)

    return Task(
        name=name,
        kind="regression" if is_value else "classification",
        build_model=build_model,
        load=load,
        load_test=lambda data_dir=None: _parts(data_set, data_dir)[2],
        loss=_squared_error if is_value else cross_entropy,
        metric=_explained if is_value else accuracy,
        batch_size=32,
    )


class StackedMLP(StackedTask):
    """A stack of small tasks by products of stacks of matrices.

    Shape legend: P members, b rows.
    """

    def _forward(
        self,
        weights: Tensor,
        buffers: Mapping[str, Tensor],
        inputs: Tensor,
        targets: Tensor,
        members: int | None,
    ) -> tuple[Tensor, Tensor]:
        parts = torch.split(weights, self._sizes, dim=1)
        tensors = [p.view(-1, *s) for p, s in zip(parts, self._layout, strict=True)]
        if members is None:
            inputs, targets = (t.expand(len(weights), *t.shape) for t in (inputs, targets))
        layers = [m for m in self._model.modules() if not isinstance(m, nn.Sequential)]
        outputs = inputs
        for layer in layers:
            if isinstance(layer, nn.Linear):
                weight, bias = tensors.pop(0), tensors.pop(0)
                outputs = torch.baddbmm(bias.unsqueeze(1), outputs, weight.transpose(1, 2))
            else:
                outputs = layer(outputs)
        if self._task.kind == "regression":
            errors = (outputs.squeeze(-1) - targets).square()
            return errors.mean(1), 1 - errors.mean(1)
        losses = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none")
        right = (outputs.argmax(-1) == targets).float()
        return losses.view(right.shape).mean(1), right.mean(1)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.squeeze(-1) - targets).square().mean()


def _explained(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1 - _squared_error(outputs, targets)


@functools.cache
def _parts(data_set: str, data_dir: Path | None) -> _Parts:
    if data_set == "digits":
        return _of_task(data_set, data_dir, None)
    if data_dir is None:
        raise ValueError(f"{data_set} needs `--data-dir`.")
    if data_set in ("ag_news", "sst2"):
        return _words(data_set, data_dir)
    if data_set in ("hpobench", "nas201"):
        return _records(data_set, data_dir)
    whole = {"fashion": "fashion_mnist", "cifar": "cifar10"}.get(data_set, data_set)
    return _of_task(whole, data_dir, _PIXELS[data_set])


def _of_task(name: str, data_dir: Path | None, size: int | None) -> _Parts:
    task = tasks.get(name)
    splits, test = task.load(data_dir), task.load_test(data_dir)
    parts = [splits.train, splits.valid, test]
    if size is not None:
        parts = [
            Split(F.adaptive_avg_pool2d(p.inputs[:n].float(), size).flatten(1), p.targets[:n])
            for p, n in zip(parts, _ROWS, strict=True)
        ]
    return parts[0], parts[1], parts[2]


def _words(name: str, data_dir: Path) -> _Parts:
    import pandas as pd
    from sklearn.feature_extraction.text import HashingVectorizer

    folder = data_dir / "text" / name if name == "ag_news" else data_dir / "text" / "glue" / name
    table = pd.read_parquet(folder / "train.parquet").sample(frac=1, random_state=0)
    if name == "ag_news":  # too few rows for three parts: those of the test file are tested on
        test = pd.read_parquet(folder / "test.parquet").sample(n=_ROWS[2], random_state=0)
        table = pd.concat([table[: sum(_ROWS[:2])], test])
    counts = HashingVectorizer(n_features=_N_IN[name], alternate_sign=False, norm="l2")
    texts = table["text" if name == "ag_news" else "sentence"][: sum(_ROWS)]
    x = torch.from_numpy(counts.transform(texts).toarray()).float()
    return _normal(x, torch.tensor(table["label"].tolist()[: sum(_ROWS)]))


def _records(name: str, data_dir: Path) -> _Parts:
    import numpy as np
    import pandas as pd

    file = {"hpobench": "hpobench_mlp", "nas201": "nas_bench_201"}[name]
    table = pd.read_parquet(data_dir / "hpo" / f"{file}.parquet")
    group = "dataset" if name == "hpobench" else "task"
    table = table[table[group] == sorted(table[group].unique())[0]]
    table = table.sample(n=sum(_ROWS), random_state=0)
    if name == "hpobench":
        numbers = ["alpha", "batch_size", "depth", "learning_rate_init", "width"]
        x = torch.from_numpy(np.log(table[numbers].to_numpy(dtype=float))).float()
        y = torch.tensor([float(np.mean(values)) for values in table["valid_accuracy"]])
    else:
        operations = pd.get_dummies(table[[f"hp_x{i}" for i in range(6)]].astype(str))
        x = torch.from_numpy(operations.to_numpy(dtype=float)).float()
        y = torch.tensor(table["metric_error"].tolist())
    middle, spread = y[: _ROWS[0]].mean(), y[: _ROWS[0]].std()
    return _normal(x, (y - middle) / spread)


def _normal(x: Tensor, y: Tensor) -> _Parts:
    """Return three parts of the rows, inputs normalised by the first."""
    n, m = _ROWS[0], sum(_ROWS[:2])
    x = (x - x[:n].mean(0)) / (x[:n].std(0) + 1e-6)
    return Split(x[:n], y[:n]), Split(x[n:m], y[n:m]), Split(x[m:], y[m:])

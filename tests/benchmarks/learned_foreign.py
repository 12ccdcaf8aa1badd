"""A trained controller, guarded, on data sets that no meta-training saw, beside tuned AdamW.

    python -m tests.benchmarks.learned_foreign --controller FOLDER --out FOLDER
        [--data-dir FOLDER] [--device cuda] [--jobs N] [--only TASK ...]

Tasks: Fashion-MNIST, CIFAR-10 and characters of tiny Shakespeare from files, wine, breast cancer
and diabetes of scikit-learn. Each row trains one model for each of the test seeds; a seed gives
weights, order of rows and dropout, the same for all rows, so rows are paired.

    AdamW             warm-up and cosine, learning rate x weight decay tuned: 24 trials on other
                      seeds, by validation rows (others than the guard's where there are files)
    AdamW, 2 K        the same, tuned for and trained for twice the steps: a guarded step costs
                      two gradients, so these two are of equal cost
    learned           the controller as it is; nothing is tuned
    learned, scaled   its learning rate times one of 5 factors, tuned as AdamW was
    guarded           learned, scaled, guarded by the tuned AdamW
    shared            the same, not anchored: both go on from the better
    guarded as it is  learned, guarded by the tuned AdamW

What is measured is appended to OUT/trainings.jsonl and not done again; OUT/learned_foreign.md and
.json are the tables of what is there: means over seeds with 95 % intervals (Student's t), and the
paired difference of the test loss to AdamW's.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
import dataclasses
from dataclasses import dataclass
import functools
import json
import math
import multiprocessing
from pathlib import Path
import time
from typing import Any

import click
import numpy as np
from scipy import stats
import torch

from optuna_evo import tasks
from optuna_evo.learned import ControllerRule
from optuna_evo.learned import resolve
from optuna_evo.meta_training import adam_grid
from optuna_evo.meta_training import Guarding
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule
from tests.benchmarks.stacked_tasks import StackedTask


@dataclass(frozen=True)
class Setting:
    """How a task is trained.

    Args:
        task: Its name.
        steps: K.
        lrs: Learning rates of AdamW that are tried.
        seeds: Number of test seeds.
        tune_seeds: Number of other seeds that each trial is trained with.
        options: Of the task's model.
        uses_files: Whether it needs the data folder, and is worth a GPU.
    """

    task: str
    steps: int
    lrs: tuple[float, ...]
    seeds: int
    tune_seeds: int
    options: tuple[tuple[str, Any], ...] = ()
    uses_files: bool = False


LARGE = tuple(0.0005 * 2**k for k in range(6))  # 0.0005 .. 0.016
SMALL = tuple(0.002 * 3**k for k in range(6))  # 0.002 .. 0.486
DECAYS = (0.0, 0.01, 0.1, 1.0)
SCALES = (1.0, 1 / 4, 1 / 16, 1 / 64, 1 / 256)
_HERE = "optuna_evo.tasks._embedded"
SETTINGS = {
    "fashion_mnist": Setting("fashion_mnist", 300, LARGE, 8, 1, uses_files=True),
    "cifar10": Setting("cifar10", 200, LARGE, 8, 1, uses_files=True),
    "char_lm": Setting("char_lm", 300, LARGE, 8, 1, uses_files=True),
    "wine": Setting(f"{_HERE}:wine", 100, SMALL, 16, 4),
    "breast_cancer": Setting(f"{_HERE}:breast_cancer", 100, SMALL, 16, 4),
    "diabetes": Setting(f"{_HERE}:diabetes", 100, SMALL, 16, 4),
}
# Gradients of a row in K; the longest tuning comes last.
ROWS = {
    "AdamW": 1,
    "learned": 1,
    "learned, scaled": 1,
    "guarded": 2,
    "shared": 2,
    "guarded as it is": 2,
    "AdamW, 2 K": 2,
}
GUARDS = {
    "guarded": Guarding(),
    "shared": Guarding(anchored=False),
    "guarded as it is": Guarding(),
}
SCALED = ("learned, scaled", "guarded", "shared")
_FIRST_TEST_SEED, _FIRST_TUNE_SEED = 0, 1_000_000
_CHUNK = 24  # members that are trained at once


class Trainings:
    """The trainings of one task: each is done once and kept.

    Args:
        name: The task.
        setting: How it is trained.
        controller: Name or folder.
        out: Folder of results.
        data_dir: Where data sets are.
        device: Where to train.
    """

    def __init__(
        self,
        name: str,
        setting: Setting,
        *,
        controller: str,
        out: Path,
        data_dir: Path | None,
        device: str,
    ) -> None:
        self._name, self._setting, self._controller = name, setting, controller
        self._path = out / f"trainings_{name}.jsonl"
        self._how: dict[str, Any] = {
            "data_dir": data_dir,
            "device": device if setting.uses_files else "cpu",
        }
        self._task = tasks.get(setting.task)
        if setting.options:
            build = functools.partial(self._task.build_model, **dict(setting.options))
            self._task = dataclasses.replace(self._task, build_model=build)
        self._known = _read(self._path)

    def run(self) -> None:
        """Do what is not done yet."""
        k = self._setting.steps
        safe, factor = self._tuned(k), self._scale(k)
        seeds = range(_FIRST_TEST_SEED, _FIRST_TEST_SEED + self._setting.seeds)
        stack: StackedTask | None = None
        for row in ROWS:
            if self._key(row) in self._known:
                continue
            rule: UpdateRule = self._learned()
            steps, how = k, dict[str, Any]()
            if "AdamW" in row:
                steps = ROWS[row] * k
                genome = safe if steps == k else self._tuned(steps)
                rule = ConstantRule([genome.rule] * len(seeds))
            elif row in GUARDS:
                how |= {"fallback": ConstantRule([safe.rule] * len(seeds))}
                how |= {"guarding": GUARDS[row]}
            if row in SCALED:
                how |= {"lr_scales": [factor] * len(seeds)}
            stack = stack or StackedTask(self._task, seeds, **self._how)
            began = time.monotonic()
            found = stack.train(rule, steps=steps, tests=True, **how)
            self._keep(row, {**found, "seconds": time.monotonic() - began})

    def _learned(self) -> ControllerRule:
        return ControllerRule(resolve(self._controller))

    def _tuned(self, steps: int) -> Genome:
        """Return the AdamW with the least mean validation loss after a run."""
        setting = self._setting
        grid = adam_grid(
            setting.lrs,
            schedules=["warm-up and cosine"],
            weight_decays=DECAYS,
            total_steps=steps,
        )
        row = f"tuning of AdamW, {steps} steps"
        if self._key(row) not in self._known:
            began = time.monotonic()
            pairs = [(genome, seed) for genome in grid for seed in self._tune_seeds()]
            losses: list[float] = []
            for start in range(0, len(pairs), _CHUNK):
                part = pairs[start : start + _CHUNK]
                stack = StackedTask(self._task, [seed for _, seed in part], **self._how)
                rule = ConstantRule([genome.rule for genome, _ in part])
                losses += stack.train(rule, steps=steps)["tune"]
            means = np.array(losses).reshape(len(grid), -1).mean(1)
            best = grid[int(np.argmin(np.where(np.isfinite(means), means, np.inf)))]
            self._keep(
                row,
                {
                    "best": best.to_dict(),
                    "losses": means.tolist(),
                    "seconds": time.monotonic() - began,
                },
            )
        return Genome.from_dict(self._known[self._key(row)]["best"])

    def _scale(self, steps: int) -> float:
        """Return the factor of the controller's learning rate with the least validation loss."""
        row = "tuning of the controller's learning rate"
        if self._key(row) not in self._known:
            began = time.monotonic()
            pairs = [(scale, seed) for scale in SCALES for seed in self._tune_seeds()]
            stack = StackedTask(self._task, [seed for _, seed in pairs], **self._how)
            scales = [scale for scale, _ in pairs]
            found = stack.train(self._learned(), steps=steps, lr_scales=scales)["tune"]
            means = np.array(found).reshape(len(SCALES), -1).mean(1)
            best = SCALES[int(np.argmin(np.where(np.isfinite(means), means, np.inf)))]
            self._keep(
                row,
                {"best": best, "losses": means.tolist(), "seconds": time.monotonic() - began},
            )
        best_scale: float = self._known[self._key(row)]["best"]
        return best_scale

    def _tune_seeds(self) -> Sequence[int]:
        return range(_FIRST_TUNE_SEED, _FIRST_TUNE_SEED + self._setting.tune_seeds)

    def _key(self, row: str) -> str:
        """Return what a result is known by: all that it depends on but the code."""
        own = () if "AdamW" in row else (self._controller,)
        return json.dumps([self._name, row, dataclasses.astuple(self._setting), *own])

    def _keep(self, row: str, found: Mapping[str, Any]) -> None:
        record = {"key": self._key(row), "task": self._name, "row": row, **found}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._known[record["key"]] = record
        click.echo(f"{self._name}: {row}, {record['seconds']:.1f} s")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    known = {}
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that a kill cut off
        known[record["key"]] = record
    return known


def _train(name: str, setting: Setting, how: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    Trainings(name, setting, **how).run()


def table(records: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the tables as Markdown and as plain data."""
    lines, plain = [], []
    for task in dict.fromkeys(record["task"] for record in records):
        own = {r["row"]: r for r in records if r["task"] == task}
        if "AdamW" not in own:
            continue
        others = np.array(own["AdamW"]["loss"])
        lines += [
            f"\n### {task} ({len(others)} seeds)\n",
            "| row | gradients | test loss | metric | loss minus AdamW's | seconds |",
            "|---|---|---|---|---|---|",
        ]
        for row in ROWS:
            if row not in own:
                continue
            loss, metric = (np.array(own[row][name]) for name in ("loss", "metric"))
            cells = [interval(loss), interval(metric), interval(loss - others, "+")]
            seconds = f"{own[row]['seconds']:.1f}"
            lines.append("| " + " | ".join([row, f"{ROWS[row]} K", *cells, seconds]) + " |")
            plain.append({**own[row], "gradients": ROWS[row]})
        for row, record in own.items():
            if "best" in record:
                best = record["best"]
                if isinstance(best, dict):
                    best = f"lr {best['lr']:g}, decay {best['weight_decay']:g}"
                lines.append(f"\n{row}: {best} of {len(record['losses'])} trials.")
    return "\n".join(lines) + "\n", plain


def interval(values: np.ndarray[Any, Any], sign: str = "") -> str:
    """Return the mean and its 95 % interval."""
    n, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1)) / math.sqrt(n)
    return f"{mean:{sign}.4f} ± {half:.4f}"


@click.command()
@click.option("--controller", default="hybrid", show_default=True, help="Name or folder.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True)
@click.option("--jobs", default=1, show_default=True)
@click.option("--only", multiple=True, type=click.Choice([*SETTINGS]))
@click.option("--tables", is_flag=True, help="Train nothing.")
@click.option("--seeds", type=int, help="Test seeds; default: 8 with files, 16 without.")
@click.option("--steps", type=int, help="K; default: 100 to 300.")
def main(
    controller: str,
    out: Path,
    data_dir: Path | None,
    device: str,
    jobs: int,
    only: tuple[str, ...],
    tables: bool,
    seeds: int | None,
    steps: int | None,
) -> None:
    """Train what is not trained yet, then print and write the tables."""
    out.mkdir(parents=True, exist_ok=True)
    changes = {"seeds": seeds, "steps": steps}
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    chosen = {
        name: dataclasses.replace(setting, **given)
        for name, setting in SETTINGS.items()
        if not tables and (not only or name in only)
    }
    how = {"controller": controller, "out": out, "data_dir": data_dir, "device": device}
    context = multiprocessing.get_context("spawn")
    failed = []
    with ProcessPoolExecutor(max(1, min(jobs, len(chosen))), mp_context=context) as pool:
        futures = {pool.submit(_train, n, setting, how): n for n, setting in chosen.items()}
        for future in as_completed(futures):
            if error := future.exception():  # the other tasks go on
                failed.append(f"{futures[future]}: {type(error).__name__}: {error}")
                click.echo(failed[-1])
    paths = [out / f"trainings_{name}.jsonl" for name in SETTINGS]
    text, plain = table([record for path in paths for record in _read(path).values()])
    (out / "learned_foreign.md").write_text(text)
    (out / "learned_foreign.json").write_text(json.dumps(plain, indent=1))
    click.echo(text)
    if failed:
        raise click.ClickException("; ".join(failed))


if __name__ == "__main__":
    main()

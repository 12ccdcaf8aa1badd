"""The lightweight Bayesian optimisation experiment: what is a warm start from other pairs worth?

    python -m tests.benchmarks.transfer_text --out DIR [--jobs 12] [--seeds 2] [--trials 12]
        [--steps 40] [--pairs bert,resnet] [--size tiny] [--budget 400] [--data-dir DATA]

Each listed pair of a model and data: BERT, DistilBERT and RoBERTa (fresh weights, tiny or mini)
on IMDB, AG News, the tasks of GLUE that there are files for, and SQuAD; the CNN and the residual
network on MNIST. All pairs share one space: learning rate, weight decay, batch size, dropout. On
each, by `compare-samplers`, random search, GP and TPE start cold, and the meta sampler starts from
the TPE studies of the pairs with other data, all with the same seeds and numbers of evaluations.

How many evaluations are saved: all samplers are held to one goal for each pair and seed, the
median of what the cold ones ended with (a sampler's own best would be the luckiest of its draws,
which even its own repetition seldom reaches). Every pair draws with seeds of its own, else all
would share the luck of the same first configurations. Saved is what TPE needed to it, less what
the meta sampler needed (one more than all where it did not get there), a mean over seeds for each
pair, then a mean with a 95 % interval over pairs. Each pair has an SQLite file in DIR: the same
command goes on where it was stopped. After the budget (seconds) no study is begun.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
import json
from multiprocessing import get_context
import os
from pathlib import Path
import time
from typing import Any
import warnings

import click
import numpy as np

from optuna_evo.evaluation import Interval
from optuna_evo.spec import StudySpec


MODELS = ("bert", "distilbert", "roberta")
TEXTS = ("imdb", "ag_news", "sst2", "cola", "mrpc", "rte", "squad")
COLD = ("random", "gp", "tpe")
MODELLED = ("gp", "tpe")
WARM = "meta"
METRICS = ("accuracy", "f1", "auc", "exact_match", "mse", "valid_loss")
AT = (1, 3, 5, 10)


def pairs_of(begin: Sequence[str]) -> list[str]:
    """Return the names MODEL-DATA of all pairs that begin with one of some texts."""
    names = [f"{model}-{text}" for text in TEXTS for model in MODELS]
    names += ["cnn-mnist", "resnet-mnist"]
    return [name for name in names if not begin or name.startswith(tuple(begin))]


def seed_of(pair: str, seed: int) -> int:
    """Return the seed of a pair's studies in a repetition."""
    return 100 * seed + pairs_of([]).index(pair)


def spec_of(pair: str, seed: int, label: str, options: Mapping[str, Any]) -> StudySpec:
    """Return the study of a pair by a sampler."""
    model, data = pair.split("-")
    is_text = data != "mnist"
    task = {
        "architecture": model,
        "size": options["size"],
        "weights": "fresh",
        "sequence_length": 48 if data == "squad" else 32,
        "train_rows": 2_000,
        "valid_rows": 500,
    }
    return StudySpec.from_dict(
        {
            "name": pair,
            "tasks": [data if is_text else f"mnist_{model}"],
            "n_trials": options["trials"],
            "seed": seed_of(pair, seed),
            "task": task if is_text else {},
            "space": {
                "name": "training",
                "lr": [1e-5, 1e-1],
                "weight_decay": [1e-5, 1e-1],
                "batch_size": [8, 32],
                "dropout": [0.0, 0.5],
            },
            # their default of ten random trials would leave hardly any to the models
            "sampler": {"name": label} | ({"n_startup_trials": 4} if label in MODELLED else {}),
            "trainer": {"steps": options["steps"], "precision": "float32"},
            "objective": {
                "name": "accuracy",
                # of texts that few steps tell little about: finer than shares of right answers
                "metric": "f1" if data == "squad" else "auc" if is_text else "accuracy",
                "reports": 1,
                "divergence_penalty": 0.0 if data == "squad" else 0.1,
            },
        }
    )


def url(out: Path, pair: str) -> str:
    """Return the database of a pair."""
    return f"sqlite:///{(out / f'{pair}.db').resolve()}"


def run(job: tuple[str, int, str], options: Mapping[str, Any], ends: float) -> bool:
    """Run the studies of a pair with one seed, the cold ones or the warm one."""
    import dataclasses

    import optuna
    import torch

    from optuna_evo.search import open_storage
    from optuna_evo.study import comparison_specs
    from optuna_evo.study import run_comparison

    pair, seed, label = job
    if time.time() > ends:
        return False
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    spec = spec_of(pair, seed, label if label in MODELLED else "random", options)
    if label == WARM:
        sources = [
            f"{url(options['out'], other)}#{other}/tpe/{seed_of(other, seed)}"
            for other in options["pairs"]
            if other.split("-")[1] != pair.split("-")[1]
        ]
        spec = dataclasses.replace(spec, warm_start=tuple(sources))
    specs = comparison_specs(spec, [label], 1)
    storage = open_storage(url(options["out"], pair), create=True)
    run_comparison(specs, storage, device=options["device"], data_dir=options["data_dir"])
    return True


def read(pair: str, seed: int, label: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a study found; None if it is not finished."""
    import optuna

    from optuna_evo.search import open_storage

    if not (options["out"] / f"{pair}.db").exists():
        return None
    storage = open_storage(url(options["out"], pair), create=False)
    names = optuna.get_all_study_names(storage)
    if (name := f"{pair}/{label}/{seed_of(pair, seed)}") not in names:
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    trials = study.get_trials(deepcopy=False, states=states)
    if len(trials) < options["trials"]:
        return None
    best = study.best_trial
    attrs = best.user_attrs
    return {
        "values": [float(t.value) if t.value is not None else float("-inf") for t in trials],
        "seconds": sum(t.duration.total_seconds() for t in trials if t.duration is not None),
        "metrics": {name: attrs[name] for name in METRICS if name in attrs},
        "params": best.params,
    }


def reached(values: Sequence[float], goal: float) -> int:
    """Return after how many evaluations a value as good was found; one more than all if never."""
    best = np.maximum.accumulate(values)
    return int(np.argmax(best >= goal)) + 1 if best[-1] >= goal else len(values) + 1


def goal_of(by_label: Mapping[str, Mapping[int, Mapping[str, Any]]], seed: int) -> float:
    """Return the median of the best values of the cold samplers of a pair."""
    colds = [by_label[label][seed] for label in COLD if seed in by_label.get(label, {})]
    return float(np.median([max(record["values"]) for record in colds]))


def report(options: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the Markdown lines and all numbers."""
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for pair in options["pairs"]:
        for label in (*COLD, WARM):
            for seed in range(options["seeds"]):
                if (record := read(pair, seed, label, options)) is not None:
                    found.setdefault(pair, {}).setdefault(label, {})[seed] = record
    lines = [
        "| pair | sampler | best value | accuracy | F1 | AUC | exact match | loss | seconds "
        "| evaluations to the goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    saved: dict[str, list[float]] = {label: [] for label in (*COLD, WARM)}
    gains: dict[str, list[float]] = {label: [] for label in (*COLD, WARM)}
    curves: dict[str, list[list[float]]] = {label: [] for label in (*COLD, WARM)}
    for pair, by_label in found.items():
        for label, by_seed in by_label.items():
            cold = by_label.get("tpe", {})
            both = sorted(by_seed.keys() & cold.keys())
            needs = [
                (reached(cold[s]["values"], goal), reached(by_seed[s]["values"], goal))
                for s in both
                for goal in [goal_of(by_label, s)]
            ]
            if needs:
                saved[label].append(float(np.mean([a - b for a, b in needs])))
                pairs = [(max(by_seed[s]["values"]), max(cold[s]["values"])) for s in both]
                gains[label].append(float(np.mean([a - b for a, b in pairs])))
                best = [np.maximum.accumulate(by_seed[s]["values"]) for s in both]
                curves[label].append(np.mean(best, axis=0).tolist())
            cells = [_mean([max(r["values"]) for r in by_seed.values()])]
            for metric in ("accuracy", "f1", "auc", "exact_match", "valid_loss"):
                known = [r["metrics"][metric] for r in by_seed.values() if metric in r["metrics"]]
                cells.append(_mean(known))
            cells.append(f"{np.mean([r['seconds'] for r in by_seed.values()]):.0f}")
            cells.append(", ".join(str(b) for _, b in needs))
            lines.append(f"| {pair} | {label} | {' | '.join(cells)} |")
    n = options["trials"]
    lines += ["", f"Best value so far, mean over {len(found)} pairs:", ""]
    at = [k for k in (*AT, n) if k <= n]
    at = sorted({*at})
    lines.append(
        "| sampler | " + " | ".join(f"at {k}" for k in at) + " | evaluations saved against "
        "TPE | best value − TPE's |"
    )
    lines.append("|---" * (len(at) + 3) + "|")
    for label in (*COLD, WARM):
        if not curves[label]:
            continue
        means = np.mean(curves[label], axis=0)
        ends = [_interval(saved[label]), _interval(gains[label])] if label != "tpe" else ["", ""]
        lines.append(
            f"| {label} | "
            + " | ".join(f"{means[k - 1]:.4f}" for k in at)
            + f" | {' | '.join(ends)} |"
        )
    if saved[WARM]:
        per_cold = [
            reached(record["values"], goal_of(by_label, seed))
            for by_label in found.values()
            for seed, record in by_label.get("tpe", {}).items()
        ]
        interval = Interval.of(saved[WARM])
        lines += [
            "",
            f"To what the cold samplers' median ends with after {n}, the meta sampler needs "
            f"{interval.mean:.1f} ± {interval.half_width:.1f} evaluations fewer than TPE, which "
            f"needs {np.mean(per_cold):.1f} ({len(saved[WARM])} pairs, {options['seeds']} seeds).",
        ]
    return lines, found


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f}" if values else ""


def _interval(values: Sequence[float]) -> str:
    interval = Interval.of(values)
    return f"{interval.mean:+.3f} ± {interval.half_width:.3f}"


def draw(lines: Mapping[str, Any], options: Mapping[str, Any], path: Path) -> None:
    """Draw the best value so far of each sampler, a panel for each pair."""
    from matplotlib.figure import Figure

    n_columns = 4
    n_rows = -(-len(lines) // n_columns)
    canvas = Figure(figsize=(3.2 * n_columns, 2.3 * n_rows), layout="constrained")
    axes = canvas.subplots(n_rows, n_columns, squeeze=False).flat
    for (pair, by_label), panel in zip(lines.items(), axes, strict=False):
        for label, by_seed in by_label.items():
            best = [np.maximum.accumulate(r["values"]) for r in by_seed.values()]
            mean = np.mean(best, axis=0)
            panel.step(range(1, len(mean) + 1), mean, where="post", label=label)
        panel.set_title(pair, fontsize=9)
        panel.tick_params(labelsize=7)
    next(iter(canvas.axes)).legend(fontsize=7)
    canvas.savefig(path, dpi=90)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--jobs", default=1, show_default=True)
@click.option("--seeds", default=2, show_default=True)
@click.option("--trials", default=12, show_default=True)
@click.option("--steps", default=40, show_default=True)
@click.option("--size", default="tiny", show_default=True)
@click.option("--pairs", default="", help="Only pairs that begin so: bert,resnet-mnist.")
@click.option("--budget", default=1e9, help="Seconds after which no study is begun.")
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
def main(
    out: Path,
    device: str,
    jobs: int,
    seeds: int,
    trials: int,
    steps: int,
    size: str,
    pairs: str,
    budget: float,
    data_dir: Path | None,
) -> None:
    """Run the studies that are missing and write tables and curves."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    options = {
        "out": out,
        "device": device,
        "seeds": seeds,
        "trials": trials,
        "steps": steps,
        "size": size,
        "pairs": pairs_of([each for each in pairs.split(",") if each]),
        "data_dir": data_dir,
    }
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for labels in (("tpe",), (WARM,), ("gp", "random")):
            # a process takes the samplers of one pair and seed, so its texts are tokenised once
            work = [
                (p, s, label) for s in range(seeds) for p in options["pairs"] for label in labels
            ]
            todo = [job for job in work if read(*job, options) is None]
            futures = {pool.submit(run, job, options, began + budget): job for job in todo}
            for n, future in enumerate(as_completed(futures), start=1):
                done = future.result()
                state = "done" if done else "left out: the budget is spent"
                print(
                    f"{n}/{len(todo)} {futures[future]} {state}, {time.time() - began:.0f} s",
                    flush=True,
                )
    lines, found = report(options)
    how = (
        f"{len(found)} pairs, fresh {size} encoders, {seeds} seeds, {trials} trials of {steps} "
        f"steps, {device}, {jobs} processes; {time.time() - began:.0f} seconds"
    )
    (out / "transfer.md").write_text("\n".join([how, "", *lines]) + "\n", encoding="utf-8")
    (out / "transfer.json").write_text(json.dumps(found), encoding="utf-8")
    print("\n".join([how, "", *lines]))
    if found:
        draw(found, options, out / "transfer.png")  # last: it alone needs matplotlib


if __name__ == "__main__":
    main()

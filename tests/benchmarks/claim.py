"""Can an evolved rule beat a tuned AdamW? Chosen on some tasks, reported on others.

    python -m tests.benchmarks.claim --out DIR --data-dir DATA [--trials 512] [--seeds 20]
        [--space-options '{"max_terms": 3}'] [--against adamw,nadamw] [--steps 150]

Every contestant is a space of rules: "genome" is `suggest_genome` with `--space-options`, the
others are classic rules with all their numbers free (`CLASSICS`; always with cosine decay, the
warm-up is one of the numbers). Each gets the same number of trials on the search tasks, the same
seeds and the same re-evaluation. The search of genomes begins at the classic rules that were
chosen, at the `--starts` of the catalog with AdamW's numbers, and 2 batches of variants of theirs.

1. `--trials` rules are tried, `--batch` at a time, on all search tasks with two seeds that are
   fresh in each batch. Their value is the mean of ln(validation loss / that of a fixed AdamW with
   the same seed), so that seeds are no matter and tasks count alike.
2. The best `--finalists` are measured again with 10 fresh seeds, and the best by that is named.
3. On unseen tasks (`REPORT`: other data sets, widths, activations, 5 times the length), with seeds
   that no choice saw, test loss is compared as it is, and once more with each contestant tuned
   again on each unseen task over `--retune` trials: all numbers of a classic rule, the learning
   rate, decay and warm-up of a genome.

A trial is many short trainings in one stack. Stages are kept as files in DIR: the same command
goes on where it was stopped.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from dataclasses import replace
import functools
import json
import math
from pathlib import Path
import time
from typing import Any
import warnings

import click
import numpy as np
from numpy.typing import NDArray
import optuna
import torch

from optuna_evo import catalog
from optuna_evo import Genome
from optuna_evo import genome_params
from optuna_evo import suggest_genome
from optuna_evo.evaluation import better
from optuna_evo.evaluation import confirm_winner
from optuna_evo.evaluation import holm
from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import paired
from optuna_evo.evaluation import speed_up
from optuna_evo.evaluation import time_to_target
from optuna_evo.optimizers import ConstantRule
from optuna_evo.rules import Term
from optuna_evo.rules import TermType
from optuna_evo.samplers import GASampler
from tests.benchmarks.small_tasks import small_task
from tests.benchmarks.small_tasks import StackedMLP


SEARCH = ("digits/32x1/relu", "fashion/32x1/tanh", "ag_news/32x1/relu", "hpobench/32x2/relu")
REPORT = (
    "mnist/64x1/relu",
    "cifar/32x2/gelu",
    "sst2/32x1/tanh",
    "nas201/64x2/gelu",
    "mnist/32x1/tanh@5",  # five times as long
)
CHOOSING, TUNING, REPORTING = 10_000, 20_000, 1_000_000  # first seeds; searches begin at 0
LIMIT = 3.0  # a training that diverged, or is e^3 times as bad, counts as that
MOST_MEMBERS = 136  # of a stack: more do not fit the cache

Rows = NDArray[np.float64]
Suggest = Callable[[optuna.trial.BaseTrial, int], Genome]


def control(steps: int) -> Genome:
    """Return the AdamW that values are relative to; it is no contestant."""
    warmup = max(1, steps // 20)
    return replace(
        catalog["adamw"], lr=1e-2, use_warmup=True, warmup_steps=warmup, use_cosine_decay=True
    )


def adamw(trial: optuna.trial.BaseTrial, steps: int, *, nesterov: bool = False) -> Genome:
    """AdamW, or NAdamW, with all its numbers."""
    beta1 = trial.suggest_float("beta1", 0.5, 0.99)
    terms = [Term(TermType.ADAM_TERM, 1.0)]
    if nesterov:
        terms = [Term(TermType.ADAM_TERM, beta1), Term(TermType.RMS_NORM, 1 - beta1)]
    return Genome(
        terms=terms, beta1=beta1, **_adaptive(trial), **_shared(trial, steps, (1e-3, 0.3))
    )


def momentum(trial: optuna.trial.BaseTrial, steps: int) -> Genome:
    """SGD with momentum and decoupled weight decay."""
    beta1 = trial.suggest_float("beta1", 0.0, 0.99)
    return replace(catalog["momentum"], beta1=beta1, **_shared(trial, steps, (1e-3, 1.0)))


def lion(trial: optuna.trial.BaseTrial, steps: int) -> Genome:
    """Lion with all its numbers."""
    betas = {name: trial.suggest_float(name, 0.5, 0.999) for name in ("beta1", "beta2")}
    return replace(catalog["lion"], **betas, **_shared(trial, steps, (1e-4, 1e-1)))


def _adaptive(trial: optuna.trial.BaseTrial) -> dict[str, float]:
    forgotten = trial.suggest_float("1 - beta2", 1e-4, 0.3, log=True)
    return {"beta2": 1 - forgotten, "eps": trial.suggest_float("eps", 1e-10, 1e-4, log=True)}


def _shared(trial: optuna.trial.BaseTrial, steps: int, lr: tuple[float, float]) -> dict[str, Any]:
    warmup = trial.suggest_float("warm-up", 0.0, 0.4)
    return {
        "lr": trial.suggest_float("lr", *lr, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 3.0, log=True),
        "use_warmup": True,
        "warmup_steps": max(1, round(warmup * steps)),
        "use_cosine_decay": True,
        "horizon": steps,
    }


CLASSICS: Mapping[str, Suggest] = {
    "adamw": adamw,
    "nadamw": functools.partial(adamw, nesterov=True),
    "momentum": momentum,
    "lion": lion,
}


def genome_options(steps: int, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the genome space: wide ranges, all terms, then `own`."""
    return {
        "max_terms": 4,
        "term_types": tuple(TermType.__members__),
        "alpha": (-1.0, 3.0),
        "lr": (1e-3, 0.3),
        "beta1": (0.0, 0.99),
        "beta2": (0.5, 0.9999),
        "weight_decay": (1e-4, 3.0),
        "clip_value": (1e-3, 1.0),
        "warmup_steps": (1, max(2, steps * 2 // 5)),
        "horizon": steps,
        **own,
    }


def around(rule: Genome, trial: optuna.trial.BaseTrial, steps: int) -> Genome:
    """A rule with another learning rate, decay and warm-up."""
    warmup = trial.suggest_float("warm-up", 0.0, 0.4)
    values: dict[str, Any] = {
        "lr": rule.lr * trial.suggest_float("lr factor", 0.01, 10, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 3.0, log=True),
        "use_warmup": True,
        "warmup_steps": max(1, round(warmup * steps)),
        "horizon": steps,
    }
    if "warmup_share" in {field.name for field in fields(rule)}:  # a rule warms up once
        values["warmup_share"] = 0.0
    return replace(rule, **values)


def variants(rule: Genome, options: Mapping[str, Any], number: int, seed: int) -> list[Genome]:
    """Return a rule, and it with other numbers and up to 2 more terms: starts of a search."""
    rng, found = np.random.default_rng([seed, number]), [rule]
    while len(found) < number:
        terms = [Term(t.type, t.alpha * float(np.exp(rng.normal(0, 0.3)))) for t in rule.terms]
        for kind in rng.choice(options["term_types"], size=rng.integers(3), replace=False):
            if len(terms) < options["max_terms"]:
                terms.append(Term(TermType[str(kind)], float(rng.uniform(-0.3, 0.7))))
        found.append(
            replace(
                rule,
                terms=terms,
                lr=rule.lr * float(np.exp(rng.normal(0, 0.5))),
                beta1=min(
                    0.99, max(0.0, 1 - (1 - rule.beta1) * float(np.exp(rng.normal(0, 0.5))))
                ),
                beta2=min(0.9999, max(0.5, 1 - (1 - rule.beta2) * float(np.exp(rng.normal())))),
                weight_decay=rule.weight_decay * float(np.exp(rng.normal())),
                use_gradient_clipping=bool(rng.random() < 0.2),
                clip_value=float(10 ** rng.uniform(-2, 0)),
            )
        )
    return found


def _as(rule: Genome, tuned: Genome) -> Genome:
    """Return the terms of a rule with the numbers and the schedule of a tuned one."""
    return replace(tuned, terms=rule.terms, beta1=min(rule.beta1, 0.8))


class Lab:
    """Trainings in stacks, rules by seeds."""

    def __init__(self, steps: int, data_dir: Path | None) -> None:
        self.steps, self.data_dir, self.trainings = steps, data_dir, 0

    def train(
        self, rules: Sequence[Genome], task: str, seeds: Sequence[int], **options: Any
    ) -> dict[str, Rows]:
        """Return what `StackedTask.train` measures, (rules, seeds) each."""
        name, _, times = task.partition("@")
        steps = self.steps * int(times or 1)
        members = [(rule.rule, seed) for rule in rules for seed in seeds]
        found: dict[str, list[float]] = {}
        for first in range(0, len(members), MOST_MEMBERS):
            part = members[first : first + MOST_MEMBERS]
            stack = StackedMLP(
                small_task(name), [s for _, s in part], data_dir=self.data_dir, device="cpu"
            )
            rule = ConstantRule([rule for rule, _ in part])
            for key, values in stack.train(rule, steps=steps, **options).items():
                found.setdefault(key, []).extend(values)
        self.trainings += len(members)
        shape = (len(rules), len(seeds))
        return {key: np.array(values).reshape(shape) for key, values in found.items()}

    def values(self, rules: Sequence[Genome], tasks: Sequence[str], seeds: Sequence[int]) -> Rows:
        """Return the mean over tasks of ln(validation loss / the control's), (rules, seeds)."""
        total = np.zeros((len(rules), len(seeds)))
        for task in tasks:
            losses = self.train([control(self.steps), *rules], task, seeds)["tune"]
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = np.log(losses[1:]) - np.log(losses[0])
            total += np.nan_to_num(ratios, nan=LIMIT, posinf=LIMIT).clip(-LIMIT, LIMIT)
        return total / len(tasks)


def choose(
    lab: Lab,
    suggest: Suggest,
    tasks: Sequence[str],
    *,
    trials: int,
    batch: int,
    finalists: int,
    sampler: optuna.samplers.BaseSampler,
    first_seed: int,
    starts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Search a space on some tasks and return the rule that was best on fresh seeds."""
    study = optuna.create_study(sampler=sampler)
    for start in starts:
        study.enqueue_trial(dict(start))
    rules: list[Genome] = []
    searched: list[float] = []
    while len(rules) < trials:
        asked = [study.ask() for _ in range(min(batch, trials - len(rules)))]
        new = [suggest(trial, lab.steps) for trial in asked]
        seed = first_seed + 2 * len(rules)
        means = lab.values(new, tasks, [seed, seed + 1]).mean(axis=1)
        for trial, mean in zip(asked, means, strict=True):
            study.tell(trial, float(mean))
        rules += new
        searched += means.tolist()
        print(f"  {len(rules)}/{trials} {min(searched):+.4f} {np.median(means):+.4f}", flush=True)
    fresh = first_seed + CHOOSING
    winner = confirm_winner(
        searched,
        lambda chosen, seeds: lab.values([rules[i] for i in chosen], tasks, seeds).tolist(),
        choosing_seeds=range(fresh, fresh + 10),
        report_seeds=range(fresh + 100, fresh + 110),
        k=finalists,
    )
    return {
        "rule": rules[winner.index].to_dict(),
        "searched": winner.searched,
        "value": [winner.estimate.mean, winner.estimate.low, winner.estimate.high],
        "equation": rules[winner.index].equation(),
    }


def compare(
    lab: Lab, rules: Mapping[str, Mapping[str, Genome]], seeds: Sequence[int]
) -> list[str]:
    """Return a table of "genome" against the others on unseen tasks, one rule for each task."""
    tests: dict[str, dict[str, Rows]] = {name: {} for name in rules}
    times: dict[str, dict[tuple[str, int], float | None]] = {name: {} for name in rules}
    for task in REPORT:
        every = max(1, lab.steps * int(task.partition("@")[2] or 1) // 40)
        own = [rules[name][task] for name in rules]
        found = lab.train(own, task, seeds, tests=True, every=every)
        points = sorted(int(key) for key in found if key.isdigit())
        curves = np.stack([found[str(point)] for point in points], axis=-1)
        row = {name: i for i, name in enumerate(rules)}
        target = float(np.median(curves[row["adamw"], :, -1]))
        for name, i in row.items():
            tests[name][task] = np.stack([found["loss"][i], found["metric"][i]])
            for seed, curve in zip(seeds, curves[i], strict=True):
                times[name][task, seed] = time_to_target(points, curve.tolist(), target)
    budget = lab.steps * 5
    logs = {
        name: {
            (task, s): float(np.log(np.nan_to_num(table[0, k], nan=1e3)))
            for task, table in own.items()
            for k, s in enumerate(seeds)
        }
        for name, own in tests.items()
    }
    others = [name for name in rules if name != "genome"]
    found_pairs = {name: paired(logs["genome"], logs[name]) for name in others}
    corrected = dict(zip(others, holm([found_pairs[n].p_value for n in others]), strict=True))
    lines = [
        "| genome against | test loss, ratio | over tasks | p, Holm | better | speed-up | reached "
        "| accuracy, points |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in others:
        pair = found_pairs[name]
        tasks = paired(logs["genome"], logs[name], unit="task").difference
        verdict = better(pair, p_value=corrected[name])
        speed = speed_up(times["genome"], times[name], budget=budget)
        gains = [
            100 * float(np.mean([tests["genome"][t][1, k] - tests[name][t][1, k] for t in REPORT]))
            for k in range(len(seeds))
        ]
        reached = f"{speed.both} + {speed.ours_only} / {speed.theirs_only}, none {speed.neither}"
        lines.append(
            f"| {name} | {_ratio(pair.difference)} | {_ratio(tasks)} | {corrected[name]:.2g} "
            f"| {verdict.answer} | {_plain(speed.ratio)} | {reached} "
            f"| {_plain(Interval.bootstrap(gains), '+.2f')} |"
        )
    lines += ["", "| test loss | " + " | ".join(rules) + " | genome / adamw |"]
    lines += ["|---|" + "---|" * (len(rules) + 1)]
    for task in REPORT:
        cells = [f"{np.mean(tests[name][task][0]):.4f}" for name in rules]
        difference = [logs["genome"][task, s] - logs["adamw"][task, s] for s in seeds]
        lines.append(
            f"| {task} | {' | '.join(cells)} | {_ratio(Interval.bootstrap(difference))} |"
        )
    return lines


def _ratio(logs: Interval) -> str:
    ends = (math.exp(end) for end in (logs.mean, logs.low, logs.high))
    return "{:.3f} ({:.3f} … {:.3f})".format(*ends)


def _plain(found: Interval, form: str = ".3f") -> str:
    return f"{found.mean:{form}} ({found.low:{form}} … {found.high:{form}})"


def _stage(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if not file.exists():
        print(file.stem, flush=True)
        began = time.process_time()
        found = make()
        found["cpu_seconds"] = time.process_time() - began
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return dict(json.loads(file.read_text(encoding="utf-8")))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
@click.option("--trials", default=512, show_default=True, help="Of each contestant.")
@click.option("--batch", default=32, show_default=True, help="Rules with the same seeds.")
@click.option("--finalists", default=16, show_default=True, help="Measured again.")
@click.option(
    "--retune", default=48, show_default=True, help="Trials on each unseen task; 0: none."
)
@click.option("--seeds", default=20, show_default=True, help="Of the report, for each task.")
@click.option("--steps", default=150, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the searches.")
@click.option("--against", default="adamw,nadamw", show_default=True, help=f"Of {[*CLASSICS]}.")
@click.option("--starts", default="", help="Catalog rules whose terms the search tries first.")
@click.option("--space-options", default="{}", help="JSON, for `suggest_genome`.")
def main(out: Path, data_dir: Path | None, **o: Any) -> None:
    """Search, choose, report."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore")  # starts may lie outside a range
    out.mkdir(parents=True, exist_ok=True)
    lab = Lab(o["steps"], data_dir)
    names = ["adamw", *[n for n in o["against"].split(",") if n != "adamw"]]
    options = genome_options(lab.steps, json.loads(o["space_options"]))
    spaces: dict[str, Suggest] = {name: CLASSICS[name] for name in names}
    spaces["genome"] = lambda trial, steps: suggest_genome(trial, **options)
    chosen: dict[str, Genome] = {}
    for name, suggest in spaces.items():
        starts: list[dict[str, Any]] = []
        if name == "genome":
            known = [n for n in o["starts"].split(",") if n]
            roots = [*chosen.values(), *(_as(catalog[n], chosen["adamw"]) for n in known)]
            n_each = 2 * o["batch"] // len(roots)
            for number, rule in enumerate(roots):
                near = variants(rule, options, n_each, o["seed"] + number)
                starts += [genome_params(each) for each in near]
        found = _stage(
            out / f"{name}.json",
            functools.partial(
                choose,
                lab,
                suggest,
                SEARCH,
                trials=o["trials"],
                batch=o["batch"],
                finalists=o["finalists"],
                sampler=_sampler(name, o),
                first_seed=100_000 * (1 + o["seed"]),
                starts=starts,
            ),
        )
        chosen[name] = Genome.from_dict(found["rule"])
        print(f"{name}: {found['value']}\n{found['equation']}", flush=True)
    order = ["genome", *names]
    seeds = range(REPORTING, REPORTING + o["seeds"])
    asis = {name: dict.fromkeys(REPORT, chosen[name]) for name in order}
    lines = _stage(out / "report.json", lambda: {"lines": compare(lab, asis, seeds)})["lines"]
    print("\n".join(["As chosen on the search tasks:", "", *lines, ""]), flush=True)
    if o["retune"]:
        tuned = {
            name: {t: _retuned(lab, name, spaces, chosen, t, o, out) for t in REPORT}
            for name in order
        }
        found = _stage(out / "tuned.json", lambda: {"lines": compare(lab, tuned, seeds)})
        print("\n".join(["Tuned on each unseen task:", "", *found["lines"]]), flush=True)


def _retuned(
    lab: Lab,
    name: str,
    spaces: Mapping[str, Suggest],
    chosen: Mapping[str, Genome],
    task: str,
    o: Mapping[str, Any],
    out: Path,
) -> Genome:
    times = int(task.partition("@")[2] or 1)
    own = functools.partial(around, chosen[name]) if name == "genome" else spaces[name]
    long = Lab(lab.steps * times, lab.data_dir)
    found = _stage(
        out / f"{name}-{task.replace('/', '_')}.json",
        lambda: choose(
            long,
            own,
            [task.partition("@")[0]],
            trials=o["retune"],
            batch=16,
            finalists=8,
            sampler=optuna.samplers.TPESampler(seed=o["seed"], constant_liar=True),
            first_seed=TUNING,
        ),
    )
    return Genome.from_dict(found["rule"])


def _sampler(name: str, o: Mapping[str, Any]) -> optuna.samplers.BaseSampler:
    if name == "genome":
        n_generations = math.ceil(o["trials"] / o["batch"])
        return GASampler(population_size=o["batch"], n_generations=n_generations, seed=o["seed"])
    return optuna.samplers.TPESampler(seed=o["seed"], constant_liar=True)


if __name__ == "__main__":
    main()

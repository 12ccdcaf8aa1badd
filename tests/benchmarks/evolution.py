"""How long the whole reference evolution takes: a few generations are run, the rest extrapolated.

    python -m tests.benchmarks.evolution [--device cuda] [--scale 0.02] [--population 50]

The reference: 50 generations of 50 genomes, each trained on three image tasks with two seeds for
500 steps (arXiv:2512.11853: 2,945 s a generation on a T4, about 41 hours). On a CPU `--scale`
shortens the trainings and `--population` the generations; each training is then timed in steps
and in evaluations, and the extrapolation multiplies both to the full size. The first generation
loads the data and measures trainers: it counts as it is, the others are what is multiplied.
"""

from dataclasses import replace
from pathlib import Path
import tempfile
import time

import click
import optuna
from optuna.trial import FrozenTrial
import torch

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.search import open_storage
from optuna_evo.search import search
from optuna_evo.spec import load_spec
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import create_study


SPEC = Path(__file__).parents[2] / "studies" / "optimizer_discovery.toml"
GENERATIONS, POPULATION, STEPS = 50, 50, 500
REFERENCE_SECONDS = 2_945.0


class Watch:
    """Notes when each trial is finished, and what it cost."""

    def __init__(self) -> None:
        self.finished_at: list[float] = []
        self.n_reused = self.n_diverged = 0

    def started(self, trial_number: int) -> None:
        pass

    def reported(self, trial_number: int, report: int, n_reports: int) -> None:
        """Take no note."""

    def finished(self, trial: FrozenTrial) -> None:
        self.finished_at.append(time.perf_counter())
        self.n_reused += REUSED_FROM.is_in(trial.user_attrs)
        self.n_diverged += DIVERGED.is_in(trial.user_attrs)


@click.command()
@click.option("--device", default="auto", show_default=True)
@click.option("--generations", default=2, show_default=True, help="At least 2.")
@click.option("--population", default=POPULATION, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Share of the 500 steps.")
@click.option("--trainer", default="auto", show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    device: str,
    generations: int,
    population: int,
    scale: float,
    trainer: str,
    data_dir: Path | None,
) -> None:
    """Print one table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    steps = max(1, round(STEPS * scale))
    overrides = [
        f"n_trials={generations * population}",
        f"batch_size={population}",
        f"sampler.population_size={population}",
        f"trainer.steps={steps}",
        f'trainer.kind="{trainer}"',
    ]
    spec = load_spec(SPEC, overrides=overrides)
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        stored = create_study(spec, open_storage(f"sqlite:///{folder}/evolution.db"))
        objective = build_objective(spec, device=device, data_dir=data_dir)
        start = time.perf_counter()
        search(
            stored.study,
            space=build_space(spec),
            objective=objective,
            n_trials=spec.n_trials,
            batch_size=spec.batch_size,
            listener=watch,
        )
    ends = [watch.finished_at[(i + 1) * population - 1] for i in range(generations)]
    seconds = [end - begin for begin, end in zip([start, *ends], ends, strict=False)]
    later = sum(seconds[1:]) / (generations - 1)
    fixed = evaluation_seconds(replace(objective, steps=1), population, build_space(spec))
    whole = (max(0.0, later - fixed) / scale + fixed) * POPULATION / population
    print(f"device {objective.device}, {torch.get_num_threads()} threads, trainer {trainer}")
    print(
        f"{population} genomes, {len(spec.tasks)} tasks, {spec.objective.seeds} seeds, "
        f"{steps} steps"
    )
    print(f"{watch.n_reused} trials reused, {watch.n_diverged} diverged\n")
    print("| what | seconds |")
    print("|---|---|")
    for i, value in enumerate(seconds):
        print(f"| generation {i}, measured | {value:.1f} |")
    print(f"| of which evaluation and all else but steps, measured | {fixed:.1f} |")
    print(f"| generation at full size, extrapolated | {whole:.0f} |")
    print(f"| {GENERATIONS} generations, extrapolated | {GENERATIONS * whole:.0f} |")
    print(f"\nThe reference on a T4: {REFERENCE_SECONDS:.0f} s a generation.")
    print(f"A generation of the reference takes {REFERENCE_SECONDS / whole:.2f} times ours.")


def evaluation_seconds(objective, population, space) -> float:  # type: ignore[no-untyped-def]
    """Return the seconds of a generation whose trainings have one step."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    start = time.perf_counter()
    search(study, space=space, objective=objective, n_trials=population, batch_size=population)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

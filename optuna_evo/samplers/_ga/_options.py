"""Argument validation of a `GASampler`: one line for each mistake. None is a default."""

from collections.abc import Mapping

from optuna_evo.samplers._ga._ways import ADAPTIVE
from optuna_evo.samplers._ga._ways import ANNEALED
from optuna_evo.samplers._ga._ways import Way


__all__ = ["check_elites", "check_operators", "check_sizes"]

_LARGEST_POPULATION = 100_000


def check_sizes(
    *,
    population_size: int | None,
    n_startup_trials: int | None,
    n_generations: int | None,
    tournament_size: int | None,
    n_elites: int,
    n_offspring: int | None,
    seed: int | None,
) -> None:
    """Raise ValueError unless the whole numbers are in range."""
    _check_at_least("population_size", population_size, 2)
    _check_at_least("n_startup_trials", n_startup_trials, 2)
    sizes = {"population_size": population_size, "n_startup_trials": n_startup_trials}
    for name, size in sizes.items():
        if size is not None and size > _LARGEST_POPULATION:
            raise ValueError(
                f"`{name}` must be at most {_LARGEST_POPULATION:,}, got "
                f"{size}: every ask looks at all slots of a generation."
            )
    _check_at_least("n_generations", n_generations, 1)
    _check_at_least("tournament_size", tournament_size, 1)
    _check_at_least("n_elites", n_elites, 0)
    _check_at_least("n_offspring", n_offspring, 1)
    _check_at_least("seed", seed, 0)


def check_elites(n_elites: int, way: Way, *, reevaluate_elites: bool) -> None:
    """Raise ValueError if elites that are evaluated again would fill a generation."""
    population_size = way.population_size
    if reevaluate_elites and n_elites >= population_size:
        raise ValueError(
            "`n_elites` must be below `population_size` to evaluate elites again, "
            f"{n_elites=}, {population_size=}."
        )


def check_operators(
    probabilities: Mapping[str, float | None],
    *,
    mutation_scale: float | None,
    crossover: str,
    operators: str | None,
    n_generations: int | None,
) -> None:
    """Raise ValueError unless what says how children are made is in range."""
    for name, value in probabilities.items():
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f"`{name}` must be a probability in [0, 1], got {value}.")
    if mutation_scale is not None and not 0.0 < mutation_scale < float("inf"):
        raise ValueError(f"`mutation_scale` must be positive and finite, {mutation_scale=}.")
    if crossover not in ("uniform", "single_point"):
        raise ValueError(f'`crossover` must be "uniform" or "single_point", {crossover=}.')
    if operators not in (None, ADAPTIVE, ANNEALED):
        raise ValueError(f'`operators` must be "adaptive" or "annealed", {operators=}.')
    fixed = {
        "n_generations": n_generations,
        "mutation_prob": probabilities["mutation_prob"],
        "mutation_scale": mutation_scale,
        "crossover": None if crossover == "uniform" else crossover,
    }
    given = [name for name, value in fixed.items() if value is not None]
    if operators == ADAPTIVE and given:
        raise ValueError(f'`{given[0]}` goes with operators="annealed": leave it out.')


def _check_at_least(name: str, value: int | None, low: int) -> None:
    if value is not None and value < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}, got {value}.")

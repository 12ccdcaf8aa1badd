"""Argument validation of a `GASampler`: one line for each mistake."""

from collections.abc import Mapping


__all__ = ["check_operators", "check_sizes"]

_LARGEST_POPULATION = 100_000


def check_sizes(
    *,
    population_size: int,
    n_generations: int,
    tournament_size: int,
    n_elites: int,
    reevaluate_elites: bool,
    seed: int | None,
) -> None:
    """Raise ValueError unless the whole numbers are in range."""
    _check_at_least("population_size", population_size, 2)
    if population_size > _LARGEST_POPULATION:
        raise ValueError(
            f"`population_size` must be at most {_LARGEST_POPULATION:,}, got "
            f"{population_size}: every ask looks at all slots of a generation."
        )
    _check_at_least("n_generations", n_generations, 1)
    _check_at_least("tournament_size", tournament_size, 1)
    _check_at_least("n_elites", n_elites, 0)
    if reevaluate_elites and n_elites >= population_size:
        raise ValueError(
            "`n_elites` must be below `population_size` to evaluate elites again, "
            f"{n_elites=}, {population_size=}."
        )
    if seed is not None:
        _check_at_least("seed", seed, 0)


def check_operators(
    probabilities: Mapping[str, float], *, mutation_scale: float, crossover: str
) -> None:
    """Raise ValueError unless what says how children are made is in range."""
    for name, value in probabilities.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"`{name}` must be a probability in [0, 1], got {value}.")
    if not 0.0 < mutation_scale < float("inf"):
        raise ValueError(f"`mutation_scale` must be positive and finite, {mutation_scale=}.")
    if crossover not in ("uniform", "single_point"):
        raise ValueError(f'`crossover` must be "uniform" or "single_point", {crossover=}.')


def _check_at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}, got {value}.")

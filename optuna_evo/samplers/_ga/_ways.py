"""The two ways in which a study is searched, and which of them a study has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from typing import Literal

from optuna_evo.samplers._ga._operators import Rates


__all__ = ["ADAPTIVE", "ANNEALED", "Way", "ways"]

ADAPTIVE: Final = "adaptive"
ANNEALED: Final = "annealed"

_DEFAULTS: Final[Mapping[str, Mapping[str, int | float]]] = {
    ADAPTIVE: {
        "population_size": 10,
        "n_startup": 3,  # generations' worth
        "tournament_size": 4,
        "crossover_prob": 0.6,
        "structure_prob": 0.15,
        "flag_prob": 0.06,
        "n_offspring": 24,
    },
    ANNEALED: {
        "population_size": 50,
        "n_startup": 1,
        "tournament_size": 4,
        "crossover_prob": 0.9,
        "structure_prob": 0.15,
        "flag_prob": 0.1,
        "n_offspring": 1,
    },
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a population goes on (see `GASampler` for the arguments)."""

    operators: str
    population_size: int
    n_startup_trials: int
    n_generations: int
    tournament_size: int
    n_elites: int
    n_offspring: int
    rates: Rates

    @property
    def keeps_best(self) -> bool:
        """Whether parents are of all generations rather than of the last."""
        return self.operators == ADAPTIVE


def ways(
    operators: Literal["adaptive", "annealed"] | None,
    *,
    population_size: int | None,
    n_startup_trials: int | None,
    n_generations: int | None,
    tournament_size: int | None,
    n_elites: int,
    crossover_prob: float | None,
    single_point: bool,
    mutation_prob: float | None,
    mutation_scale: float | None,
    structure_prob: float | None,
    flag_prob: float | None,
    n_offspring: int | None,
) -> tuple[Way, Way]:
    """Return the way of a new study, and the other one, which a study may have been begun in."""

    def way(name: str) -> Way:
        defaults = _DEFAULTS[name]

        def pick(value: float | None, key: str) -> float:
            return defaults[key] if value is None else value

        size = int(pick(population_size, "population_size"))
        startup = int(defaults["n_startup"]) * size
        return Way(
            operators=name,
            population_size=size,
            n_startup_trials=startup if n_startup_trials is None else n_startup_trials,
            n_generations=50 if n_generations is None else n_generations,
            tournament_size=int(pick(tournament_size, "tournament_size")),
            n_elites=n_elites,
            n_offspring=int(pick(n_offspring, "n_offspring")),
            rates=Rates(
                crossover=pick(crossover_prob, "crossover_prob"),
                number=0.35 if mutation_prob is None else mutation_prob,
                scale=0.3 if mutation_scale is None else mutation_scale,
                structure=pick(structure_prob, "structure_prob"),
                flag=pick(flag_prob, "flag_prob"),
                single_point=single_point,
            ),
        )

    return way(operators or ANNEALED), way(operators or ADAPTIVE)

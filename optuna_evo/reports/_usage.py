"""What is used how often as a search goes on: terms of genomes, switches, choices."""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import re
from typing import Any
from typing import NamedTuple

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.config import TrainingConfig
from optuna_evo.names import printable
from optuna_evo.reports._summary import generation_of
from optuna_evo.rules import Genome


__all__ = ["Usage", "usage_of"]

_BLOCKS = 10  # of trials, where a sampler has no generations
_MOST_TRAITS = 16
_MOST_CHOICES = 12
_MOST_NAME = 40
_OF_TERM = re.compile(r"term_\d+")
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Usage(NamedTuple):
    """How many of a generation's trials have each trait.

    Args:
        traits: Names of what can be used, the most frequent at the end first.
        columns: Generations, or the first numbers of blocks of trials.
        is_generation: Whether columns are generations.
        shares: For each trait its share in each column, in [0, 1].
    """

    traits: Sequence[str]
    columns: Sequence[int]
    is_generation: bool
    shares: Sequence[Sequence[float]]


def usage_of(
    trials: Iterable[FrozenTrial], configure: Callable[[FrozenTrial], Any]
) -> Usage | None:
    """Compute what the trials of a study used as it went on; None if there is nothing to choose.

    Args:
        trials: Trials of the study.
        configure: Its search space, which rebuilds what a trial trained with.
    """
    members = [(t, traits_of(t, configure)) for t in trials if t.state in _FINISHED]
    if not members:
        return None
    generations = [generation_of(trial) for trial, _ in members]
    is_generation = all(g is not None for g in generations)
    size = max(1, -(-len(members) // _BLOCKS))
    blocks: dict[int, list[set[str]]] = {}
    for nth, ((_, traits), generation) in enumerate(zip(members, generations, strict=True)):
        first = members[nth // size * size][0].number
        column = generation if is_generation and generation is not None else first
        blocks.setdefault(column, []).append(traits)
    columns = sorted(blocks)
    total = Counter(trait for each in blocks.values() for traits in each for trait in traits)
    # what all trials have says nothing
    varied = [trait for trait, n in total.items() if n < len(members)]
    if not varied:
        return None

    def share(trait: str, column: int) -> float:
        return sum(trait in traits for traits in blocks[column]) / len(blocks[column])

    varied.sort(key=lambda trait: (-share(trait, columns[-1]), -total[trait], trait))
    kept = varied[:_MOST_TRAITS]
    shares = [[share(trait, column) for column in columns] for trait in kept]
    return Usage(kept, columns, is_generation, shares)


def traits_of(trial: FrozenTrial, configure: Callable[[FrozenTrial], Any]) -> set[str]:
    """Return what a trial used: the terms of its genome, its switches, what it chose."""
    config = configure(trial)
    optimizer = config.optimizer if isinstance(config, TrainingConfig) else None
    found = set()
    if isinstance(optimizer, Genome):
        found = {term.type.name.lower().replace("_", " ") for term in optimizer.terms}
    for name, distribution in trial.distributions.items():
        if not isinstance(distribution, CategoricalDistribution):
            continue
        if found and _OF_TERM.fullmatch(name):  # what the terms say already
            continue
        value = trial.params[name]
        if isinstance(value, bool):
            if value:
                found.add(printable(name)[:_MOST_NAME])
        elif 1 < len(distribution.choices) <= _MOST_CHOICES:
            found.add(printable(f"{name} = {value}")[:_MOST_NAME])
    return found

"""Take out of a rule what it does not need, with the evidence.

Rules that a search has found carry terms and flags that do nothing, or not enough to be seen.
`simplify` takes them out one by one: in each round all rules that lack one more thing are trained
beside the rule as it stands, on seeds that no search saw and no round before, and the one that
does best goes on if it is *not inferior*: the hypothesis that it is worse by the margin or more is
rejected. That is a paired test by sign flips, and its p-value is multiplied by the number of looks
that there can be at most, so that over all rounds a rule that is worse by the margin slips through
in at most 5 of 100 cases. At the end numbers are rounded to as few digits, by the same test.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._interval import CONFIDENCE
from optuna_evo.evaluation._interval import Interval
from optuna_evo.evaluation._paired import sign_flip
from optuna_evo.rules import DIRECTIONS
from optuna_evo.rules import Genome
from optuna_evo.rules import Term


if TYPE_CHECKING:
    from optuna_evo.objectives import FitnessObjective

__all__ = ["Look", "Measure", "Simplified", "simplify", "simplify_by", "tidy"]

Measure = Callable[[Sequence[Genome], Sequence[int]], Sequence[Sequence[float]]]
"""From genomes and seeds, for each genome a value for each seed; more is better, all finite."""

FIRST_SEED = 2_000_000  # searches use small seeds, the judge's tests begin at 1,000,000
_DIGITS = (1, 2, 3)
_NEAR = 0.2  # weights that differ by less may be made equal
_KEPT = ("terms", "lr", "horizon")
_NUMBERS_OF_FLAGS = ("beta1", "beta2", "eps", "clip_value", "warmup_steps", "nesterov_beta")
_WORDS = {
    "use_gradient_clipping": "clipping",
    "use_m": "the average m",
    "use_v": "the average v",
    "use_warmup": "warm-up",
}


@dataclass(frozen=True)
class Look:
    """One simpler rule, looked at once.

    Args:
        round: When, counted from 1.
        change: What was taken out or rounded, in words.
        loss: How much worse it was than the rule as it stood, with the interval over seeds; below
            0 it was better.
        p_value: That it is worse by the margin or more, corrected for the number of looks.
        taken: Whether the rule goes on so.
    """

    round: int
    change: str
    loss: Interval
    p_value: float
    taken: bool


@dataclass(frozen=True)
class Simplified:
    """A simpler rule and how it came about.

    Args:
        genome: The rule, in its canonical form.
        looks: The evidence, in the order of the rounds.
        total: How much worse it is than the rule that was given, on yet other seeds.
        margin: How much worse was still allowed for each step.
        n_seeds: Seeds of each round.
    """

    genome: Genome
    looks: tuple[Look, ...]
    total: Interval
    margin: float
    n_seeds: int


def simplify(
    genome: Genome,
    objective: "FitnessObjective",
    *,
    margin: float = 0.005,
    seeds: int = 16,
    first_seed: int = FIRST_SEED,
    on_round: Callable[[int, int], None] | None = None,
) -> Simplified:
    """Drop the terms and flags of a genome that its fitness does not need.

    All rules of a round train as one cohort, in stacks where the objective's trainer stacks.

    Args:
        genome: The rule.
        objective: What it is valued by; its own seeds are not used.
        margin: How much fitness each step may cost, > 0: 0.005 is half a point of accuracy.
        seeds: Fresh seeds of each round, >= 5. With few the test cannot reject anything: a
            p-value is at least 2^-seeds, times the number of looks.
        first_seed: The seeds of the first round begin here.
        on_round: Called at the start of a round with its number and how many rules it trains.

    Raises:
        ValueError: If an argument is out of range.
        UsageError: If there are too few seeds for so many looks.

    Example:
        >>> from optuna_evo import catalog, tasks
        >>> from optuna_evo.objectives import FitnessObjective
        >>> objective = FitnessObjective(tasks=[tasks.get("digits")], seeds=[0], steps=100)
        >>> found = simplify(catalog["published_2025"], objective, margin=0.01)
        >>> print(found.genome.equation())
    """

    def measure(genomes: Sequence[Genome], own: Sequence[int]) -> list[list[float]]:
        configs = [TrainingConfig(genome=each) for each in genomes]
        by_seed = [_fitness(objective, configs, seed) for seed in own]
        return [list(values) for values in zip(*by_seed, strict=True)]

    return simplify_by(
        genome, measure, margin=margin, seeds=seeds, first_seed=first_seed, on_round=on_round
    )


def simplify_by(
    genome: Genome,
    measure: Measure,
    *,
    margin: float,
    seeds: int = 16,
    first_seed: int = FIRST_SEED,
    on_round: Callable[[int, int], None] | None = None,
) -> Simplified:
    """Simplify by any measurement; see `simplify`."""
    if not margin > 0 or not math.isfinite(margin):
        raise ValueError(f"`margin` must be above 0 and finite, got {margin}.")
    if seeds < 5:  # 2^-4 > 0.05
        raise ValueError(f"`seeds` must be at least 5, got {seeds}.")
    given = genome = tidy(genome)
    n_looks = _most_looks(genome)
    if 2.0**-seeds * n_looks > 1 - CONFIDENCE:
        enough = math.ceil(math.log2(n_looks / (1 - CONFIDENCE)))
        raise UsageError(
            f"{seeds} seeds decide nothing when there may be {n_looks} looks: give {enough}."
        )
    looks: list[Look] = []
    number = 0

    def losses(simpler: Sequence[Genome], than: Genome) -> list[list[float]]:
        """Train on the next seeds; return by how much each of the rules is worse, by seed."""
        nonlocal number
        number += 1
        if on_round is not None:
            on_round(number, 1 + len(simpler))
        start = first_seed + (number - 1) * seeds
        now, *others = measure([than, *simpler], range(start, start + seeds))
        return [[a - b for a, b in zip(now, values, strict=True)] for values in others]

    def round_of(simpler: Sequence[tuple[str, Genome]], *, first: bool = False) -> Genome | None:
        """Look at rules beside the present one; return the best, or the first, that is as good."""
        found = []
        lost_by = losses([each for _, each in simpler], genome)
        for (change, _), lost in zip(simpler, lost_by, strict=True):
            beyond = [value - margin for value in lost]
            p_value = min(1.0, n_looks * sign_flip(beyond, alternative="less", seed=number))
            found.append(Look(number, change, Interval.bootstrap(lost), p_value, taken=False))
        passed = [i for i, look in enumerate(found) if look.p_value <= 1 - CONFIDENCE]
        best = min(passed, key=lambda i: i if first else found[i].loss.mean, default=None)
        looks.extend(dataclasses.replace(look, taken=i == best) for i, look in enumerate(found))
        return None if best is None else simpler[best][1]

    while candidates := list(_without_one(genome)):
        if len(looks) + len(candidates) + len(_DIGITS) > n_looks:  # what was taken made new ones
            break
        simpler = round_of(candidates)
        if simpler is None:
            break
        genome = simpler
    if rounded := list(_rounded(genome)):
        genome = round_of(rounded, first=True) or genome
    total = Interval(0.0, 0.0, 0.0)
    if genome != given:
        total = Interval.bootstrap(losses([genome], given)[0])
    return Simplified(genome, tuple(looks), total, margin, seeds)


def tidy(genome: Genome) -> Genome:
    """Return the same update in its shortest form.

    Equal terms are added up, what nothing reads has its default, and the largest weight is 1 or
    -1, the learning rate taking up its size. The fingerprint stays the same.
    """
    rule, sums = genome.rule, {}
    folded = [Term(d, c) for d, c in zip(DIRECTIONS, rule.coefficients, strict=True) if c]
    for kind, _ in genome.terms:
        sums[kind] = Term(kind, math.fsum(alpha for each, alpha in genome.terms if each is kind))
    added = [term for term in sums.values() if term.alpha]
    # the rule's own coefficients are shorter still, unless something is no sum of directions
    for values in ({"terms": folded, "use_m": True, "use_v": True}, {"terms": added}):
        if (changed := _same(genome, **values)) is not None:
            genome = changed
            break
    for field in dataclasses.fields(genome):
        if field.name not in _KEPT:
            genome = _same(genome, **{field.name: field.default}) or genome
    size = max((abs(term.alpha) for term in genome.terms), default=0.0) or 1.0
    terms = [Term(term.type, term.alpha / size) for term in genome.terms]
    decay = genome.weight_decay / size
    return _same(genome, terms=terms, lr=genome.lr * size, weight_decay=decay) or genome


def _same(genome: Genome, **values: Any) -> Genome | None:
    """Return the genome with other values if it does the same update."""
    try:
        changed = dataclasses.replace(genome, **values)
    except ValueError:  # such as a learning rate that overflows
        return None
    return changed if changed.fingerprint() == genome.fingerprint() else None


def _most_looks(genome: Genome) -> int:
    """Return how many looks there are if each round takes one thing out."""
    n = len(list(_without_one(genome)))
    return n * (n + 1) // 2 + len(_DIGITS)


def _without_one(genome: Genome) -> Iterator[tuple[str, Genome]]:
    """Yield each rule that lacks one thing, with what it lacks; none does the same update."""
    seen = {genome.fingerprint()}

    def changed(change: str, **values: Any) -> Iterator[tuple[str, Genome]]:
        simpler = tidy(dataclasses.replace(genome, **values))
        if simpler.fingerprint() not in seen and simpler.terms:
            seen.add(simpler.fingerprint())
            yield change, simpler

    for i, term in enumerate(genome.terms):
        rest = [other for j, other in enumerate(genome.terms) if j != i]
        yield from changed(f"without {term.alpha:.3g} {term.type.name}", terms=rest)
    yield from _equal(genome, changed)
    for field in dataclasses.fields(genome):
        if field.name not in _KEPT and field.name not in _NUMBERS_OF_FLAGS:
            off = False if field.name.startswith("use_") else field.default
            name = _WORDS.get(field.name, field.name.removeprefix("use_").replace("_", " "))
            yield from changed(f"without {name}", **{field.name: off})


def _equal(
    genome: Genome, changed: Callable[..., Iterator[tuple[str, Genome]]]
) -> Iterator[tuple[str, Genome]]:
    """Yield rules in which two weights of nearly one size have one size."""
    for i, one in enumerate(genome.terms):
        for j, other in enumerate(genome.terms[:i]):
            sizes = sorted((abs(one.alpha), abs(other.alpha)))
            if sizes[0] == sizes[1] or sizes[1] - sizes[0] > _NEAR * sizes[1]:
                continue
            mean = sum(sizes) / 2
            terms = list(genome.terms)
            for k in (i, j):
                terms[k] = Term(terms[k].type, math.copysign(mean, terms[k].alpha))
            change = f"{other.type.name} and {one.type.name} of one weight"
            yield from changed(change, terms=terms)


def _rounded(genome: Genome) -> Iterator[tuple[str, Genome]]:
    """Yield the rule with all its numbers rounded to few digits, the fewest first."""
    seen = {genome.fingerprint()}
    for digits in _DIGITS:
        numbers: dict[str, Any] = {}
        for field in dataclasses.fields(genome):
            value = getattr(genome, field.name)
            if field.name.startswith("beta"):
                # of a decay, what it forgets: 0.9357 is 0.94, and 0.9996 must not be 1
                numbers[field.name] = round(1 - _round(1 - value, digits), 12)
            elif isinstance(value, float) or field.name == "warmup_steps":
                numbers[field.name] = type(value)(_round(value, digits))
        terms = [Term(term.type, _round(term.alpha, digits)) for term in genome.terms]
        rounded = dataclasses.replace(genome, terms=terms, **numbers)
        if rounded.fingerprint() not in seen:
            seen.add(rounded.fingerprint())
            yield f"all numbers to {digits} digit{'s' * (digits > 1)}", rounded


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _fitness(
    objective: "FitnessObjective", configs: Sequence[TrainingConfig], seed: int
) -> list[float]:
    """Return the fitness of each configuration, the mean over tasks, with one seed."""
    own = dataclasses.replace(objective, seeds=(seed,), reports=None)
    run = own.start(configs)
    reports = [run.advance() for _ in range(own.n_reports)]
    means = [own.value(values) for values in zip(*reports, strict=True)]
    # the same number for whatever diverges, as in a search
    return [mean if math.isfinite(mean) else objective.penalty for mean in means]

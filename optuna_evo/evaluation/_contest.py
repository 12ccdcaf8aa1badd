"""Who trains what: tuning, tests, the same with equal step sizes, and other learning rates.

Seeds are apart: searches and their repetitions use small ones; tuning, the choice of a winner and
tests begin where no other ever comes.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from dataclasses import dataclass
from pathlib import Path
import statistics
from typing import Any

from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial

from optuna_evo.config import GraftedOptimizer
from optuna_evo.config import OptimizerConfig
from optuna_evo.errors import UsageError
from optuna_evo.evaluation._contestant import Contestant
from optuna_evo.evaluation._design import propose
from optuna_evo.evaluation._design import stage_ends
from optuna_evo.evaluation._design import words_of
from optuna_evo.evaluation._jobs import Book
from optuna_evo.evaluation._jobs import Job
from optuna_evo.evaluation._trainings import Course
from optuna_evo.evaluation._trainings import SeededConfig
from optuna_evo.evaluation._trainings import Trainings
from optuna_evo.evaluation._workload import Workload


__all__ = [
    "Contest",
    "graft",
    "LR_FACTORS",
    "median",
    "Terms",
    "TEST_SEED",
    "tuned_params",
    "tuning_curve",
]

TUNING_SEED, CHOOSING_SEED, TEST_SEED = 2_000_000, 3_000_000, 4_000_000
LR_FACTORS = (0.125, 0.25, 0.5, 2.0, 4.0, 8.0)
"""Of the tuned learning rate, which itself has been trained."""
_LR_PARAMS = ("lr", "adamw_lr", "lr_factor")
_MOST_SEEDS = 100_000
_SEEDS_OF_A_TUNING = 1_000
Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The same for all contestants.

    Args:
        budget: Tuning trials of each contestant on each task, >= 1.
        seeds: Test seeds, >= 1: of paired trainings.
        tunings: How often everybody is tuned anew; test seed i has tuning i modulo them; >= 1.
        tuning_seeds: Trainings of a tuning trial, >= 1.
        tuning_share: Length of a tuning training to a test's, in (0, 1]: the whole schedule,
            shortened.
        points: How often the validation loss is looked at along a test training, >= 1.
        half_width: How narrow the interval of the difference to the best baseline must become;
            None: as it comes out.
        most_seeds: Test seeds after which that is given up.
        seed: Of the tuning.
        device: torch device.
        precision: "auto", "float32" or "bfloat16".
        data_dir: Folder with data files; None: `OPTUNA_EVO_DATA` or downloads.
        trainer: "auto", "sequential" or "population" (see `trainers.start`).

    Raises:
        UsageError: If a number is out of range (a ValueError).
    """

    budget: int = 16
    seeds: int = 10
    tunings: int = 1
    tuning_seeds: int = 1
    tuning_share: float = 1.0
    points: int = 20
    half_width: float | None = None
    most_seeds: int = 100
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    data_dir: Path | None = None
    trainer: str = "auto"

    def __post_init__(self) -> None:
        for name in ("budget", "seeds", "tunings", "tuning_seeds", "points"):
            value = getattr(self, name)
            if not 1 <= value < _MOST_SEEDS:
                raise UsageError(f"`{name}` must be in 1..{_MOST_SEEDS - 1}, got {value!r:.40}.")
        if self.tunings > self.seeds:
            raise UsageError(
                f"`tunings` must be at most `seeds`, {self.seeds}, got {self.tunings!r:.40}."
            )
        if not 0 < self.tuning_share <= 1:
            raise UsageError(f"`tuning_share` must be in (0, 1], got {self.tuning_share!r:.40}.")
        if self.half_width is not None and not self.half_width > 0:
            raise UsageError(f"`precision` must be above 0, got {self.half_width!r:.40}.")
        if not self.seeds <= self.most_seeds < _MOST_SEEDS:
            raise UsageError(
                f"`most_seeds` must be in {self.seeds}..{_MOST_SEEDS - 1}, got "
                f"{self.most_seeds!r:.40}."
            )


@dataclass(frozen=True)
class Contest:
    """Makes the jobs.

    Args:
        book: Where they are written.
        terms: Their terms.
    """

    book: Book
    terms: Terms

    def tuning(
        self, who: Contestant, workload: Workload, *, granted: bool, number: int = 0
    ) -> Job:
        """Return a tuning of a contestant on a task; another number has other draws and seeds."""
        terms = self.terms
        short = dataclasses.replace(
            workload, steps=max(1, round(terms.tuning_share * workload.steps))
        )
        space, first = who.tuned_space(granted=granted), who.start(granted=granted)
        digest = who.digest(workload, granted=granted)
        words = words_of(terms.seed, who.key, workload.name, number)
        start = TUNING_SEED + _SEEDS_OF_A_TUNING * number
        seeds = tuple(start + i for i in range(terms.tuning_seeds))

        def parameters(slot: int, done: Mapping[int, FrozenTrial]) -> dict[str, Any]:
            ends = [0, *stage_ends(slot + 1)]
            before = max(end for end in ends if end <= slot)
            known = [(t.params, _value(t)) for s, t in sorted(done.items()) if s < before]
            return propose(slot, known, space, first, words=words)

        return Job(
            study=self.book.study(
                "tune",
                workload.name,
                who.key,
                _word(granted),
                identity=[digest, _identity(short), terms.precision, list(seeds), terms.seed],
            ),
            space=space,
            parameters=parameters,
            config=lambda params: SeededConfig(
                workload.config(who.optimizer(params, short, granted=granted)), seeds
            ),
            objective=self._trainings(short, Course()),
            # of nothing to tune all trials are one
            ends=stage_ends(terms.budget if space else 1),
            batch=8,
        )

    def test(
        self, name: str, optimizers: Sequence[OptimizerConfig], workload: Workload, n_seeds: int
    ) -> Job:
        """Return test trainings of an optimizer, one for each seed.

        Args:
            name: Of the contestant.
            optimizers: What trains: of each tuning one; seed i has that of tuning i modulo them.
            workload: What on.
            n_seeds: How many.
        """
        course = Course(tests=True, points=min(self.terms.points, workload.steps))
        trainings = [workload.config(optimizer) for optimizer in optimizers]
        return Job(
            study=self.book.study(
                "test",
                workload.name,
                name,
                identity=[
                    [training.fingerprint() for training in trainings],
                    _identity(workload),
                    self.terms.precision,
                    course.points,
                ],
            ),
            space={"seed": IntDistribution(0, _MOST_SEEDS)},
            parameters=lambda slot, done: {"seed": slot},
            config=lambda params: SeededConfig(
                trainings[params["seed"] % len(trainings)], (TEST_SEED + params["seed"],)
            ),
            objective=self._trainings(workload, course),
            ends=[n_seeds],
            batch=1,
        )

    def other_rates(self, who: Contestant, params: Params, workload: Workload) -> Job:
        """Return trainings at multiples of the tuned learning rate, with schedules."""
        seeds = tuple(TUNING_SEED + i for i in range(self.terms.tuning_seeds))

        def config(slot: Params) -> SeededConfig:
            factor = LR_FACTORS[slot["factor"]]
            moved = {k: v * factor if k in _LR_PARAMS else v for k, v in params.items()}
            return SeededConfig(
                workload.config(who.optimizer(moved, workload, granted=True)), seeds
            )

        return Job(
            study=self.book.study(
                "rates",
                workload.name,
                who.key,
                identity=[
                    config({"factor": 0}).fingerprint(),
                    _identity(workload),
                    self.terms.precision,
                ],
            ),
            space={"factor": IntDistribution(0, len(LR_FACTORS) - 1)},
            parameters=lambda slot, done: {"factor": slot},
            config=config,
            objective=self._trainings(workload, Course()),
            ends=[len(LR_FACTORS)],
            batch=len(LR_FACTORS),
        )

    def choice(
        self, optimizers: Sequence[OptimizerConfig], workload: Workload, n_seeds: int
    ) -> Job:
        """Return trainings of the candidates for a winner: all of them with each seed."""
        k = len(optimizers)

        def config(params: Params) -> SeededConfig:
            training = workload.config(optimizers[params["candidate"]])
            return SeededConfig(training, (CHOOSING_SEED + params["seed"],))

        return Job(
            study=self.book.study(
                "choose",
                workload.name,
                identity=[
                    [optimizer.fingerprint() for optimizer in optimizers],
                    _identity(workload),
                    self.terms.precision,
                ],
            ),
            space={
                "candidate": IntDistribution(0, k - 1),
                "seed": IntDistribution(0, _MOST_SEEDS),
            },
            parameters=lambda slot, done: {"candidate": slot % k, "seed": slot // k},
            config=config,
            objective=self._trainings(workload, Course()),
            # stage by stage a seed: its trainings are one stack
            ends=[k * (i + 1) for i in range(n_seeds)],
            batch=k,
        )

    def _trainings(self, workload: Workload, course: Course) -> Trainings:
        terms = self.terms
        return Trainings(
            workload=workload,
            course=course,
            device=terms.device,
            precision=terms.precision,
            data_dir=terms.data_dir,
            trainer=terms.trainer,
        )


def tuned_params(job: Job) -> dict[str, Any]:
    """Return the best parameters of a tuning, the first of equals."""
    trials = job.trials
    return dict(trials[min(trials, key=lambda slot: (_value(trials[slot]), slot))].params)


def tuning_curve(job: Job, budget: int) -> dict[int, float]:
    """Return the best validation loss after 1, 4, 16, … trials and after the whole budget."""
    losses = [_value(trial) for _, trial in sorted(job.trials.items())]
    ends = [4**i for i in range(20) if 4**i < budget]
    return {n: min(losses[:n]) for n in [*ends, budget]}


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def graft(direction: OptimizerConfig, magnitude: OptimizerConfig) -> OptimizerConfig:
    """Return an optimizer with another one's step sizes; itself where the two are one."""
    # a contestant that is grafted already has step sizes of its own
    if direction == magnitude or isinstance(direction, GraftedOptimizer):
        return direction
    assert not isinstance(magnitude, GraftedOptimizer)
    return GraftedOptimizer(direction=direction, magnitude=magnitude)


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return float(trial.value)


def _word(granted: bool) -> str:
    return "schedules" if granted else "constant"


def _identity(workload: Workload) -> list[Any]:
    return [
        workload.name,
        workload.task.name,
        workload.steps,
        workload.batch_size,
        dict(workload.model),
    ]

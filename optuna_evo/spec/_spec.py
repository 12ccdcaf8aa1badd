"""A study as data: what is searched, by what, on what, for how long.

A spec is a TOML file (see `studies/`). Its resolved form, every default filled in, is stored in
the study, so any machine that reaches the database can go on with it.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any
from typing import Self

from optuna_evo.curves import EarlyStopping
from optuna_evo.curves import ReduceOnPlateau
from optuna_evo.errors import SpecError
from optuna_evo.spec._arguments import shown
from optuna_evo.spec._tables import is_storable
from optuna_evo.spec._tables import read_table
from optuna_evo.spec._tables import to_table


__all__ = [
    "FinalSpec",
    "JudgeSpec",
    "LineageSpec",
    "ObjectiveSpec",
    "Part",
    "StudySpec",
    "TrainerSpec",
]

# Trial numbers have 32 bits in Optuna's tables, and a name there has 512 characters.
_MOST_TRIALS, _LONGEST_NAME = 2**31 - 1, 512
# Each step keeps its loss and its seeds in memory; one has some 50 bytes.
_MOST_STEPS = 10_000_000
_MOST_EPOCHS, _MOST_REPORTS, _MOST_SEEDS = 100_000, 100_000, 10_000
_DIRECTIONS = ("maximize", "minimize")
_INHERITANCES = ("parent", "shared", "none")
_TRAINERS = ("auto", "sequential", "population")
_PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part by its name or "module:attribute", and the keyword arguments it is built with.

    In TOML the arguments stand beside the name: `sampler = { name = "ga", population_size = 20 }`.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_table(cls, data: Mapping[str, Any], where: str) -> Self:
        """Read a part as TOML has it, or as it is stored."""
        options = dict(data)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise SpecError(f'`{where}` needs a name, such as {where} = {{ name = "..." }}.')
        if names := [key for key in options if not isinstance(key, str)]:
            raise SpecError(f"Keys of `{where}` must be texts, got {shown(names[0])}.")
        if set(options) == {"options"} and isinstance(options["options"], Mapping):
            options = dict(options["options"])  # the stored form
        return cls(name=name, options=options)


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """How one training run is done.

    Args:
        steps: Optimizer steps of a run; for the objective "segment" those of a segment.
        epochs: Passes over the training rows, in place of `steps`; only for the objectives
            "accuracy" and "area".
        precision: "auto" (what is fastest where it runs), "float32" or "bfloat16"; for the
            objective "segment" also "float16".
        kind: How a batch of trials is trained: "sequential", "population" (those that differ in
            their genomes only all at once; for optimizers of torch and float16 there is no such
            thing) or "auto", whichever is measured to be faster.
        early_stopping: When a training ends before its last step; then the value of every trial
            is its best report, not its last. None: never. Only for the objective "accuracy".
        reduce_on_plateau: When the learning rate is reduced. None: never. Only for the objectives
            "accuracy" and "area".
    """

    steps: int = 500
    epochs: float | None = None
    precision: str = "auto"
    kind: str = "auto"
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None

    def __post_init__(self) -> None:
        _check_at_least("trainer.steps", self.steps, 1, _MOST_STEPS)
        if self.epochs is not None and not 0 < self.epochs <= _MOST_EPOCHS:
            raise SpecError(
                f"`trainer.epochs` must be greater than 0 and at most {_MOST_EPOCHS}, "
                f"got {self.epochs}."
            )
        _check_one_of("trainer.precision", self.precision, _PRECISIONS)
        _check_one_of("trainer.kind", self.kind, _TRAINERS)


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """How training runs become the values of trials.

    "fitness": a trial trains once for each task and seed; the value of such a cell is the
    validation accuracy + loss_weight * max(0, 1 - mean training loss of the last loss_window
    steps), and the trial's value is the mean over its cells. It reports once a cell, or, with
    `side_by_side`, the mean over cells as they stand.

    "accuracy": a trial trains once on the one task; it reports the validation metric along the
    way, and its value is the last one reported (with `trainer.early_stopping`, the best one).

    "area": as "accuracy", but the value is the mean of all reports.

    "segment": as "accuracy", but a trial is a segment of a longer training and goes on from
    another trial's weights, as `LineageSpec` says.

    "table": a trial fits an estimator of scikit-learn to the one table that `tasks` names; it
    reports the metric of each fold, and its value is the mean.

    "meta_loss": `tasks` names task families. A trial is an update rule, meta-trained by the trial
    or as it is; its value is the loss at the end of runs of `trainer.steps`, the geometric mean
    over held-out tasks.

    Your own is an object with the methods of `optuna_evo.search.Objective`, or a plain function of
    Optuna, `f(trial) -> float`, which suggests its parameters itself and may report and prune.

    Args:
        name: One of `optuna_evo.objectives.OBJECTIVES`, or your own, "module:attribute" or
            "FILE.py:attribute".
        seeds: Seeds for each task ("fitness").
        loss_weight: Weight of the training-loss bonus, >= 0 ("fitness").
        loss_window: Steps that the training loss is averaged over ("fitness").
        side_by_side: Whether all cells train at the same time and report `reports` times on the
            way, so that pruners need not wait for the end of a cell ("fitness").
        reports: Reports of a whole training ("accuracy", "area", "fitness" side by side) or of a
            segment ("segment"); folds ("table"); measurements of a meta-training, the first of
            its base ("meta_loss").
        metric: What is reported: "accuracy", "f1", "auc", "mse", … (`optuna_evo.metrics`). None:
            the task's own metric ("accuracy", "area"), "accuracy" or "mse" ("table").
        divergence_penalty: Value of a diverged trial, a finite number; tables, meta-trainings and
            own objectives have their own.
        budget: Training steps of all inner runs of a meta-training together ("meta_loss").
        held_out: Tasks of each family that rules are measured on ("meta_loss").
        cost_weight: How much the cost of a controller's step counts: values are the loss times
            (1 + cost)^cost_weight, >= 0 ("meta_loss").
        cost: What a trial costs: "seconds", its duration, or a user attribute of the trial, a
            positive number. The samplers "hybrid", "thompson" and "meta" then prefer what is cheap
            for what it promises, and reports draw the best value against it. None: every trial
            costs the same.
    """

    name: str = "fitness"
    seeds: int = 2
    loss_weight: float = 0.05
    loss_window: int = 50
    side_by_side: bool = False
    reports: int = 10
    metric: str | None = None
    divergence_penalty: float = -1.0
    budget: int = 20_000
    held_out: int = 32
    cost_weight: float = 0.0
    cost: str | None = None

    def __post_init__(self) -> None:
        if self.cost is not None and not self.cost.strip():
            raise SpecError(
                '`objective.cost` must be "seconds" or the name of a user attribute of trials, '
                f"got {shown(self.cost)}."
            )
        _check_at_least("objective.budget", self.budget, 1)
        _check_at_least("objective.held_out", self.held_out, 1, _MOST_SEEDS)
        _check_at_least("objective.cost_weight", self.cost_weight, 0)
        _check_at_least("objective.reports", self.reports, 1, _MOST_REPORTS)
        _check_at_least("objective.seeds", self.seeds, 1, _MOST_SEEDS)
        _check_at_least("objective.loss_weight", self.loss_weight, 0)
        _check_at_least("objective.loss_window", self.loss_window, 1)


@dataclass(frozen=True, kw_only=True)
class LineageSpec:
    """How the trials of a study with the objective "segment" go on from one another.

    Args:
        inherit: "parent": a member of the population goes on from its own last segment's weights
            or, where it exploits, from a better member's (with the sampler "recurrence").
            "shared": one model is trained by all in turn. "none": every trial starts afresh.
        checkpoints: Where checkpoints lie: a folder, or "s3://bucket/prefix". None: the option
            --checkpoints, `OPTUNA_EVO_CHECKPOINTS`, or a folder beside an SQLite database.
    """

    inherit: str = "parent"
    checkpoints: str | None = None

    def __post_init__(self) -> None:
        _check_one_of("lineage.inherit", self.inherit, _INHERITANCES)


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """The comparison with classic optimizers that ends a run.

    Args:
        seeds: Fresh seeds that every row is measured on, on the test split. 0: no comparison.
        tuning_trials: Trials that each baseline's learning rate and schedule are tuned over.
    """

    seeds: int = 5
    tuning_trials: int = 16

    def __post_init__(self) -> None:
        _check_at_least("judge.seeds", self.seeds, 0, _MOST_SEEDS)
        _check_at_least("judge.tuning_trials", self.tuning_trials, 1, _MOST_TRIALS)


@dataclass(frozen=True, kw_only=True)
class FinalSpec:
    """The training that ends a study with the objective "accuracy".

    The best configuration is trained once on all rows but the test's and measured once on those.

    Args:
        epochs: Passes over the rows. 0: no final training.
        cosine: Whether the learning rate decays along a cosine.
    """

    epochs: float = 0.0
    cosine: bool = True

    def __post_init__(self) -> None:
        _check_at_least("final.epochs", self.epochs, 0, _MOST_EPOCHS)


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """A whole study.

    What a spec sets is done, or refused when the study is made: each kind of objective names the
    keys of `trainer`, `objective`, `lineage`, `judge` and `final` that it takes.

    Args:
        name: The study's name in the database.
        tasks: Names of tasks, or own ones as "module:attribute"; of a table or its file ("table");
            none where an own objective needs none.
        n_trials: Trials that the study ends after (finished ones: complete or pruned).
        seed: Seed of the sampler and of all training runs.
        direction: "maximize" or "minimize".
        batch_size: Trials that are asked and trained together.
        task: Options that the tasks are made with, such as the size of a language model; of a
            table's file `target`, `kind`, `drop` and `keep` (see `load_table`).
        space: Function from a trial to a `TrainingConfig`; a plain function of Optuna as the
            objective is its own. A parameter that is `false` is not searched, as in
            `space.dropout = false`; one that no model takes is switched off so.
        sampler: Sampler; `seed` is passed on to it.
        pruner: Pruner.
        trainer: See `TrainerSpec`.
        objective: See `ObjectiveSpec`.
        lineage: See `LineageSpec`.
        judge: See `JudgeSpec`.
        final: See `FinalSpec`.
        warm_start: Studies to start from: "NAME" in the same database, "URL#NAME" in another,
            "auto" or "URL#auto" for all finished ones of the same space.
        priors: Beliefs that fade as results come in, by parameter, such as
            `{"lr": {"center": 3e-4, "spread": 3}}`: see `MetaPriorSampler`.
    """

    name: str
    tasks: tuple[str, ...] = ()
    n_trials: int = 100
    seed: int = 0
    direction: str = "maximize"
    batch_size: int = 1
    task: Mapping[str, Any] = field(default_factory=dict)
    space: Part = Part(name="genome")
    sampler: Part = Part(name="ga")
    pruner: Part = Part(name="none")
    trainer: TrainerSpec = field(default_factory=TrainerSpec)
    objective: ObjectiveSpec = field(default_factory=ObjectiveSpec)
    lineage: LineageSpec = field(default_factory=LineageSpec)
    judge: JudgeSpec = field(default_factory=JudgeSpec)
    final: FinalSpec = field(default_factory=FinalSpec)
    warm_start: tuple[str, ...] = ()
    priors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SpecError("`name` must not be empty.")
        if len(self.name) > _LONGEST_NAME or not is_storable(self.name):
            raise SpecError(
                f"`name` must have at most {_LONGEST_NAME} characters that UTF-8 can hold, no "
                f"zero bytes among them; got {shown(self.name)} of {len(self.name)}."
            )
        _check_at_least("n_trials", self.n_trials, 1, _MOST_TRIALS)
        _check_at_least("seed", self.seed, 0)
        _check_at_least("batch_size", self.batch_size, 1, _MOST_TRIALS)
        _check_one_of("direction", self.direction, _DIRECTIONS)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a spec from nested plain types.

        Raises:
            SpecError: On an unknown key, a wrong type or a value out of range.
        """
        try:
            return read_table(cls, data)
        except RecursionError as error:
            raise SpecError("The spec is nested too deeply.") from error

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain JSON types, every default filled in."""
        return dict(to_table(self))


def _check_at_least(name: str, value: float, minimum: float, maximum: float = math.inf) -> None:
    if not value >= minimum:
        raise SpecError(f"`{name}` must be at least {minimum}, got {value}.")
    if value > maximum:
        raise SpecError(f"`{name}` must be at most {maximum:,}, got {value}.")


def _check_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise SpecError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}.")

"""Genomes as a define-by-run Optuna space, and the way back from a genome to parameters."""

import inspect
from typing import Any
from typing import Literal
from typing import TYPE_CHECKING

from optuna_evo.config import TrainingConfig
from optuna_evo.rules import FoldSettings
from optuna_evo.rules import Genome
from optuna_evo.rules import MATRIX_TERMS
from optuna_evo.rules import read_by
from optuna_evo.rules import Term
from optuna_evo.rules import TermType
from optuna_evo.spaces._ranges import Range
from optuna_evo.spaces._ranges import suggest_decay
from optuna_evo.spaces._ranges import WholeRange


if TYPE_CHECKING:
    import optuna

__all__ = ["genome_params", "genome_space", "suggest_genome"]

_NO_WEIGHT_DECAY = 1e-6
# Those of the published seed format. More would make another distribution of `term_i`: studies in
# databases, whose specs rely on the default, could not go on.
_DEFAULT_TERMS = (
    "GRAD",
    "MOMENTUM",
    "RMS_NORM",
    "ADAM_TERM",
    "SIGN_GRAD",
    "SQRT_GRAD",
    "NESTEROV",
)
_TERMS = {
    "published": _DEFAULT_TERMS,
    "elementwise": tuple(term.name for term in TermType if term not in MATRIX_TERMS),
    "all": tuple(term.name for term in TermType),
}
_DECAYS = ("constant", "linear", "cosine", "wsd")
# While the space asks, averages are on and no decay is 0: what is read does not depend on values.
_ALL_ON = FoldSettings(use_m=True, use_v=True, beta1=0.5, beta2=0.25, nesterov_share=0.5)


def suggest_genome(
    trial: "optuna.trial.BaseTrial",
    *,
    max_terms: int = 4,
    terms: Literal["published", "elementwise", "all"] = "published",
    term_types: tuple[str, ...] = _DEFAULT_TERMS,
    alpha: Range = (-5.0, 5.0),
    lr: Range = (1e-5, 1e-1),
    beta1: Range = (0.0, 0.999),
    beta2: Range = (0.0, 0.9999),
    eps: Range = (1e-10, 1e-4),
    weight_decay: Range = (1e-6, 1e-2),
    clip_value: Range = (0.5, 2.0),
    warmup_steps: WholeRange = (50, 200),
    warmup_share: Range = (0.0, 0.3),
    norm_bound: Range = (0.1, 100.0),
    tail_average: Range = (0.05, 0.5),
    horizon: int | None = None,
) -> Genome:
    """Suggest a genome; only what its terms and flags read is asked for.

    Parameters of the trial: `n_terms`, `term_i`, `alpha_i`, `lr`, `weight_decay`; the flags
    `use_m`, `use_v`, `use_bias_correction`, `use_gradient_clipping`, `use_warmup`,
    `use_cosine_decay`; and where something reads them `beta1`, `beta2`, `eps`, `clip_value`,
    `warmup_steps`. `lr`, `eps` and `weight_decay` are drawn on a logarithmic scale, a weight decay
    that begins at 0 on a linear one.

    With `terms` other than "published" these take the place of the schedule's: `warmup_share`,
    `decay`; and there are the modifiers `use_cautious`, `use_rms_norm`, `use_norm_bound` with
    `norm_bound`, and `use_tail_average` with `tail_average`.

    A range that is `False` (in TOML `false`), None or empty is not searched: the weights of terms
    are 1, the scalars are those of `Genome`, and without `clip_value` or `warmup_steps` there is
    no clipping or no warm-up.

    Args:
        trial: An Optuna trial (a `FixedTrial` or `FrozenTrial` rebuilds its genome).
        max_terms: The largest number of terms, >= 1.
        terms:
            "published": the space of the published format. "elementwise": all elementwise terms,
            modifiers of whole updates, and more schedules. "all": ORTHOGONAL and SOAP as well,
            which move hidden matrices alone.
        term_types:
            Names of the `TermType`s to choose from. The default is the seven of the published
            format and stays so, because the choices of a stored study cannot change; with `terms`
            other than "published" it is all of these.
        alpha: Range of the term weights.
        lr: Range of the learning rate.
        beta1: Range of the decay of m.
        beta2: Range of the decay of v.
        eps: Range of eps.
        weight_decay: Range of the decoupled weight decay.
        clip_value: Range of the bound on gradient elements.
        warmup_steps: Range of the warm-up length, in steps.
        warmup_share: Range of the warm-up length, as a share of the run.
        norm_bound: Range of the bound on updates, in sizes of the weights.
        tail_average: Range of the share of the run over which weights are averaged.
        horizon: Steps of the runs that the genome is valued by; recorded in it.

    Raises:
        ValueError: If `max_terms` is smaller than 1, or a name is not a term type or none of
            `terms`.

    Example:
        >>> import optuna
        >>> study = optuna.create_study()
        >>> genome = suggest_genome(study.ask(), max_terms=2)
    """
    if max_terms < 1:
        raise ValueError(f"`max_terms` must be at least 1, got {max_terms}.")
    if unknown := [name for name in term_types if name not in TermType.__members__]:
        raise ValueError(f"Unknown term types {unknown}; allowed: {list(TermType.__members__)}.")
    if terms not in _TERMS:
        raise ValueError(f"`terms` must be one of {list(_TERMS)}, got {terms!r}.")
    if terms != "published" and tuple(term_types) == _DEFAULT_TERMS:
        term_types = _TERMS[terms]
    summands = []
    for i in range(trial.suggest_int("n_terms", 1, max_terms)):
        kind = TermType[trial.suggest_categorical(f"term_{i}", term_types)]
        summands.append(Term(kind, trial.suggest_float(f"alpha_{i}", *alpha) if alpha else 1.0))
    kinds = {term.type for term in summands}
    values: dict[str, Any] = {}
    if lr:
        values["lr"] = trial.suggest_float("lr", *lr, log=True)
    if weight_decay:
        values["weight_decay"] = suggest_decay(trial, *weight_decay)

    def flag(name: str, asked: bool = True) -> bool:
        values[name] = asked and trial.suggest_categorical(name, (False, True))
        return bool(values[name])

    read = read_by(kinds, _ALL_ON)
    use_m = flag("use_m", read.beta1)
    read = read_by(kinds, _ALL_ON._replace(use_m=use_m))
    if read.beta1 and beta1:
        values["beta1"] = trial.suggest_float("beta1", *beta1)
    use_v = flag("use_v", "v" in read.needs)
    read = read_by(kinds, _ALL_ON._replace(use_m=use_m, use_v=use_v))
    if read.beta2 and beta2:
        values["beta2"] = trial.suggest_float("beta2", *beta2)
    if read.eps and eps:
        values["eps"] = trial.suggest_float("eps", *eps, log=True)
    flag("use_bias_correction", read.correction)
    if clip_value and flag("use_gradient_clipping", read.clipping):
        values["clip_value"] = trial.suggest_float("clip_value", *clip_value)
    if terms == "published":
        if warmup_steps and flag("use_warmup"):
            values["warmup_steps"] = trial.suggest_int("warmup_steps", *warmup_steps)
        flag("use_cosine_decay")
        return Genome(terms=summands, horizon=horizon, **values)
    if warmup_share:
        values["warmup_share"] = trial.suggest_float("warmup_share", *warmup_share)
    values["decay"] = trial.suggest_categorical("decay", _DECAYS)
    flag("use_cautious")
    flag("use_rms_norm")
    if norm_bound and trial.suggest_categorical("use_norm_bound", (False, True)):
        values["norm_bound"] = trial.suggest_float("norm_bound", *norm_bound, log=True)
    if tail_average and trial.suggest_categorical("use_tail_average", (False, True)):
        values["tail_average"] = trial.suggest_float("tail_average", *tail_average)
    return Genome(terms=summands, horizon=horizon, **values)


def genome_params(genome: Genome) -> dict[str, Any]:
    """Return the parameters with which `suggest_genome` gives the same update.

    Use it to start a search from a known rule: `study.enqueue_trial(genome_params(genome))`.
    Values outside the space's ranges are kept; Optuna warns about them and uses them. Only weight
    decay 0, which a logarithmic scale does not have, becomes the smallest of the usual range,
    1e-6. A NESTEROV term with a weight of its own is written as its shares of MOMENTUM and GRAD.
    The horizon is no parameter: give it to `suggest_genome`. What spaces with other `terms` ask
    for is among them; a warm-up in steps is a share of the horizon there, or 0 without one.
    """
    terms = _without_own_nesterov(genome)
    params: dict[str, Any] = {"n_terms": len(terms)}
    for i, (kind, weight) in enumerate(terms):
        params |= {f"term_{i}": kind.name, f"alpha_{i}": weight}
    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "clip_value", "warmup_steps")
    flags = ("use_m", "use_v", "use_bias_correction", "use_gradient_clipping", "use_warmup")
    params |= {name: getattr(genome, name) for name in (*scalars, *flags, "use_cosine_decay")}
    if genome.decay == "cosine":
        params["use_cosine_decay"] = True
    params |= _later_params(genome)
    return params | {"weight_decay": genome.weight_decay or _NO_WEIGHT_DECAY}


def _later_params(genome: Genome) -> dict[str, Any]:
    """Return what spaces with other terms than the published ones ask for."""
    share = genome.warmup_share
    if genome.use_warmup and genome.horizon:
        share = min(1.0, genome.warmup_steps / genome.horizon)
    return {
        "warmup_share": share,
        "decay": genome.decay or ("cosine" if genome.use_cosine_decay else "constant"),
        "use_cautious": genome.use_cautious,
        "use_rms_norm": genome.use_rms_norm,
        "use_norm_bound": genome.norm_bound is not None,
        "use_tail_average": genome.tail_average > 0,
        **({} if genome.norm_bound is None else {"norm_bound": genome.norm_bound}),
        **({"tail_average": genome.tail_average} if genome.tail_average else {}),
    }


def genome_space(
    trial: "optuna.trial.BaseTrial", *, horizon: int | None = None, **options: Any
) -> TrainingConfig:
    """Suggest a genome and train with it, all else being the task's own.

    Args:
        trial: An Optuna trial.
        horizon: Steps of one training run.
        options: Further options of `suggest_genome`.
    """
    return TrainingConfig(genome=suggest_genome(trial, horizon=horizon, **options))


# What it takes is what `suggest_genome` takes: a study checks a spec's options by this.
genome_space.__signature__ = inspect.signature(suggest_genome)  # type: ignore[attr-defined]


def _without_own_nesterov(genome: Genome) -> list[Term]:
    """Return the terms, those that the space cannot say written out."""
    share, terms = genome.nesterov_beta, []
    for term in genome.terms:
        if term.type is TermType.NESTEROV and share is not None and share != genome.beta1:
            terms.append(Term(TermType.MOMENTUM, term.alpha * share))
            terms.append(Term(TermType.GRAD, term.alpha * (1 - share)))
        else:
            terms.append(term)
    return terms

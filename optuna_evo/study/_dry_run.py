"""A few trials of a toy problem in memory: what only a run would show of a sampler or pruner.

Optuna's own check some of their options when they first use them.
"""

import warnings

import optuna

from optuna_evo.errors import SpecError
from optuna_evo.spec import StudySpec


__all__ = ["check_by_trying"]

# Beyond the startup trials of Optuna's samplers (10). The Gaussian process is left out: its first
# fit takes a second, and it has no option that a fit reads.
_N_TRIALS, _N_REPORTS = 12, 3
_SLOW = (optuna.samplers.GPSampler,)


def check_by_trying(
    sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner, spec: StudySpec
) -> None:
    """Raise if a sampler or pruner of Optuna cannot propose or judge any trials.

    Args:
        sampler: The sampler; another object than the one that a study gets.
        pruner: The pruner.
        spec: Names them.

    Raises:
        SpecError: With the reason.
    """
    names_parameters = "x0" in spec.sampler.options  # of the study's space, not of this one
    if not _is_optunas(sampler) or isinstance(sampler, _SLOW) or names_parameters:
        sampler = optuna.samplers.RandomSampler(seed=0)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(
                direction="minimize" if spec.direction == "minimize" else "maximize",
                sampler=sampler,
                pruner=pruner if _is_optunas(pruner) else None,
            )
            _run(study, spec)
    finally:
        optuna.logging.set_verbosity(before)


def _run(study: optuna.Study, spec: StudySpec) -> None:
    for _ in range(_N_TRIALS):
        try:
            trial = study.ask()
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        except Exception as error:
            raise _unfit("sampler", spec.sampler.name, error) from error
        try:
            for report in range(1, _N_REPORTS + 1):
                trial.report(x + y / report, report)
                trial.should_prune()
        except Exception as error:
            raise _unfit("pruner", spec.pruner.name, error) from error
        study.tell(trial, x + y)


def _unfit(kind: str, name: str, error: Exception) -> SpecError:
    reason = (str(error).strip() or "no reason given").splitlines()[0]
    return SpecError(
        f"The {kind} {name!r} does not work with these options: {type(error).__name__}: {reason}"
    )


def _is_optunas(part: object) -> bool:
    is_replayed = isinstance(part, optuna.samplers.CmaEsSampler)  # ours, of the same options
    return is_replayed or type(part).__module__.startswith("optuna.")

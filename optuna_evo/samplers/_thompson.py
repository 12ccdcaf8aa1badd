"""Thompson sampling over a study's own space (Thompson 1933; workers: Kandasamy et al. 2018)."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._candidates import make_candidates
from optuna_evo.samplers._cost import checked_cost
from optuna_evo.samplers._design import Start
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._first import read_first
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._history import read_space
from optuna_evo.samplers._improve import most_promising
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._plateau import keeps_off
from optuna_evo.samplers._streams import entropy
from optuna_evo.samplers._streams import place
from optuna_evo.samplers._streams import stream
from optuna_evo.samplers._threads import one_blas_thread
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import SpaceEncoding


# Trials before the first draw. What a few results leave open is nearly everything, so a draw from
# it is hardly better than chance; what is expected to improve is.
N_EARLY = 10


class ThompsonSampler(BaseSampler):
    """Propose the maximiser of one draw from a posterior over the objective.

    The posterior is a Gaussian process over all parameters that trials have had: numbers on their
    (log) scale, categories as exchangeable arms that share what is known of each other,
    conditional parameters only where they apply. Each ask draws one function from it and takes the
    best of a few hundred candidates, so workers that ask together try different things by
    themselves. Every second draw's candidates are all near the best trials, unless constraints
    bind. In the first ten trials a draw would be hardly better than chance: there, expected
    improvement is climbed from the best candidates.

    All state is in the study: with the same seed a trial is a function of the trials before it, in
    any process. Up to `n_startup_trials` complete trials, and for parameters that no trial has had
    yet, a design covers the space: each choice of a category equally often, numbers evenly over
    their ranges, in each branch. Complete trials count with their values (infinite ones as just
    beyond the worst or best finite one), pruned trials with their last value but never as better
    than the median. Failed trials (also those of value NaN) count as mediocre and running ones as
    what is expected of them; neither is proposed again while there are others. An ask is bounded:
    beyond 256 observations the best, the latest and an even choice of the others are used.

    Constraints (`trial.set_constraint`) are learned by processes of their own once one is
    violated: a draw's best candidate is then the best of those whose drawn constraints are met
    (Eriksson and Poloczek 2021).

    Args:
        n_startup_trials:
            Number of complete trials before the posterior is asked, at least 1.
        n_candidates:
            About how many candidates a draw is maximised over, at least 10. Spaces of up to 600
            configurations are always searched whole.
        cost:
            What a trial costs: a user attribute with a positive number, or "seconds", its
            duration. Then a draw's best candidate is the one of the largest gain by the root of
            its predicted cost. None: all trials cost the same.
        first:
            Configurations of the first trials, such as the defaults of a library:
            `[{"lr": 1e-3}]`. Parameters that one does not name are those of the design.
        seed:
            Seed of all draws; None takes a new one.

    Raises:
        ValueError: If an argument is out of range, or the study has several objectives.
        UsageError: If a value of `first` is not in the range of its parameter.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=ThompsonSampler(seed=1))
        >>> study.optimize(lambda t: (t.suggest_float("x", -1, 1) - 0.3) ** 2, n_trials=25)
        >>> study.best_value < 0.01
        True
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 5,
        n_candidates: int = 675,
        cost: str | None = None,
        first: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
    ) -> None:
        check_startup(n_startup_trials)
        if n_candidates < 10:
            raise ValueError(f"`n_candidates` must be at least 10, but got {n_candidates=}.")
        self._n_startup_trials = n_startup_trials
        self._counts = Counts.of(n_candidates)
        self._cost = checked_cost(cost)
        self._seed = entropy(seed)
        self._start = Start(self._seed, read_first(first))
        self._memory = LastResult[Kernel]()
        self._constraints: KernelMemory = {}

    def reseed_rng(self) -> None:
        """Do nothing: each trial has its own stream, whoever asks for it."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every parameter that a finished trial has had."""
        self._raise_error_if_multi_objective(study)
        return read_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the maximiser of a posterior draw; nothing during the startup."""
        self._raise_error_if_multi_objective(study)
        history = read_history(study, trial, self._cost).within(search_space)
        if not search_space or history.n_complete < self._n_startup_trials:
            return {}
        if self._start.first and place(study, trial) < len(self._start.first):
            return {}
        rng = stream(self._seed, study, trial, "thompson")
        with one_blas_thread():
            return propose(history, self._counts, self._memory, self._constraints, rng)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of the start: a function of the seed and the trial alone."""
        self._raise_error_if_multi_objective(study)
        slot = place(study, trial)
        return self._start.value(study.study_name, slot, trial, param_name, param_distribution)


def check_startup(n_startup_trials: int) -> None:
    """Raise ValueError unless a posterior has something to learn from."""
    if n_startup_trials < 1:
        raise ValueError(
            f"`n_startup_trials` must be at least 1, but got {n_startup_trials=}. "
            "The posterior needs something to learn from."
        )


def propose(
    history: History,
    counts: Counts,
    memory: LastResult[Kernel],
    constraints: KernelMemory,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return the parameters at which one posterior draw is best; early, improvement is."""
    belief = believe(history, memory, constraints)
    if history.n_earlier % 2 and belief.feasibility is None:
        # Far away the posterior is wide, and of many candidates there a draw's best is one, the
        # more so the more parameters there are: every second draw stays near what did well. Where
        # constraints bind, that is at their edge.
        counts = counts.near
    drafted = make_candidates(belief.encoding, belief.ranked, counts, rng)
    if history.n_earlier < N_EARLY:
        elsewhere = keeps_off(history.n_earlier)
        return belief.values(most_promising(belief, drafted, None, rng, elsewhere=elsewhere))
    return belief.values(belief.best_of_draw(drafted[belief.fresh(drafted)], rng))


def draw_uniform(name: str, distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Return a uniform draw for one parameter."""
    encoding = SpaceEncoding({name: distribution})
    return encoding.values(encoding.uniform(1, rng)[0])[name]

"""Start a study from what old studies found, or from what a user believes."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.attributes import SOURCE_WEIGHTS
from optuna_evo.samplers._belief import believe
from optuna_evo.samplers._candidates import Counts
from optuna_evo.samplers._cost import checked_cost
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._history import History
from optuna_evo.samplers._history import read_history
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._meta._belief import believe_informed
from optuna_evo.samplers._meta._belief import expected_weights
from optuna_evo.samplers._meta._belief import InformedBelief
from optuna_evo.samplers._meta._belief import Knowledge
from optuna_evo.samplers._meta._belief import understand
from optuna_evo.samplers._meta._branches import Branches
from optuna_evo.samplers._meta._choice import choose
from optuna_evo.samplers._meta._portfolio import next_of_portfolio
from optuna_evo.samplers._meta._portfolio import portfolio_length
from optuna_evo.samplers._meta._source import check_usable
from optuna_evo.samplers._meta._source import read_meta_features
from optuna_evo.samplers._meta._source import read_source
from optuna_evo.samplers._meta._source import Source
from optuna_evo.samplers._meta._source import with_own_names
from optuna_evo.samplers._meta._turns import control
from optuna_evo.samplers._meta._turns import is_level
from optuna_evo.samplers._meta._turns import is_stuck
from optuna_evo.samplers._meta._turns import n_open_before
from optuna_evo.samplers._meta._turns import n_without_sources
from optuna_evo.samplers._meta._user_prior import draw_prior
from optuna_evo.samplers._meta._user_prior import read_priors
from optuna_evo.samplers._streams import entropy
from optuna_evo.samplers._streams import stream
from optuna_evo.samplers._threads import one_blas_thread
from optuna_evo.surrogates import InformedKernel
from optuna_evo.surrogates import Kernel
from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]
Params = dict[str, Any]

WEIGHTS_AFTER = frozenset({5, 10, 20, 40, 80, 160, 320})  # trials: the attribute is written then
CONTROL_AFTER = 4  # trials; sources have no say in the next one, unless one was without them
CONTROL_BEFORE = 10  # trials, it is what the first turn without sources tries
STARTUP = 8  # random trials of a study without sources
OWN_TRIALS = 40.0  # evidence at which the prior and the search without sources have equal turns
PRIOR_TRIALS = 10.0  # the same beside another sampler as the base
COUNTS = Counts(everywhere=250, local=250, crossed=60)


@dataclass(frozen=True)
class Plan:
    """What a trial is to try, and which part of the sampler says so."""

    proposed_by: str
    params: Params
    from_base: bool = False


class MetaPriorSampler(BaseSampler):
    """Start from old studies and beliefs; let both fade as evidence comes in.

    Sources are finished studies of other tasks: of the same space or of another one. Parameters
    are matched by name and placed on the scale and range that the new study has, categories by
    value; parameters that no source has are drawn and learned as in a study without sources. A
    source of the other direction is turned around.

    * The **portfolio**, the first trials: a greedy, complementary set of configurations that did
      well in the sources. Two, where models of the sources predict their results well, else one
      of each source, up to ten.
    * The **prior**: a Gaussian process whose mean and covariance hold what the sources predict
      and whose lengths are learned from them. The results so far decide how far it believes the
      sources, and which: unrelated ones get weight 0, and evidence takes over.
    * A **control**, the fifth trial or the first turn without sources: between the middle of all
      ranges and the best so far, nearer to the middle. Where sources mislead it is better than
      what they propose, and takes their weight away.
    * The **base** goes on with all of it. With None it is the same process without sources, which
      has a turn whenever three trials in a row were no better. Another sampler proposes a share of
      the trials that grows with evidence.

    Constraints are learned as by `ThompsonSampler`; a source's best are its feasible ones.

    Which of them proposed a trial is its user attribute `optuna_evo.attributes.PROPOSED_BY`:
    "portfolio", "prior", "base", or "random" where there is nothing to go by. All state is in the
    study, as far as the base keeps none: with the same seed a trial is a function of the sources
    and the trials before.

    Args:
        sources:
            Studies to learn from, or what `read_source` made of them. They are read once, now. The
            user attribute `optuna_evo.attributes.META_FEATURES` of a study (or "meta_features"),
            a mapping of numbers, is taken to describe its task: sources of similar tasks are
            believed more before there are results.
        base:
            Sampler that goes on: `TPESampler`, `GPSampler`, `GASampler`, or any other.
        priors:
            Beliefs by parameter name: `{"lr": {"center": 3e-4, "spread": 3}}`. For a logarithmic
            parameter `spread` is the factor within which the value is expected to lie, else a
            standard deviation in its units. For categories `{"center": "adam"}`, or relative
            weights: `{"weights": {"adam": 3, "sgd": 1}}`.
        cost: What a trial costs, see `HybridSampler`; another base has its own.
        seed:
            Seed of all draws; None takes a new one. The base has its own.

    Raises:
        UsageError: If a source has several objectives, none of them has a usable trial, or a
            belief is wrong; one that does not fit its parameter is refused when that is suggested.
        ValueError: If the study has several objectives.

    Example:
        >>> import optuna
        >>> from optuna_evo.attributes import PROPOSED_BY
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> old = optuna.create_study(study_name="old", sampler=optuna.samplers.TPESampler(seed=0))
        >>> old.optimize(lambda t: (t.suggest_float("x", -1, 1) - 0.3) ** 2, n_trials=30)
        >>> study = optuna.create_study(sampler=MetaPriorSampler([old], seed=1))
        >>> study.optimize(lambda t: (t.suggest_float("x", -1, 1) - 0.25) ** 2, n_trials=5)
        >>> study.best_value < 0.01, PROPOSED_BY.read(study.trials[0].user_attrs)
        (True, 'portfolio')
    """

    def __init__(
        self,
        sources: Iterable[Study | Source] = (),
        *,
        base: BaseSampler | None = None,
        priors: Mapping[str, Mapping[str, Any]] | None = None,
        cost: str | None = None,
        seed: int | None = None,
    ) -> None:
        read = [s if isinstance(s, Source) else read_source(s) for s in sources]
        check_usable(read)
        self._sources = with_own_names(read)
        self._base = base
        self._priors = read_priors(priors)
        self._cost = checked_cost(cost)
        self._seed = entropy(seed)
        self._known: tuple[tuple[object, ...], Knowledge | None] | None = None
        self._branches = Branches()
        self._kernels = LastResult[Kernel]()
        self._constraints: KernelMemory = {}
        self._informed = LastResult[InformedKernel]()
        self._plans: dict[int, Plan] = {}

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the sampler learns from."""
        return self._sources

    def add_source(self, source: Study | Source) -> None:
        """Learn from one more study from the next trial on.

        One of the same name is replaced, so a source that has gone on can be read again.
        """
        new = source if isinstance(source, Source) else read_source(source)
        self._sources = (*(s for s in self._sources if s.name != new.name), new)

    def source_weights(self, study: Study) -> dict[str, float]:
        """Return how far each source is believed after the results so far, in [0, 1] by name.

        0 is not at all; one source that predicts the study perfectly has 1.
        """
        history = read_history(study)
        weights = {source.name: 0.0 for source in self._sources}
        knowledge = self._understand(study, history)
        if knowledge is None:
            return weights
        if len(history.observations) < 2:
            shares = knowledge.shares
            return weights | dict(zip(knowledge.names, shares.round(3).tolist(), strict=True))
        with one_blas_thread():
            belief = believe_informed(history, knowledge, LastResult())
            return weights | expected_weights(belief)

    def reseed_rng(self) -> None:
        """Reseed the base; the sampler's own streams belong to the trials."""
        if self._base is not None:
            self._base.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the base prepare: a genetic one gives every trial a slot of its population."""
        self._raise_error_if_multi_objective(study)
        if self._base is not None:
            self._base.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Drop the plan, record the weights of the sources now and then; the base's own part."""
        self._plans.pop(trial._trial_id, None)
        if self._sources and trial.number + 1 in WEIGHTS_AFTER:
            weights = self.source_weights(study)
            study._storage.set_study_user_attr(study._study_id, SOURCE_WEIGHTS.key, weights)
        if self._base is not None:
            self._base.after_trial(study, trial, state, values)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that finished trials have had, or what the base says."""
        self._raise_error_if_multi_objective(study)
        if self._base is not None and self._plan(study, trial).from_base:
            return self._base.infer_relative_search_space(study, trial)
        return dict(read_history(study, trial).space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the trial is to try, and record which part proposed it."""
        self._raise_error_if_multi_objective(study)
        plan = self._plan(study, trial)
        study._storage.set_trial_user_attr(trial._trial_id, PROPOSED_BY.key, plan.proposed_by)
        if self._base is not None and plan.from_base:
            return self._base.sample_relative(study, trial, search_space)
        return {name: value for name, value in plan.params.items() if name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the planned value moved into the range, or a draw from the belief."""
        self._raise_error_if_multi_objective(study)
        for prior in self._priors:
            if prior.name == param_name:
                prior.check(param_distribution)
        plan = self._plan(study, trial)
        encoding = SpaceEncoding({param_name: param_distribution})
        if param_name in plan.params:
            units = encoding.units([plan.params])
            if not np.isnan(units).any():
                row = encoding.snap(units)[0]
                return encoding.recall(row, units, [plan.params])[param_name]
        if self._base is not None and plan.from_base:
            return self._base.sample_independent(study, trial, param_name, param_distribution)
        rng = stream(self._seed, study, trial, f"independent/{param_name}")
        return encoding.values(draw_prior(self._priors, encoding, 1, rng)[0])[param_name]

    def _plan(self, study: Study, trial: FrozenTrial) -> Plan:
        """Return what the trial is to try; it is made once, or again if this object is new."""
        plan = self._plans.get(trial._trial_id)
        if plan is None:
            with one_blas_thread():
                plan = self._plans[trial._trial_id] = self._make_plan(study, trial)
        return plan

    def _make_plan(self, study: Study, trial: FrozenTrial) -> Plan:
        history = read_history(study, trial, self._cost)
        rng = stream(self._seed, study, trial, "meta")
        knowledge = self._understand(study, history)
        n_tried = len(history.observations) + len(history.running)
        n_open = n_open_before(study, trial)
        begun, level = n_tried + n_open, is_level(history)
        instead = None
        if knowledge is not None and begun < CONTROL_BEFORE and not (n_open or self._priors):
            if n_without_sources(study, trial) == 0:
                instead = control(self._seed, study, history, knowledge.encoding)
        if instead is not None and begun == CONTROL_AFTER:
            return Plan("base", instead)
        if knowledge is not None and begun < portfolio_length(knowledge) and not level:
            units = self._next_of_portfolio(knowledge, history, n_open)
            drawn = draw_prior(self._priors, knowledge.encoding, 1, rng)[0]
            units = np.where(np.isnan(units), drawn, units)
            return Plan("portfolio", knowledge.values(units))
        if self._base is not None and not self._prior_has_turn(knowledge, n_tried, rng):
            return Plan("base", {}, from_base=True)
        needed = STARTUP if knowledge is None else 2
        if len(history.observations) < needed or not history.space:
            encoding = SpaceEncoding(history.space)
            drawn = draw_prior(self._priors, encoding, 1, rng)[0]
            return Plan("prior" if self._priors else "random", encoding.values(drawn))
        fades = rng.random() < n_tried / (n_tried + OWN_TRIALS) or level or is_stuck(history)
        if fades and instead is not None:
            return Plan("base", instead)
        if knowledge is None or fades:
            belief = believe(history, self._kernels, self._constraints)
        else:
            belief = believe_informed(history, knowledge, self._informed, self._constraints)
        units = choose(belief, COUNTS, self._priors, n_tried, rng)
        informed = isinstance(belief, InformedBelief) or bool(self._priors)
        return Plan("prior" if informed else "base", belief.values(units))

    def _next_of_portfolio(self, knowledge: Knowledge, history: History, n_open: int) -> Array:
        """Return the next configuration that no earlier trial has or is about to get."""
        encoding = knowledge.encoding
        known = encoding.units(
            [*(o.params for o in history.observations), *history.running, *history.failed]
        )
        units = next_of_portfolio(knowledge, known)
        for _ in range(n_open):
            known = np.concatenate([known, units[None]])
            units = next_of_portfolio(knowledge, known)
        return units

    def _prior_has_turn(
        self, knowledge: Knowledge | None, n_tried: int, rng: np.random.Generator
    ) -> bool:
        """Draw whether the prior proposes beside a base: less often as evidence grows."""
        if knowledge is None and not self._priors:
            return False
        return bool(rng.random() < PRIOR_TRIALS / (PRIOR_TRIALS + n_tried))

    def _understand(self, study: Study, history: History) -> Knowledge | None:
        """Return the sources in the study's space, fitted once for each space."""
        foreseen = self._branches.foresee(self._sources, history) if self._sources else None
        if foreseen is None:
            return None
        encoding, rules = foreseen
        meta_features: Mapping[str, float] = {}
        if any(source.meta_features for source in self._sources):
            attrs = study._storage.get_study_user_attrs(study._study_id)
            meta_features = read_meta_features(attrs)
        prints = tuple(source.fingerprint for source in self._sources)
        space = [(axis.name, axis.distribution) for axis in encoding.axes]
        key = (prints, repr(space), encoding.optional, rules, repr(meta_features))
        if self._known is None or self._known[0] != key:
            with one_blas_thread():
                known = understand(self._sources, encoding, rules, meta_features)
            self._known = key, known
        return self._known[1]

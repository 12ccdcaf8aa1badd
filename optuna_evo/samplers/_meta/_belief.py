"""What a sampler believes about a new study that has old ones to learn from.

    n observations, m candidates, d parameters, S sources

Sources are seen in the target's own space: parameters are matched by name, numbers placed on the
target's scale and range, categories matched by value. What the target lacks is noise to the model
of a source, and a source says nothing about parameters that it lacks.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._belief import Belief
from optuna_evo.samplers._belief import believe_feasible
from optuna_evo.samplers._belief import believe_price
from optuna_evo.samplers._belief import complete_rows
from optuna_evo.samplers._belief import expect_unknown
from optuna_evo.samplers._belief import learning_targets
from optuna_evo.samplers._belief import merits
from optuna_evo.samplers._feasibility import KernelMemory
from optuna_evo.samplers._history import History
from optuna_evo.samplers._memory import LastResult
from optuna_evo.samplers._meta._branches import Rules
from optuna_evo.samplers._meta._source import Source
from optuna_evo.samplers._rows import fit_size
from optuna_evo.samplers._rows import MAX_FIT_ROWS
from optuna_evo.samplers._rows import MAX_ROWS
from optuna_evo.samplers._rows import spread_rows
from optuna_evo.surrogates import bound
from optuna_evo.surrogates import fit_informed
from optuna_evo.surrogates import fit_sources
from optuna_evo.surrogates import inform
from optuna_evo.surrogates import InformedKernel
from optuna_evo.surrogates import InformedPosterior
from optuna_evo.surrogates import learn_rules
from optuna_evo.surrogates import n_active
from optuna_evo.surrogates import source_shares
from optuna_evo.surrogates import SourceModels
from optuna_evo.surrogates import SourceRows
from optuna_evo.surrogates import SpaceEncoding


Array = NDArray[np.float64]

MAX_SOURCE_ROWS = 50  # observations of a source that its model is fitted to
MIN_SOURCE_ROWS = 3
CHANCE = 1.5  # by sqrt(n): correlation that n values without meaning reach in one case of fifteen
N_BEST = 5  # configurations of a source that are candidates


@dataclass(frozen=True)
class Knowledge:
    """The sources that have something to say about a space, encoded and fitted.

    Attributes:
        encoding: The target's space.
        names: Names of the sources, in their order.
        models: Their posterior means.
        best: The best configurations of each, the best first, as units with NaN for parameters
            that the source lacks: S arrays (n, d).
        recorded: The standardised results that they had, S arrays (n,).
        configurations: The same as they were suggested, the sources one after another.
        shares: How much each is believed before any evidence, (S,), sum 1.
        rules: Under which condition parameters are there, as the sources show.
    """

    encoding: SpaceEncoding
    names: tuple[str, ...]
    models: SourceModels
    best: tuple[Array, ...]
    recorded: tuple[Array, ...]
    configurations: tuple[Mapping[str, Any], ...]
    shares: Array
    rules: Rules

    def __post_init__(self) -> None:
        assert len(self.names) == self.models.n_sources == len(self.best)

    def values(self, row: Array) -> dict[str, Any]:
        """Return the parameters at a row of units (d,); those of a source's best are exact."""
        return self.encoding.recall(row, np.concatenate(self.best), self.configurations)


def understand(
    sources: Sequence[Source],
    encoding: SpaceEncoding,
    rules: Rules,
    meta_features: Mapping[str, float],
) -> Knowledge | None:
    """Fit the sources in the target's space; None if none of them says anything about it."""
    rows: list[SourceRows] = []
    present: list[Array] = []
    optional = np.array(encoding.optional, dtype=bool)
    best: list[NDArray[np.intp]] = []
    recorded: list[Array] = []
    kept: list[Source] = []
    for source in sources:
        units = encoding.units(source.configurations)
        # a trial of which no value means anything here says nothing
        told = np.flatnonzero(~np.isnan(units).all(axis=1))
        if len(told) < MIN_SOURCE_ROWS:
            continue
        violations = source.violations[told]
        targets = learning_targets(source.losses[told], violations)
        if not targets.any():
            continue
        order = merits(targets, violations)
        chosen = spread_rows(order, MAX_SOURCE_ROWS)
        shared = np.asarray(~np.isnan(units).all(axis=0))
        seen = encoding.features(units[told[chosen]])
        rows.append(SourceRows(seen, targets[chosen], shared))
        # what a source lacks that every configuration has is there, but not known
        present.append(np.where(optional, units[told[chosen]], 0.0))
        first = np.argsort(order, kind="stable")[:N_BEST]
        best.append(told[first])
        recorded.append(targets[first])
        kept.append(source)
    if not rows:
        return None
    models = fit_sources(rows, encoding.groups, n_active(np.concatenate(present)))
    chance = np.array([CHANCE / math.sqrt(len(row.targets)) for row in rows])
    good = np.flatnonzero(models.reliability > chance)
    if len(good) == 0:
        return None
    if len(good) < len(rows):
        rows, best = [rows[i] for i in good], [best[i] for i in good]
        recorded, kept = [recorded[i] for i in good], [kept[i] for i in good]
        active = n_active(np.concatenate([present[i] for i in good]))
        models = fit_sources(rows, encoding.groups, active)
    configurations = [[s.configurations[i] for i in b] for s, b in zip(kept, best, strict=True)]
    return Knowledge(
        encoding,
        tuple(source.name for source in kept),
        models,
        tuple(encoding.units(part) for part in configurations),
        tuple(recorded),
        tuple(itertools.chain.from_iterable(configurations)),
        _similarity(kept, meta_features),
        rules,
    )


@dataclass(frozen=True)
class InformedBelief(Belief):
    """A belief that knows the sources; `posterior` is an `InformedPosterior`."""

    knowledge: Knowledge
    shares: Array  # (S,)

    def values(self, row: Array) -> dict[str, Any]:
        """Return the parameters at a row of units (d,); those of known trials are exact."""
        known = self.knowledge
        return self.encoding.recall(
            row,
            np.concatenate([self.units, *known.best]),
            [*self.configurations, *known.configurations],
        )


def believe_informed(
    history: History,
    knowledge: Knowledge,
    memory: LastResult[InformedKernel],
    constraints: KernelMemory | None = None,
) -> InformedBelief:
    """Learn from a history with at least one observation, and from the sources."""
    encoding, models = knowledge.encoding, knowledge.models
    configurations = [o.params for o in history.observations]
    units = encoding.units(configurations)
    losses = bound(np.array([o.loss for o in history.observations]))
    violations = history.violations
    features = encoding.features(units)
    targets = learning_targets(losses, violations, distinct=True)
    shares = source_shares(models.means(features), targets, knowledge.shares)
    kernel = _fit(models, shares, features, losses, violations, memory)
    rows = spread_rows(merits(targets, violations), MAX_ROWS)
    running, failed = (complete_rows(encoding, p) for p in (history.running, history.failed))
    unknown = np.concatenate([running, failed])
    posterior = inform(models, shares, kernel, features[rows], targets[rows])
    if len(unknown):
        seen = encoding.features(unknown)
        expected = expect_unknown(posterior, seen, len(running))
        posterior = inform(
            models,
            shares,
            kernel,
            np.concatenate([features[rows], seen]),
            np.concatenate([targets[rows], expected]),
        )
    known = np.concatenate([units, unknown])
    foreseen = {rule.child for rule in knowledge.rules}
    own = (rule for rule in learn_rules(units) if rule.child not in foreseen)
    rules = (*knowledge.rules, *own)
    return InformedBelief(
        encoding,
        rules,
        units,
        losses,
        violations,
        targets,
        known,
        posterior,
        believe_feasible(history, units, encoding, constraints),
        configurations,
        knowledge,
        shares,
        price=believe_price(history, units, encoding, constraints),
    )


def expected_weights(belief: InformedBelief) -> dict[str, float]:
    """Return the weight of each source in what is expected, by name, each in [0, 1]."""
    assert isinstance(belief.posterior, InformedPosterior)
    coefficients = np.clip(belief.posterior.coefficients(), 0.0, 1.0)
    return dict(zip(belief.knowledge.names, coefficients.round(3).tolist(), strict=True))


def _fit(
    models: SourceModels,
    shares: Array,
    features: Array,
    losses: Array,
    violations: Array,
    memory: LastResult[InformedKernel],
) -> InformedKernel:
    size = fit_size(len(losses))
    targets = learning_targets(losses[:size], violations[:size], distinct=True)
    rows = spread_rows(merits(targets, violations[:size]), MAX_FIT_ROWS)
    inputs = features[:size][rows], targets[rows]
    return memory.of(lambda: fit_informed(models, shares, *inputs), *inputs, models.alpha)


def _similarity(sources: Sequence[Source], meta_features: Mapping[str, float]) -> Array:
    """Return shares by the distance of meta-features; equal ones where they are not known."""
    shared = set(meta_features)
    for source in sources:
        if source.meta_features:
            shared &= source.meta_features.keys()
    shares = np.ones(len(sources))
    known = [i for i, s in enumerate(sources) if s.meta_features]
    names = sorted(shared)
    if names and len(known) > 1:
        table = np.array([[sources[i].meta_features[k] for k in names] for i in known])
        own = np.array([meta_features[k] for k in names])
        # signed logarithms: meta-features are counts and sizes over orders of magnitude
        table, own = (np.sign(x) * np.log1p(np.abs(x)) for x in (table, own))
        spread = table.std(axis=0)
        usable = spread > 0.0
        if usable.any():
            apart = ((table - own) / np.where(usable, spread, 1.0))[:, usable]
            distance = (apart**2).mean(axis=1)
            shares[known] = np.exp(-0.5 * distance / max(float(np.median(distance)), 1e-12))
    return np.asarray(shares / shares.sum())

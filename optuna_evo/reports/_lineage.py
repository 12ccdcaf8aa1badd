"""The lineages of a study: which trial went on from which, computed from its trials."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import MEMBER
from optuna_evo.search import ancestors
from optuna_evo.search import parent_of


__all__ = ["LineageNode", "Lineages", "summarise_lineages"]


class LineageNode(NamedTuple):
    """One complete segment in the tree from parents to children.

    Args:
        number: Number of its trial.
        parent: Number of the trial whose weights it went on from; None: fresh weights.
        member: Member of the population; None where the sampler has no members.
        first_step: Optimizer steps since fresh weights at its beginning.
        last_step: Optimizer steps since fresh weights at its end.
        value: Its value.
        params: Its hyperparameters.
        is_winning: Whether the winner's weights went through it.
        n_descendants: Trials that went on from it, directly or not.
        diverged: Whether its value is the penalty for a divergence.
    """

    number: int
    parent: int | None
    member: int | None
    first_step: int
    last_step: int
    value: float
    params: Mapping[str, Any]
    is_winning: bool
    n_descendants: int
    diverged: bool


class Lineages(NamedTuple):
    """All complete segments of a study.

    Args:
        name: Name of the study.
        nodes: The segments by number.
        winning: The winner's lineage, from fresh weights to the winner.
        scales: For each hyperparameter of the winner's lineage, whether its range is logarithmic.
    """

    name: str
    nodes: Mapping[int, LineageNode]
    winning: Sequence[LineageNode]
    scales: Mapping[str, bool]

    def children(self, number: int | None) -> list[LineageNode]:
        """Return the segments that went on from a trial; of None: those with fresh weights."""
        return [node for node in self.nodes.values() if node.parent == number]


def summarise_lineages(study: optuna.Study, winner: int) -> Lineages:
    """Compute the lineages of a study.

    Args:
        study: The study.
        winner: Number of the trial whose lineage is the winning one.
    """
    trials = study.get_trials(deepcopy=False)
    winning = {trial.number for trial in ancestors(trials, winner)}
    n_descendants = dict.fromkeys(range(len(trials)), 0)
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    for trial in complete:
        for ancestor in list(ancestors(trials, trial.number))[1:]:  # the first is the trial itself
            n_descendants[ancestor.number] += 1
    nodes = {t.number: _node(t, t.number in winning, n_descendants[t.number]) for t in complete}
    scales = {
        name: bool(getattr(distribution, "log", False))
        for number in sorted(winning)
        for name, distribution in trials[number].distributions.items()
    }
    # a parent has a smaller number than its child, so sorting puts the oldest first
    lineage = [nodes[number] for number in sorted(winning) if number in nodes]
    return Lineages(study.study_name, nodes, lineage, scales)


def _node(trial: FrozenTrial, is_winning: bool, n_descendants: int) -> LineageNode:
    attrs = trial.user_attrs
    first = int(attrs.get("first_step", 0))
    return LineageNode(
        number=trial.number,
        parent=parent_of(trial),
        member=MEMBER.read(attrs),
        first_step=first,
        last_step=first + int(attrs.get("optimizer_steps", 0)),
        value=float(trial.value or 0.0),
        params=trial.params,
        is_winning=is_winning,
        n_descendants=n_descendants,
        diverged=DIVERGED.is_in(attrs),
    )

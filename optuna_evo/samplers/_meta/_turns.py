"""Whose turn it is: the sources' best, what they and the results tell, or the results alone.

Nothing is known of the sources before one result of what they hold for good and one of what they
do not. So the second trial is a *control*, and more follow by the doubt that is left. Sources that
the results contradict have no turn. Sources whose models predict their own results poorly, as in
many dimensions, are better remembered than modelled: more trials are of their best configurations.
So are they where results do not get better, or are on a plateau.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import auto
from enum import Enum
import math

import numpy as np
from numpy.typing import NDArray

from optuna_evo.samplers._history import History
from optuna_evo.samplers._meta._belief import judge
from optuna_evo.samplers._meta._belief import Knowledge
from optuna_evo.samplers._meta._portfolio import next_of_portfolio
from optuna_evo.samplers._meta._trust import Trust


Array = NDArray[np.float64]

PATIENCE = 3  # trials without a better one after which another part has a turn
FEWEST = 2  # trials of the best configurations of sources that predict themselves perfectly
MORE = 10.0  # by 1 - correlation of their predictions: further ones
LATEST = 15  # trials after which the sources' best configurations have no turn of their own
MANY = 8  # results from which sources that may be upside down are asked, too
AHEAD = 0.5  # of a trial, by which controls come before the doubt that they answer
BAR = 0.5  # probability from which a hypothesis is gone by


class Turn(Enum):
    """What proposes a trial."""

    PORTFOLIO = auto()  # the best configurations of the sources
    INFORMED = auto()  # a belief that knows the sources
    OWN = auto()  # what goes on without sources; of trusted ones it is the control


@dataclass(frozen=True)
class Advice:
    """What the sources have to say of the next trial.

    Attributes:
        knowledge: The sources.
        trusted: How far the results so far speak for them.
        turn: What proposes the trial.
        n_before: Earlier trials of the portfolio whose parameters are not known yet.
    """

    knowledge: Knowledge
    trusted: Trust
    turn: Turn
    n_before: int

    def next_of_portfolio(self, history: History) -> Array:
        """Return the next configuration that no earlier trial has or is about to get, (d,)."""
        tried = [*(o.params for o in history.observations), *history.running, *history.failed]
        known, shares = self.knowledge.encoding.units(tried), self.trusted.shares
        units = next_of_portfolio(self.knowledge, known, shares)
        for _ in range(self.n_before):
            known = np.concatenate([known, units[None]])
            units = next_of_portfolio(self.knowledge, known, shares)
        return units

    def own_start(self, units: Array) -> Array:
        """Return the row of random units (n, d) to try while the study has few results.

        Of trusted sources it is the one that they expect least of: no trial says more about them,
        and if they are wrong it is a good one. Sources that are likely upside down are read so.
        Else it is the first.
        """
        models, features = self.knowledge.models, self.knowledge.encoding.features
        if self.trusted.useful >= BAR:
            row = (models.means(features(units)) @ self.trusted.shares).argmax()
        elif self.trusted.opposite > self.trusted.useful:
            row = (models.means(features(units)) @ self.trusted.balance).argmin()
        else:
            row = np.intp(0)
        return np.asarray(units[row])


def ask(knowledge: Knowledge, history: History, n_open: int) -> Advice:
    """Ask the sources about the next trial.

    Args:
        knowledge: The sources.
        history: The trials before.
        n_open: How many earlier trials run whose parameters are not known yet.
    """
    trusts = judge(history, knowledge, LATEST)
    place = len(history.observations) + len(history.running) + n_open
    turn = _whose_turn(history, knowledge, trusts, place)
    n_before = sum(not _is_control(trusts, place - 1 - i) for i in range(n_open))
    return Advice(knowledge, trusts[-1], turn, n_before)


def _whose_turn(
    history: History, knowledge: Knowledge, trusts: Sequence[Trust], place: int
) -> Turn:
    n_results, trusted = len(history.observations), trusts[-1]
    if trusted.useful >= BAR:
        if place < LATEST and _is_control(trusts, place):
            return Turn.OWN
        length = FEWEST + round(
            MORE * (1.0 - float(knowledge.models.reliability @ trusted.shares))
        )
        waits = place < LATEST and n_results >= 2 and (is_stuck(history) or _is_level(history))
        if place < length or waits:
            return Turn.PORTFOLIO
        return Turn.INFORMED if n_results >= 2 else Turn.OWN
    if n_results >= MANY and trusted.informative >= BAR:
        return Turn.INFORMED
    return Turn.OWN


def _is_control(trusts: Sequence[Trust], place: int) -> bool:
    """Whether controls would else be fewer than the trials' doubts in the sources, summed."""
    doubts = [1.0 - trusts[min(i, len(trusts) - 1)].useful for i in range(place + 1)]
    return math.floor(sum(doubts) + AHEAD) > math.floor(sum(doubts[:-1]) + AHEAD)


def is_stuck(history: History) -> bool:
    """Whether results have not got better for a whole number of times the patience."""
    ranks = [(o.violation, o.loss) for o in history.observations]
    since = len(ranks) - 1 - ranks.index(min(ranks))
    return since > 0 and since % PATIENCE == 0


def _is_level(history: History) -> bool:
    """Whether the last result is as good as the best one before it."""
    ranks = [(o.violation, o.loss) for o in history.observations]
    return ranks[-1] == min(ranks[:-1])

"""Lineages and the learned schedule as Plotly figures, small enough for the dashboard: < 50 kB."""

from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_evo.reports._lineage import Birth
from optuna_evo.reports._lineage import Family
from optuna_evo.reports._lineage import family
from optuna_evo.search import best_of
from optuna_evo.search import Listener
from optuna_evo.search import living


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["lineage_figure", "LineagePages", "schedule_figure", "show_lineages"]

_IDS = ("lineages", "learned-schedule")
_WINNER, _OTHERS = "#d1672b", "#9db4d3"
_MOST_EDGES = 500
_MOST_PIECES = 120
_COLUMNS = 3


def show_lineages(study: optuna.Study, *, inherit: str) -> None:
    """Put both figures on the study's page in optuna-dashboard, in the place of the last ones.

    Args:
        study: A study whose trials are segments.
        inherit: "parent", "shared" or "none" (see `optuna_evo.search.Lineage`).
    """
    from optuna_dashboard import save_plotly_graph_object

    trials = study.get_trials(deepcopy=False)
    alive = living(trials, inherit=inherit, direction=study.direction)
    winner = best_of(alive, study.direction)
    if winner is None:
        return
    found = family(study, winner.number)
    for name, figure in zip(_IDS, (lineage_figure(found), schedule_figure(found)), strict=True):
        save_plotly_graph_object(study, figure, graph_object_id=name)


def lineage_figure(family: Family) -> "Figure":
    """Draw every segment as an edge from its parent's value to its own, over optimizer steps."""
    from plotly import graph_objects as go

    figure = go.Figure()
    others = [b for b in family.births.values() if not b.on_line and not b.diverged]
    for name, births, colour, width in (
        ("others", others[-_MOST_EDGES:], _OTHERS, 1),
        ("the winner's line", list(family.line)[-_MOST_EDGES:], _WINNER, 3),
    ):
        x, y = _edges(family, births)
        line = {"color": colour, "width": width}
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines+markers", line=line, marker_size=4, name=name)
        )
    low, high = _view([b.value for b in family.births.values() if not b.diverged])
    figure.update_layout(title="Lineages", **_layout(430))
    figure.update_xaxes(title="optimizer steps since fresh weights")
    figure.update_yaxes(title="value", range=[low, high])
    return figure


def schedule_figure(family: Family) -> "Figure":
    """Draw each hyperparameter over the optimizer steps of the winning line."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    names = [n for n in family.scales if _is_drawn(family, n)]
    rows = max(1, math.ceil(len(names) / _COLUMNS))
    figure = make_subplots(rows=rows, cols=_COLUMNS, subplot_titles=names)
    stride = math.ceil(len(family.line) / _MOST_PIECES)
    pieces = [*family.line[::stride], family.line[-1]]
    for nth, name in enumerate(names):
        x = [step for b in pieces for step in (b.first_step, b.last_step)]
        y = [_short(b.params.get(name)) for b in pieces for _ in range(2)]
        place = {"row": nth // _COLUMNS + 1, "col": nth % _COLUMNS + 1}
        line = {"color": _WINNER, "shape": "hv"}
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, showlegend=False)
        figure.add_trace(trace, **place)
        if family.scales[name]:
            figure.update_yaxes(type="log", **place)
    figure.update_layout(**_layout(430))
    return figure


def _edges(family: Family, births: Sequence[Birth]) -> tuple[list[int | None], list[float | None]]:
    """Return points, with a gap after each pair of parent and child."""
    x: list[int | None] = []
    y: list[float | None] = []
    for birth in births:
        parent = family.births.get(birth.parent) if birth.parent is not None else None
        if parent is not None:
            x.append(birth.first_step)
            y.append(_short(parent.value))
        x += [birth.last_step, None]
        y += [_short(birth.value), None]
    return x, y


def _is_drawn(family: Family, name: str) -> bool:
    values = [birth.params.get(name) for birth in family.line]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _view(values: Sequence[float]) -> tuple[float, float]:
    """Return the range that all but wild values lie in."""
    ordered = sorted(values) or [0.0]
    low, middle = ordered[0], ordered[len(ordered) // 2]
    high = min(ordered[-1], middle + 4 * (middle - low) + 1e-9)
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _short(value: Any) -> float:
    return float(f"{value:.5g}")


def _layout(height: int) -> dict[str, Any]:
    # the dashboard shows 450 pixels
    return {
        "template": "none",
        "height": height,
        "margin": {"t": 40, "b": 40, "l": 55, "r": 10},
    }


class LineagePages:
    """Listen to a search and renew the figures once a generation.

    Args:
        study: The study.
        inherit: "parent", "shared" or "none" (see `optuna_evo.search.Lineage`).
        every: Complete trials of a generation, those of all workers counted.
        listener: Is told the same; None: nobody.
    """

    def __init__(
        self, study: optuna.Study, *, inherit: str, every: int, listener: Listener | None
    ) -> None:
        self._study = study
        self._inherit = inherit
        self._every = every
        self._listener = listener

    def reported(self, trial_number: int, step: int, n_steps: int) -> None:
        """Pass it on."""
        if self._listener is not None:
            self._listener.reported(trial_number, step, n_steps)

    def finished(self, trial: FrozenTrial) -> None:
        """Pass it on; with the last trial of a generation renew the figures."""
        if self._listener is not None:
            self._listener.finished(trial)
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.state == TrialState.COMPLETE and len(complete) % self._every == 0:
            show_lineages(self._study, inherit=self._inherit)

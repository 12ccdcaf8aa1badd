"""Draw what a controller does over a run: learning curves, learning rates, mixes by tensor."""

from pathlib import Path
from typing import Final
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optuna_evo.curves import analyse
from optuna_evo.curves import CurveAnalysis
from optuna_evo.curves import smoothed
from optuna_evo.reports._figure_file import save_figure
from optuna_evo.reports._page_figures import page_layout
from optuna_evo.reports._page_figures import plain_text


if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from optuna_evo.meta_training import ControllerTrace

__all__ = ["analyse_trace", "analysis_line", "controller_figure", "draw_controller"]

_COLOURS: Final = ("#3b6fb6", "#d1672b", "#3f8f4f", "#8a4fa3", "#b3455b", "#7a7a7a")
_MOST_TENSORS: Final = 6  # lines of a panel
_CURVES: Final = {"controller": _COLOURS[1], "base": "0.5"}
_MOST_POINTS: Final = 100  # of a line in the dashboard, which takes 50 kB
_LR: Final = "Learning rate, times the base's"
_FLOOR: Final = 1e-12  # a logarithmic axis has no 0


def analyse_trace(trace: "ControllerTrace") -> dict[str, CurveAnalysis]:
    """Analyse the curves of a controller and of its base; the target is where the base ends."""
    target = analyse(trace.losses["base"].tolist(), target=0.0).final
    return {name: analyse(rows.tolist(), target=target) for name, rows in trace.losses.items()}


def analysis_line(name: str, found: CurveAnalysis) -> str:
    """Return an analysis in one line."""
    reached = f"{found.steps_to_target:g}" if np.isfinite(found.steps_to_target) else "not"
    return (
        f"{name}: final loss {found.final:.4g} (spread {found.spread:.2g}), base's final loss "
        f"reached at step {reached}, {found.spikes:.1f} spikes a run, "
        f"{found.diverged_share:.0%} diverged, {found.trend.direction} at the end"
    )


def draw_controller(trace: "ControllerTrace", path: Path) -> None:
    """Write the views as a PNG file."""
    from matplotlib.figure import Figure as Canvas  # no pyplot: no global state, no window

    panels = _panels(trace)
    canvas = Canvas(figsize=(11, 3.2 * ((len(panels) + 2) // 2)), layout="constrained")
    axes = list(canvas.subplots((len(panels) + 2) // 2, 2, squeeze=False).flat)
    curves, rest = axes[0], axes[1:]
    for name, colour in _CURVES.items():
        rows = trace.losses[name]
        steps = np.arange(1, rows.shape[1] + 1)
        for row in rows:
            curves.plot(steps, row, color=colour, lw=0.5, alpha=0.35)
        curves.plot(steps, _typical(rows), color=colour, lw=1.8, label=name)
    curves.set(title="Training loss, smoothed", xlabel="step", yscale="log")
    curves.legend()
    for axis, (title, table) in zip(rest, panels.items(), strict=False):
        for t in _shown(table):
            colour = _COLOURS[t % len(_COLOURS)]
            axis.plot(steps, table[:, t], color=colour, lw=1.2, label=trace.tensors[t])
        is_lr = title == _LR
        axis.axhline(1.0 if is_lr else 0.0, color="0.7", lw=0.8, zorder=0)
        axis.set(title=title, xlabel="step", yscale="log" if is_lr else "linear")
    rest[0].legend(title="tensor", fontsize="small")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_visible(axis.has_data())
    save_figure(canvas, path)


def controller_figure(trace: "ControllerTrace") -> "Figure":
    """Return the views as a Plotly figure, small enough for the dashboard (< 50 kB)."""
    from plotly import graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.13,
        subplot_titles=("training loss, smoothed", _LR.lower()),
    )
    n_steps = len(trace.lr)
    places = np.unique(np.linspace(0, n_steps - 1, min(n_steps, _MOST_POINTS)).astype(int))
    steps = (places + 1).tolist()
    for name, colour in zip(_CURVES, (_COLOURS[1], "#888888"), strict=True):
        y = [float(f"{v:.4g}") for v in _typical(trace.losses[name])[places]]
        figure.add_trace(go.Scatter(x=steps, y=y, name=name, line={"color": colour}), row=1, col=1)
    for t in _shown(trace.lr):
        y = [float(f"{v:.4g}") for v in trace.lr[places, t]]
        line = {"color": _COLOURS[t % len(_COLOURS)]}
        name = plain_text(trace.tensors[t])
        figure.add_trace(go.Scatter(x=steps, y=y, name=name, line=line), row=2, col=1)
    figure.update_yaxes(type="log")
    layout = page_layout("What the controller does", "", "")
    figure.update_layout({key: layout[key] for key in ("template", "height", "margin", "title")})
    figure.update_annotations(font_size=11, x=0, xanchor="left")
    figure.update_xaxes(title={"text": "step"}, row=2, col=1)
    return figure


def _panels(trace: "ControllerTrace") -> dict[str, NDArray[np.float64]]:
    """Return what is drawn beside the curves, (S, T) each."""
    mixes = {f"Added to {name}": table for name, table in trace.mixes.items()}
    return {_LR: trace.lr, **mixes}


def _shown(table: NDArray[np.float64]) -> list[int]:
    return list(range(min(table.shape[1], _MOST_TENSORS)))


def _typical(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over runs of the smoothed curves, above 0 for a logarithmic axis."""
    table = np.array([smoothed(row, max(1.0, rows.shape[1] / 10)) for row in rows.tolist()])
    return np.asarray(np.maximum(np.median(table, axis=0), _FLOOR))

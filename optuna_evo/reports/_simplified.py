"""The evidence of a simplified rule, for the terminal."""

from rich.console import RenderableType
from rich.table import Table

from optuna_evo.evaluation import Interval
from optuna_evo.evaluation import Simplified
from optuna_evo.reports._terminal import plain


__all__ = ["simplified_table"]


def simplified_table(found: Simplified) -> RenderableType:
    """Draw all looks at simpler rules, those that were taken marked."""
    table = Table(
        title=f"What the rule can do without, {found.n_seeds} fresh seeds a round, "
        f"margin {found.margin:g}",
        caption="Loss of fitness to the rule as it stood, with 95 % intervals. Taken is the best "
        "of a round for which p, that it is worse by the margin, corrected for all looks, is at "
        f"most 0.05. All steps together: {_shown(found.total)}.",
    )
    table.add_column("round", justify="right")
    table.add_column("change")
    for column in ("loss of fitness", "p"):
        table.add_column(column, justify="right")
    table.add_column("taken")
    for look in found.looks:
        table.add_row(
            str(look.round),
            plain(look.change),
            _shown(look.loss),
            f"{look.p_value:.2g}",
            "yes" if look.taken else "",
            style="bold" if look.taken else None,
        )
    return table


def _shown(interval: Interval) -> str:
    return f"{interval.mean:+.4f} ({interval.low:+.4f} … {interval.high:+.4f})"

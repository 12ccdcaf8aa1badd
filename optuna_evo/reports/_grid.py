"""The tables that a terminal gets, as cells: for a page in HTML and for a note in Markdown.

So there is one place that says what a table holds, and it is drawn in three ways.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import html
from typing import Any
from typing import NamedTuple

from rich.console import Group
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._markdown import markdown_table


__all__ = ["Grid", "grids_of", "html_grid", "markdown_grid"]


class Grid(NamedTuple):
    """A table as texts.

    Args:
        title: Above it; empty: none.
        caption: Below it; empty: none.
        header: Names of the columns.
        rows: Cells by row.
        is_right: Which columns hold numbers, and stand to the right.
        marked: Which rows are set off.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_right: Sequence[bool]
    marked: Sequence[bool]


def grids_of(renderable: RenderableType) -> Iterator[Grid]:
    """Yield the tables among what is drawn for a terminal, in their order."""
    if isinstance(renderable, Group):
        for part in renderable.renderables:
            yield from grids_of(part)
    elif isinstance(renderable, Table):
        columns = [[*map(_text, column.cells)] for column in renderable.columns]
        yield Grid(
            title=_text(renderable.title or ""),
            caption=_text(renderable.caption or ""),
            header=[_text(column.header) for column in renderable.columns],
            rows=[*zip(*columns, strict=True)],
            is_right=[column.justify == "right" for column in renderable.columns],
            marked=["bold" in str(row.style or "") for row in renderable.rows],
        )


def markdown_grid(grid: Grid) -> list[str]:
    """Return the lines of a table in Markdown."""
    title = [f"**{in_markdown(grid.title)}**", ""] if grid.title else []
    caption = ["", in_markdown(grid.caption)] if grid.caption else []
    return [*title, *markdown_table(grid.header, grid.rows), *caption]


def html_grid(grid: Grid) -> str:
    """Return a table in HTML."""
    title = f"<caption>{html.escape(grid.title)}</caption>" if grid.title else ""
    head = "".join(_cell("th", *each) for each in zip(grid.header, grid.is_right, strict=True))
    body = "".join(
        f"<tr{' class=marked' if marked else ''}>"
        + "".join(_cell("td", *each) for each in zip(row, grid.is_right, strict=True))
        + "</tr>"
        for row, marked in zip(grid.rows, grid.marked, strict=True)
    )
    note = f"<p class=note>{html.escape(grid.caption)}</p>" if grid.caption else ""
    table = f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class=wide>{table}</div>{note}"


def _cell(tag: str, text: str, is_right: bool) -> str:
    return f"<{tag}{' class=number' if is_right else ''}>{html.escape(text)}</{tag}>"


def _text(cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)

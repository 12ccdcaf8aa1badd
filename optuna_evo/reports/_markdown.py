"""Texts from elsewhere in Markdown: nothing in them is markup, HTML, or a new cell of a table."""

from collections.abc import Iterable
from collections.abc import Sequence
import html
import re

from optuna_evo.names import printable


__all__ = ["fenced", "in_markdown", "markdown_table"]


def in_markdown(text: str) -> str:
    r"""Return a text that Markdown shows as it is: no markup, no HTML, no new cell of a table.

    Example:
        >>> in_markdown("a|b <i>")
        'a\\\\|b &lt;i&gt;'
    """
    escaped = re.sub(r"([\\`*\[\]|#!~])", r"\\\1", html.escape(printable(text), quote=False))
    # between letters and digits an underscore is no markup, and "my_study" stays readable
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)


def fenced(text: str, language: str = "") -> list[str]:
    """Return the lines of a block in which a text stands as it is."""
    code = "\n".join(map(printable, text.splitlines()))
    # longer than any run of backticks within, which would end the block
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return [fence + language, code, fence]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; cells are texts, not Markdown."""
    return [
        _line(header),
        "|---" * len(header) + "|",
        *map(_line, rows),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(in_markdown, cells))} |"

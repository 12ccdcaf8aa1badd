"""A report in Markdown, with its pictures in files beside it."""

from collections.abc import Iterator
from collections.abc import Sequence
from urllib.parse import quote

from optuna_evo.names import printable
from optuna_evo.reports._grid import Grid
from optuna_evo.reports._grid import markdown_grid
from optuna_evo.reports._markdown import fenced
from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._report_sections import Code
from optuna_evo.reports._report_sections import Pairs
from optuna_evo.reports._report_sections import Part
from optuna_evo.reports._report_sections import Picture
from optuna_evo.reports._report_sections import Section


__all__ = ["pictures_of", "report_markdown"]


def report_markdown(title: str, sections: Sequence[Section], stem: str) -> str:
    """Return a report in Markdown.

    Args:
        title: Name of the study; shown as it is, whatever it holds.
        sections: What to show.
        stem: What the names of its pictures begin with: STEM_NAME.png, beside it.
    """
    lines = [f"# {in_markdown(title)}", ""]
    for section in sections:
        lines += [f"## {in_markdown(section.title)}", ""]
        for part in section.parts:
            lines += [*_part(part, stem), ""]
    return "\n".join(lines)


def pictures_of(sections: Sequence[Section]) -> list[Picture]:
    """Return all pictures of a report."""
    return [part for section in sections for part in section.parts if isinstance(part, Picture)]


def _part(part: Part, stem: str) -> Iterator[str]:
    if isinstance(part, Picture):
        yield f"![{in_markdown(part.shows)}]({quote(stem, safe='')}_{part.name}.png)"
    elif isinstance(part, Grid):
        yield from markdown_grid(part)
    elif isinstance(part, Code):
        yield from fenced(part.text)
    elif isinstance(part, Pairs):
        for word, text in part.pairs:
            yield f"- {in_markdown(printable(word))}: {in_markdown(printable(text))}"
    else:
        yield in_markdown(part)

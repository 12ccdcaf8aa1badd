"""A report as one HTML file: pictures inside, no script, nothing from elsewhere.

Pictures are SVG by matplotlib, 10 to 60 kB each, within `<img>`: sharp at any size, opened by any
browser and by mail programs, and as images they can neither run a script nor fetch anything.
Plotly's library alone would be 4.5 MB and needs scripts. What is lost is reading off single
values: those are in the tables, and in the dashboard.
"""

import base64
from collections.abc import Iterator
from collections.abc import Sequence
import html
from pathlib import Path
import tempfile

from optuna_evo.names import printable
from optuna_evo.reports._grid import Grid
from optuna_evo.reports._grid import html_grid
from optuna_evo.reports._report_sections import Code
from optuna_evo.reports._report_sections import Pairs
from optuna_evo.reports._report_sections import Part
from optuna_evo.reports._report_sections import Picture
from optuna_evo.reports._report_sections import Section


__all__ = ["report_html"]

# Whatever a name in a database may hold, a browser then runs and fetches nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1d242c; background: #f4f6f8; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; margin: .2rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .8rem; }
nav a { margin-right: 1rem; color: #2b5d9b; }
section { background: #fff; border: 1px solid #dde3e9; border-radius: 8px; padding: 1.1rem 1.3rem;
  margin: 1.1rem 0; }
pre { background: #f4f6f8; border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
  font: 14px/1.45 ui-monospace, monospace; }
img { max-width: 100%; height: auto; display: block; margin: .6rem auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e6ebf0;
  vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.marked td { background: #fdf1ea; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0; }
dt { color: #5b6773; } dd { margin: 0; overflow-wrap: anywhere; }
.note { color: #5b6773; font-size: .85rem; }
@media print { body { background: #fff; } section { break-inside: avoid; border: 0; } }
"""


def report_html(title: str, sections: Sequence[Section]) -> str:
    """Return a report as one HTML page that needs no network.

    Args:
        title: Name of the study; shown as it is, whatever it holds.
        sections: What to show.
    """
    shown = html.escape(printable(title))
    links = "".join(
        f'<a href="#s{nth}">{html.escape(section.title)}</a>'
        for nth, section in enumerate(sections)
    )
    body = "".join(_section(nth, section) for nth, section in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{shown}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{shown}</h1><nav>{links}</nav>\n{body}</main></body></html>\n"
    )


def _section(nth: int, section: Section) -> str:
    parts = "\n".join(text for part in section.parts for text in _part(part))
    return f'<section id="s{nth}"><h2>{html.escape(section.title)}</h2>\n{parts}</section>\n'


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Picture):
        alt = html.escape(part.shows, quote=True)
        yield f'<img alt="{alt}" src="data:image/svg+xml;base64,{_svg(part)}">'
    elif isinstance(part, Grid):
        yield html_grid(part)
    elif isinstance(part, Code):
        lines = "\n".join(html.escape(printable(line)) for line in part.text.splitlines())
        yield f"<pre>{lines}</pre>"
    elif isinstance(part, Pairs):
        rows = (
            f"<dt>{html.escape(printable(a))}</dt><dd>{html.escape(printable(b))}</dd>"
            for a, b in part.pairs
        )
        yield f"<dl>{''.join(rows)}</dl>"
    else:
        yield f"<p>{html.escape(printable(part))}</p>"


def _svg(picture: Picture) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.svg"
        picture.draw(path)
        return base64.b64encode(path.read_bytes()).decode("ascii")

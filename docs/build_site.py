"""Build the site: the README in front, the public names from their docstrings, what both link to.

    python docs/build_site.py build/docs

A relative link to a file that is not there ends the build.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import importlib
import os
from pathlib import Path
import re
import shutil
import sys

import pdoc
from pdoc import doc
from pdoc import render
from pdoc import render_helpers

import optuna_evo
from optuna_evo.rules import _catalog


ROOT = Path(__file__).resolve().parents[1]
# Names that people write in their programs: all of a module, or those that own parts need.
MODULES: Mapping[str, Sequence[str] | None] = {
    "optuna_evo": None,
    "optuna_evo.tasks": None,
    "optuna_evo.objectives": ("ObjectiveKind", "FinalResult"),
    "optuna_evo.search": ("Objective", "Run"),
}
MENU = {
    "Overview": "index.html",
    "API": "optuna_evo.html",
    "Own tasks": "optuna_evo/tasks.html",
    "Own objectives": "optuna_evo/search.html",
    "Kinds of objectives": "optuna_evo/objectives.html",
    "Examples": "studies/examples/README.html",
    "Studies": "studies/README.html",
    "Log of results": "studies/LOG.html",
    "Changelog": "CHANGELOG.html",
    "Contributing": "CONTRIBUTING.html",
}
FIRST_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "studies/README.md")
COPIED = (".png", ".svg")
_LINK = re.compile(r"(?P<before>\]\(|src=\")(?P<target>[^)\"#:\s]+)(?P<after>(#[^)\s]*)?[)\"])")


def build(folder: Path) -> None:
    """Write the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    render.configure(
        docformat="google",
        template_directory=ROOT / "docs" / "templates",
        footer_text=f"optuna_evo {optuna_evo.__version__}",
    )
    write_modules(folder)
    waiting, written = (
        [ROOT / page for page in (*FIRST_PAGES, "studies/examples/README.md")],
        set(),
    )
    while waiting:
        path = waiting.pop()
        if path not in written:
            written.add(path)
            waiting += write_file(path, folder)


def write_modules(folder: Path) -> None:
    """Write a page for each module of `MODULES`."""
    for name, chosen in MODULES.items():
        module = importlib.import_module(name)
        module.__dict__["__all__"] = [*(chosen or module.__all__)]
        for member in module.__all__:  # loaded when first used, and pdoc sees what is loaded
            module.__dict__[member] = getattr(module, member)
    modules = {name: doc.Module.from_name(name) for name in MODULES}
    catalog = modules["optuna_evo"].members["catalog"]
    catalog.docstring = _catalog.__doc__ or ""  # a mapping has no docstring of its own
    catalog.default_value = pdoc.doc.empty
    controllers = modules["optuna_evo"].members["controllers"]
    controllers.docstring = type(optuna_evo.controllers).__doc__ or ""
    controllers.default_value = pdoc.doc.empty
    for name, module in modules.items():
        write(folder / f"{name.replace('.', '/')}.html", render.html_module(module, modules))
    write(folder / "search.js", render.search_index(modules))


def write_file(path: Path, folder: Path) -> list[Path]:
    """Write the page of a file, and return the files that it links to."""
    if path.suffix in COPIED:
        write(folder / path.relative_to(ROOT), path.read_bytes())
        return []
    text = path.read_text(encoding="utf-8")
    is_page = path.suffix == ".md"
    linked = list(_linked(path, text)) if is_page else []
    source = (
        _relinked(path, text) if is_page else f"# {path.name}\n\n```{_language(path)}\n{text}```"
    )
    body = render_helpers.to_html(source)
    page = folder / page_of(path)
    html = render.env.get_template("page.html.jinja2").render(
        title=f"optuna_evo: {path.relative_to(ROOT)}",
        body=body,
        contents=body.toc_html if is_page else "",
        menu=MENU,
        root="../" * page_of(path).count("/"),
    )
    write(page, html)
    return linked


def page_of(path: Path) -> str:
    """Return the name in the site of a file of the repository."""
    inner = path.relative_to(ROOT)
    if inner == Path("README.md"):
        return "index.html"
    if path.suffix in COPIED:
        return inner.as_posix()
    return (inner.with_suffix(".html") if path.suffix == ".md" else f"{inner}.html").__str__()


def write(path: Path, content: str | bytes) -> None:
    """Write a file and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _linked(path: Path, text: str) -> Iterator[Path]:
    for match in _LINK.finditer(text):
        target = (path.parent / match["target"]).resolve()
        if not target.is_file() or not target.is_relative_to(ROOT):
            sys.exit(
                f"{path.relative_to(ROOT)} links to {match['target']}, which is no file here."
            )
        yield target


def _relinked(path: Path, text: str) -> str:
    def relink(match: re.Match[str]) -> str:
        page = page_of((path.parent / match["target"]).resolve())
        here = os.path.dirname(page_of(path))
        return match["before"] + os.path.relpath(page, here or ".") + match["after"]

    return _LINK.sub(relink, text)


def _language(path: Path) -> str:
    return {".py": "python", ".toml": "toml"}.get(path.suffix, "text")


if __name__ == "__main__":
    build(Path(sys.argv[1]))

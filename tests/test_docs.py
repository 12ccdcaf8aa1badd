"""`make docs`: every public name has an entry with text, and no link leads nowhere."""

from html.parser import HTMLParser
from pathlib import Path
import re
import subprocess
import sys

import pytest

import optuna_evo
from optuna_evo import tasks


pytest.importorskip("pdoc")
ROOT = Path(__file__).parents[1]


class Page(HTMLParser):
    """The anchors and relative links of a page, and the text of its sections by their id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.sections: dict[str, str] = {}
        self._section, self._is_docstring = "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.add(values.get("id", ""))
        for name in ("href", "src"):
            if name in values and not re.match(r"[a-z]+:", values[name]):
                self.links.add(values[name])
        if tag == "section":
            self._section, self._is_docstring = values.get("id", ""), False
        elif tag == "div":
            self._is_docstring = values.get("class") == "docstring"

    def handle_data(self, data: str) -> None:
        if self._is_docstring:
            self.sections[self._section] = self.sections.get(self._section, "") + data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, ROOT / "docs" / "build_site.py", folder]
    subprocess.run(build, check=True, cwd=ROOT)
    return folder


def test_every_public_name_has_an_entry_with_text(site: Path) -> None:
    sections = Page(site / "optuna_evo.html").sections
    for name in {*optuna_evo.__all__} - {"__version__"}:
        assert len(sections.get(name, "").strip()) >= 20, name
    for module, names in {
        "tasks": tasks.__all__,
        "objectives": ["ObjectiveKind", "FinalResult"],
        "search": ["Objective", "Run"],
    }.items():
        sections = Page(site / "optuna_evo" / f"{module}.html").sections
        assert all(len(sections.get(name, "").strip()) >= 20 for name in names), module


def test_pages_of_modules_that_own_parts_need_show_these_names_only(site: Path) -> None:
    sections = Page(site / "optuna_evo" / "search.html").sections
    assert {name.split(".")[0] for name in sections if name} == {"Objective", "Run"}


def test_no_private_name_has_an_entry(site: Path) -> None:
    names = {name.split(".")[0] for name in Page(site / "optuna_evo.html").sections if name}
    assert names <= {*optuna_evo.__all__}


def test_the_readme_is_the_front_page_and_links_the_examples(site: Path) -> None:
    front = Page(site / "index.html")
    assert {"optuna_evo.html", "studies/examples/README.html"} <= front.links
    assert "Optuna for people who train PyTorch models" in front.sections[""]
    assert "own_task.py.html" in Page(site / "studies" / "examples" / "README.html").links


def test_every_link_leads_to_a_page_and_a_place_on_it(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 10
    for path, page in pages.items():
        for link in page.links:
            file, _, place = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), f"{path.name}: {link}"
            found = not place or place in pages[target].ids or _is_inherited(place)
            assert found, f"{path.name}: {link}"


def _is_inherited(place: str) -> bool:
    """Tell whether it is a member of a class of torch or Optuna, which has no entry here."""
    name, _, member = place.partition(".")
    return name in optuna_evo.__all__ and hasattr(getattr(optuna_evo, name), member)

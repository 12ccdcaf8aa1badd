"""What is seen of a study, of every kind: pages in the dashboard, and a report in one file."""

import base64
import csv
from html.parser import HTMLParser
import io
import json
from pathlib import Path
import re
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard import save_note
from optuna_dashboard import wsgi
from optuna_dashboard._note import save_note_with_version
import pytest

from optuna_evo.attributes import JUDGEMENT
from optuna_evo.attributes import LOSS_CURVE
from optuna_evo.attributes import RUNS
from optuna_evo.cli._pages import with_pages
from optuna_evo.reports import write_report
from optuna_evo.search import open_artifacts
from optuna_evo.search import open_storage
from optuna_evo.study import copy_study
from optuna_evo.study import create_study
from optuna_evo.study import DashboardPages
from optuna_evo.study import load_study
from optuna_evo.study import note_run
from optuna_evo.study import run_study
from optuna_evo.study import show_in_dashboard
from optuna_evo.study import StoredStudy
from optuna_evo.study import study_report
from tests.objectives.test_contract import spec_of
from tests.objectives.test_contract import SPECS


HOSTILE = (
    '</pre><script>alert(1)</script><img src=x onerror="alert(2)">`` [x](javascript:alert(3))'
)


class Server:
    """The dashboard on a database, with our pages, asked without a network."""

    def __init__(self, storage: Any, allowed: tuple[str, ...] = ()) -> None:
        self.loaded: list[str] = []

        def load(name: str) -> StoredStudy:
            self.loaded.append(name)
            return load_study(name, storage, to_run=False, allow_import=allowed)

        app = wsgi(storage, open_artifacts(storage, None))
        self.app = with_pages(app, DashboardPages(storage, load))

    def get(self, path: str) -> tuple[str, dict[str, str], bytes]:
        said: list[Any] = []
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query}
        setup_testing_defaults(environ)
        body = b"".join(self.app(environ, lambda *words: said.extend(words)))
        return said[0], dict(said[1]), body

    def study(self, study_id: int = 1, after: int = 0) -> dict[str, Any]:
        status, headers, body = self.get(f"/api/studies/{study_id}?after={after}")
        assert status == "200 OK" and int(headers["Content-Length"]) == len(body)
        return json.loads(body)  # type: ignore[no-any-return]


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def study_of(storage: Any, kind: str = "fitness", **changes: Any) -> StoredStudy:
    stored = create_study(spec_of(kind, **changes), storage)
    run_study(stored, device="cpu")
    return stored


class Page(HTMLParser):
    """The tags of a page, and what its pictures hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]


def check_page(text: str) -> list[bytes]:
    """Assert that a page opens without a network and runs nothing; return its pictures."""
    page = Page(text)
    assert page.tags.isdisjoint(
        {"script", "iframe", "object", "embed", "form", "link", "base", "svg"}
    )
    assert page.handlers == []
    pictures = [a for a in page.addresses if not a.startswith("#")]
    begin = "data:image/svg+xml;base64,"
    assert all(a.startswith(begin) for a in pictures)
    return [base64.b64decode(a.removeprefix(begin)) for a in pictures]


QUICK = ("accuracy", "function")  # pictures take a second a study


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in SPECS]
)
def test_a_study_of_every_kind_has_pages_and_a_report(
    kind: str, storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNA_EVO_CHECKPOINTS", str(tmp_path / "kept"))
    stored = study_of(storage, kind)
    server = Server(storage, ("tests",))
    seen = server.study()
    assert server.loaded == [kind]
    for trial in seen["trials"]:
        note = trial["note"]["body"]
        assert f"**Trial {trial['number']}:** complete" in note and "### Cost" in note
        assert trial["note"]["version"] == 0
        for file in trial["artifacts"]:
            path = f"/artifacts/1/{trial['trial_id']}/{file['artifact_id']}"
            status, headers, body = server.get(path)
            assert status == "200 OK" and headers["Content-Type"] == file["mimetype"]
            assert file["filename"].endswith((".png", ".csv"))
            begin = b"\x89PNG" if file["mimetype"] == "image/png" else b"what,step,value\n"
            assert body.startswith(begin)
    n_files = {len(trial["artifacts"]) for trial in seen["trials"]}
    assert n_files == ({0} if kind == "function" else {2})
    assert "**trials:** 3 complete" in seen["note"]["body"]
    figures = seen["plotly_graph_objects"]
    assert 1 <= len(figures) <= 4 and figures[0]["id"] == "tuning-course"
    assert all(len(figure["graph_object"]) < 50_000 for figure in figures)
    (path,) = write_report(study_report(stored), tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    assert len(check_page(text)) >= 1 and path.stat().st_size < 2_000_000
    assert "How to repeat it" in text and "What it cost" in text
    path, *pictures = write_report(study_report(stored), tmp_path / "r.md")
    named = re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert named == [picture.name for picture in pictures] and named
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_a_note_has_the_rule_the_seeds_the_reason_and_the_kin(storage: Any) -> None:
    sampler = {"name": "ga", "population_size": 3, "n_generations": 3}
    study_of(storage, n_trials=9, sampler=sampler)
    seen = Server(storage).study()
    notes = [trial["note"]["body"] for trial in seen["trials"]]
    assert all("w ← w" in note for note in notes)
    values = seen["trials"][0]["user_attrs"]
    (accuracies,) = (json.loads(a["value"]) for a in values if a["key"] == "accuracies")
    for accuracy in accuracies["two_moons"]:
        assert f"{accuracy:.4f}" in notes[0]
    assert "Generation 0, slot 0 of 3; drawn at random" in notes[0]
    child = next(note for note in notes if "bred from" in note)
    parent = int(re.findall(r"numbers=(\d+)", child)[0])
    number = notes.index(child)
    assert "children:" in notes[parent] and f"numbers={number})" in notes[parent]
    best = seen["best_trials"][0]["number"]
    assert [n for n, note in enumerate(notes) if "the best of the study" in note] == [best]
    assert "ms to propose it" in notes[0]


def test_the_table_of_a_trial_holds_what_it_reported_and_its_losses(storage: Any) -> None:
    stored = study_of(storage, "accuracy")
    trial = stored.study.trials[1]
    server = Server(storage)
    files = {f["mimetype"]: f["artifact_id"] for f in server.study()["trials"][1]["artifacts"]}
    _, _, body = server.get(f"/artifacts/1/{trial._trial_id}/{files['text/csv']}")
    rows = [*csv.DictReader(io.StringIO(body.decode()))]
    reported = {int(r["step"]): float(r["value"]) for r in rows if r["what"] == "reported"}
    assert reported == trial.intermediate_values
    losses = [float(r["value"]) for r in rows if r["what"].startswith("training loss")]
    (stored_losses,) = LOSS_CURVE.read(trial.system_attrs)["losses"]["two_moons"]
    assert losses == stored_losses and len(losses) == 6
    assert sum(losses[-6:]) / 6 == pytest.approx(trial.user_attrs["train_loss"], rel=1e-3)


def test_an_equal_trial_shows_the_losses_of_the_one_that_trained(storage: Any) -> None:
    stored = study_of(storage, "accuracy", n_trials=1)
    stored.study.enqueue_trial(stored.study.trials[0].params)
    longer = create_study(spec_of("accuracy", n_trials=2), storage, exist_ok=True, may_extend=True)
    run_study(longer, device="cpu")
    server = Server(storage)
    note, files = (server.study()["trials"][1][key] for key in ("note", "artifacts"))
    assert "trained the same as [trial 0]" in note["body"] and "enqueued" in note["body"]
    texts = [
        server.get(f"/artifacts/1/{t._trial_id}/{files[1]['artifact_id']}")[2]
        for t in longer.study.trials
    ]
    assert texts[0] == texts[1]


def test_pages_follow_the_study_and_figures_wait_for_a_generation(storage: Any) -> None:
    sampler = {"name": "ga", "population_size": 3, "n_generations": 3}
    stored = create_study(spec_of("fitness", n_trials=9, sampler=sampler), storage)
    pages = DashboardPages(storage, lambda name: load_study(name, storage, to_run=False))
    empty = {"version": 0, "body": ""}
    answer = {"note": empty, "plotly_graph_objects": [], "trials": [], "best_trials": []}
    seen = [pages.complete(1, answer)]
    for _ in range(9):
        run_study(stored, n_more=1, device="cpu")
        seen.append(pages.complete(1, answer))
    assert "No trial is complete yet" in seen[0]["note"]["body"]
    assert all(f"{n} complete" in each["note"]["body"] for n, each in enumerate(seen) if n)
    figures = [json.dumps(each["plotly_graph_objects"]) for each in seen]
    drawn = [n for n in range(1, 10) if figures[n] != figures[n - 1]]
    assert figures[0] == "[]" and drawn == [1, 4, 7, 9]  # then after a generation, at the end


def test_only_new_trials_are_sent_again(storage: Any) -> None:
    study_of(storage)
    server = Server(storage)
    server.study()
    assert [t["number"] for t in server.study(after=2)["trials"]] == [2]


def test_a_search_writes_no_note_and_no_file_of_a_trial(storage: Any, tmp_path: Path) -> None:
    stored = study_of(storage)
    before = stored.study._storage.get_study_system_attrs(stored.study._study_id)
    Server(storage).study()
    assert stored.study._storage.get_study_system_attrs(stored.study._study_id) == before
    assert not any(key.startswith("dashboard:") for key in before)
    assert not (tmp_path / "a.artifacts").exists()


def test_what_a_user_writes_goes_before(storage: Any) -> None:
    stored = study_of(storage)
    study = stored.study
    show_in_dashboard(stored)
    ours = get_note(study)
    assert "**trials:** 3 complete" in ours
    trial_id = study.trials[1]._trial_id
    save_note(study, "My own words.")
    save_note_with_version(study._storage, study._study_id, trial_id, 1, "Mine too.")
    show_in_dashboard(stored)
    assert get_note(study) == "My own words."
    seen = Server(storage).study()
    assert seen["note"]["body"] == "My own words."
    assert [t["note"]["body"] == "Mine too." for t in seen["trials"]] == [False, True, False]
    save_note(study, "")
    show_in_dashboard(stored)
    assert get_note(study) == ours


def test_a_note_of_an_earlier_version_is_replaced(storage: Any) -> None:
    stored = study_of(storage)
    save_note(stored.study, "Best: trial 1, value 0.5000\n\n```\nw ← w\n```")
    assert "**trials:** 3 complete" in Server(storage).study()["note"]["body"]
    show_in_dashboard(stored)
    assert "**trials:** 3 complete" in get_note(stored.study)


def test_stored_figures_are_at_most_four_and_those_of_users_stay(storage: Any) -> None:
    from optuna_dashboard import save_plotly_graph_object
    from plotly.graph_objects import Figure

    stored = study_of(storage)
    save_plotly_graph_object(stored.study, Figure(), graph_object_id="mine")
    show_in_dashboard(stored)
    keys = stored.study._storage.get_study_system_attrs(stored.study._study_id)
    stored_ids = {key.split(":")[2] for key in keys if key.startswith("dashboard:plot_data:")}
    assert "mine" in stored_ids and 2 <= len(stored_ids) <= 5
    served = [figure["id"] for figure in Server(storage).study()["plotly_graph_objects"]]
    assert served[-1] == "mine" and set(served) == stored_ids


def test_a_copy_has_the_same_pages(storage: Any) -> None:
    study_of(storage)
    copy_study("fitness", "again", storage)
    server = Server(storage)
    first, second = server.study(1), server.study(2)

    def texts(seen: dict[str, Any]) -> list[str]:
        shift = seen["trials"][0]["trial_id"] - 1
        notes = [trial["note"]["body"] for trial in seen["trials"]]
        return [
            re.sub(r"/artifacts/\d+/(\d+)", lambda m: f"/{int(m[1]) - shift}", note).replace(
                "/studies/2/", "/studies/1/"
            )
            for note in notes
        ]

    assert texts(first) == texts(second) and "![course of trial" in texts(second)[0]
    file = second["trials"][0]["artifacts"][0]["artifact_id"]
    assert server.get(f"/artifacts/2/{second['trials'][0]['trial_id']}/{file}")[0] == "200 OK"
    assert server.get(f"/artifacts/2/1/{file}")[0].startswith("404")


def test_a_study_that_is_deleted_and_made_again_has_no_old_notes(storage: Any) -> None:
    study_of(storage)
    server = Server(storage)
    first = server.study()["trials"][1]["note"]["body"]
    optuna.delete_study(study_name="fitness", storage=storage)
    study_of(storage, seed=3)
    second = server.study(1)["trials"][1]["note"]["body"]
    assert second.split("```")[1] != first.split("```")[1]


def test_studies_of_others_and_damaged_ones_are_shown_as_the_dashboard_has_them(
    storage: Any,
) -> None:
    optuna.create_study(study_name="plain", storage=storage).optimize(lambda t: 1.0, n_trials=1)
    stored = study_of(storage)
    stored.study.set_user_attr(JUDGEMENT.key, 3)
    server = Server(storage)
    assert server.study(1)["trials"][0]["note"]["body"] == ""
    assert server.study(1)["trials"][0]["artifacts"] == []
    assert "w ← w" in server.study(2)["note"]["body"]  # without the judgement
    stored.study.set_user_attr("optuna_evo:spec", {"name": 7})
    assert server.study(2)["note"]["body"] == ""
    assert server.get("/api/studies/77")[0].startswith("404")


def test_a_damaged_trial_does_not_hide_the_others(storage: Any) -> None:
    stored = study_of(storage)
    study = stored.study
    for attrs in ({"accuracies": {"a": 3}}, {"accuracies": {"a": ["x"]}}, {"accuracy_a": "x"}):
        study._storage.create_new_trial(
            study._study_id,
            optuna.trial.create_trial(
                value=0.1,
                user_attrs=attrs,
                system_attrs={LOSS_CURVE.key: {"losses": {"a": [[]]}}, "GASampler:ticket": 7},
            ),
        )
    seen = Server(storage).study()
    notes = [trial["note"]["body"] for trial in seen["trials"]]
    assert all("w ← w" in note for note in notes[:3]) and all(notes[3:])
    assert "is none that we wrote" in notes[3] and "is none that we wrote" in notes[4]


def test_code_of_a_stored_spec_is_not_run_for_a_look(storage: Any) -> None:
    study_of(storage, "own")
    seen = Server(storage).study()
    note = seen["trials"][0]["note"]["body"]
    assert f"{seen['trials'][0]['params'][0]['param_external_value']}"[:6] in note
    report = study_report(load_study("own", storage, to_run=False))
    assert report.summary.best is not None and report.summary.equation == ""


def test_failed_pruned_and_running_trials_have_notes(storage: Any) -> None:
    stored = study_of(storage, "accuracy")
    study = stored.study
    study._storage.create_new_trial(study._study_id)
    study._storage.create_new_trial(
        study._study_id,
        optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={1: float("nan")}),
    )
    study._storage.create_new_trial(
        study._study_id,
        optuna.trial.create_trial(
            state=TrialState.FAIL, user_attrs={"optuna_evo:error": f"Boom {HOSTILE}"}
        ),
    )
    notes = [trial["note"]["body"] for trial in Server(storage).study()["trials"]]
    assert "running" in notes[3] and "pruned" in notes[4] and "fail" in notes[5]
    assert "### Why it failed" in notes[5]
    assert study_report(stored).cost.n_failed == 1


def test_nothing_of_a_user_is_markup_in_a_note_or_a_report(storage: Any, tmp_path: Path) -> None:
    stored = study_of(storage, name=f"a {HOSTILE}", n_trials=4)
    study = stored.study
    study._storage.create_new_trial(
        study._study_id,
        optuna.trial.create_trial(
            value=9.0,
            params={HOSTILE: "x", f"{HOSTILE} 2": HOSTILE},
            distributions={
                name: optuna.distributions.CategoricalDistribution(["x", HOSTILE])
                for name in (HOSTILE, f"{HOSTILE} 2")
            },
            user_attrs={
                "accuracies": {HOSTILE: [0.5]},
                f"accuracy_{HOSTILE}": 0.5,
                "optuna_evo:proposed_by": HOSTILE,
                "optuna_evo:error": HOSTILE,
            },
            system_attrs={LOSS_CURVE.key: {"steps": 4, "losses": {HOSTILE: [[1.0, 0.5]]}}},
            intermediate_values={1: 0.5},
        ),
    )
    note_run(stored, ["optuna_evo", HOSTILE, "--storage", "postgresql://me:hidden@host/db"])
    (path,) = write_report(study_report(stored), tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    pictures = check_page(text)
    assert "<script" not in text and "hidden" not in text
    assert b"<script" not in b"".join(pictures)
    seen = Server(storage).study()
    markdown = [seen["note"]["body"], *(trial["note"]["body"] for trial in seen["trials"])]
    written, *_ = write_report(study_report(stored), tmp_path / "r.md")
    for text in [*markdown, written.read_text(encoding="utf-8")]:
        # blocks of code show it as it is
        outside = re.sub(r"(?ms)^(`{3,})[^\n]*\n.*?^\1$", "", text)
        assert not re.search(r"<[a-zA-Z/!]", outside), outside
        assert not re.search(r"(?<!\\)\]\(javascript", outside)
    for figure in seen["plotly_graph_objects"]:
        assert "<script" not in figure["graph_object"] and "<img" not in figure["graph_object"]


def test_runs_are_written_once_without_passwords(storage: Any) -> None:
    stored = create_study(spec_of("fitness"), storage)
    words = ["optuna_evo", "study", "run", "a b", "--storage", "mysql+pymysql://u:pw@h/d"]
    note_run(stored, words)
    note_run(stored, words)
    (run,) = RUNS.read(stored.study.user_attrs)
    assert run["command"] == "optuna_evo study run 'a b' --storage 'mysql+pymysql://u:***@h/d'"
    assert "optuna 5" in run["versions"] and re.match(r"\d{4}-\d\d-\d\d", run["date"])
    for k in range(30):
        note_run(stored, ["optuna_evo", str(k)])
    found = RUNS.read(stored.study.user_attrs)
    assert len(found) == 20 and found[-1]["command"] == "optuna_evo 29"


def test_the_report_says_how_to_repeat_the_study(storage: Any, tmp_path: Path) -> None:
    import tomllib

    from optuna_evo.spec import StudySpec

    stored = study_of(storage)
    repeat = study_report(stored).repeat
    spec = StudySpec.from_dict(tomllib.loads(repeat.spec))
    assert spec == stored.spec and repeat.file == "fitness.toml"
    again = create_study(spec, open_storage(f"sqlite:///{tmp_path / 'b.db'}"))
    run_study(again, device="cpu")
    values = [[t.value for t in each.study.trials] for each in (stored, again)]
    assert values[0] == values[1]


def test_the_same_study_gives_the_same_pictures(storage: Any, tmp_path: Path) -> None:
    stored = study_of(storage)
    texts = []
    for name in ("a.html", "b.html"):
        (path,) = write_report(study_report(stored), tmp_path / name)
        texts.append(check_page(path.read_text(encoding="utf-8")))
    assert texts[0] == texts[1]

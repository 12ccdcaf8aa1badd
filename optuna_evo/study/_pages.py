"""What optuna-dashboard shows of our studies, made when somebody looks.

Optuna-dashboard keeps notes among the attributes of a study, which samplers may read with every
ask, and goes through all of them for every trial that it answers about. With a note of 800
characters for each of 2,000 trials its answer takes ten times as long (0.6 s and 5.8 s, see
studies/LOG.md), and 20,000 would take minutes. So notes of trials, their pictures and tables are
not stored. They are made from the trials when a page is opened: that costs a search nothing, is
there for studies of any age, and cannot be out of date, lost in a copy or left behind by a
deletion. What users write themselves goes before.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import threading
from typing import Any
from typing import NamedTuple

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optuna_evo.attributes import JUDGEMENT
from optuna_evo.attributes import NOTE
from optuna_evo.attributes import SPEC
from optuna_evo.reports import best_trials
from optuna_evo.reports import children_of
from optuna_evo.reports import curves_csv
from optuna_evo.reports import curves_of
from optuna_evo.reports import curves_picture
from optuna_evo.reports import has_curves
from optuna_evo.reports import trial_note
from optuna_evo.reports import TrialCurves
from optuna_evo.reports import TrialPlace
from optuna_evo.study._dashboard import is_own_note
from optuna_evo.study._dashboard import page_note
from optuna_evo.study._figures import CONTROLLER_ID
from optuna_evo.study._figures import FIGURE_IDS
from optuna_evo.study._figures import study_figures
from optuna_evo.study._reporting import space_of
from optuna_evo.study._stored import StoredStudy


__all__ = ["Artifact", "DashboardPages"]

# Ids of artifacts as the dashboard wants them; real ones are random UUIDs.
_PICTURE_ID = "00000000-0000-4000-8000-0000000000a1"
_TABLE_ID = "00000000-0000-4000-8000-0000000000a2"
# What a value raises that anybody may have written into the database.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_GENERATION = 10  # trials between two drawings of figures, where a sampler has no generations


class Artifact(NamedTuple):
    """A file of a trial: its name, its type, its bytes."""

    filename: str
    mimetype: str
    content: bytes


class DashboardPages:
    """Adds to what the dashboard answers about a study what we know of it.

    Args:
        storage: The database.
        load: Loads a study of ours by its name, or raises.

    Example:
        >>> pages = DashboardPages(storage, lambda name: load_study(name, storage, to_run=False))
        >>> pages.complete(1, answer_of_the_dashboard)
    """

    def __init__(self, storage: BaseStorage, load: Callable[[str], StoredStudy]) -> None:
        self._storage = storage
        self._load = load
        self._pages: dict[int, _Page] = {}
        self._lock = threading.RLock()  # the server answers in threads

    def complete(self, study_id: int, detail: Mapping[str, Any]) -> dict[str, Any]:
        """Return the dashboard's answer about a study, with notes, artifacts and figures.

        Args:
            study_id: The study.
            detail: What `GET /api/studies/ID` answers; it is not changed.
        """
        with self._lock:
            page = self._page(study_id)
            if page is None:
                return dict(detail)
            page.look()
            return {
                **detail,
                "note": page.study_note(detail["note"]),
                "plotly_graph_objects": page.figures(detail["plotly_graph_objects"]),
                "trials": [page.trial(each) for each in detail["trials"]],
                "best_trials": [page.trial(each) for each in detail["best_trials"]],
            }

    def artifact(self, study_id: int, trial_id: int, artifact_id: str) -> Artifact | None:
        """Return a file that is made when it is asked for; None if there is no such file."""
        if artifact_id not in (_PICTURE_ID, _TABLE_ID):
            return None
        with self._lock:
            page = self._page(study_id)
            curves = None if page is None else page.curves(trial_id)
        if curves is None:
            return None
        picture, table = _files(curves.number)
        if artifact_id == _PICTURE_ID:
            return Artifact(picture["filename"], picture["mimetype"], curves_picture(curves))
        return Artifact(table["filename"], table["mimetype"], curves_csv(curves).encode())

    def _page(self, study_id: int) -> "_Page | None":
        name = self._storage.get_study_name_from_id(study_id)
        attrs = self._storage.get_study_user_attrs(study_id)
        if not SPEC.is_in(attrs):
            return None
        seen = (name, SPEC.read(attrs))
        page = self._pages.get(study_id)
        if page is None or page.seen != seen:
            page = self._pages[study_id] = _Page(study_id, self._load(name), seen)
        return page


class _Page:
    """One study, as far as it is known by now."""

    def __init__(self, study_id: int, stored: StoredStudy, seen: object) -> None:
        self.seen = seen
        self._study_id = study_id
        self._stored = stored
        self._configure = _remembering(space_of(stored))
        self._trials: list[FrozenTrial] = []
        self._children: dict[int, list[int]] = {}
        self._best = -1
        self._notes: dict[int, tuple[object, str, bool]] = {}
        self._figures: dict[str, str] = {}
        self._drawn_at = -1
        self._note = ""
        self._note_of: object = None

    def look(self) -> None:
        """Read the trials that are there now."""
        self._trials = self._stored.study.get_trials(deepcopy=False)
        self._children = children_of(self._trials)
        best = best_trials(self._stored.study, 1)
        self._best = best[0].number if best else -1

    def study_note(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the note of the study: the user's, or what there is to say by now."""
        attrs = self._stored.study.user_attrs
        if stored["body"] and not is_own_note(stored["body"], NOTE.read(attrs)):
            return dict(stored)
        known = (self._n_ended(), len(self._trials), repr(JUDGEMENT.read(attrs)))
        if known != self._note_of:
            self._note, self._note_of = page_note(self._stored, self._configure), known
        return {**stored, "body": self._note}

    def figures(self, stored: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the user's figures behind ours, which are drawn at most once a generation."""
        n_ended = self._n_ended()
        sampler = self._stored.spec.sampler.options
        every = int(sampler.get("population_size") or _GENERATION)
        is_over = n_ended >= self._stored.spec.n_trials
        # what meta-trained controllers do takes a training: it is drawn when a run ends
        kept = [each for each in stored if each["id"] == CONTROLLER_ID]
        is_due = not self._figures or n_ended - self._drawn_at >= every
        if n_ended != self._drawn_at and (is_due or is_over):
            self._drawn_at = n_ended
            with contextlib.suppress(*_DAMAGED):
                found = study_figures(self._stored, self._configure, room=4 - len(kept))
                self._figures = {name: figure.to_json() for name, figure in found.items()}
        ours = [{"id": name, "graph_object": text} for name, text in self._figures.items()]
        return [*ours, *kept, *(each for each in stored if each["id"] not in FIGURE_IDS)]

    def trial(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the dashboard answers about a trial, with its note and its files."""
        number = answer["number"]
        if number >= len(self._trials):  # made since we looked
            return dict(answer)
        text, has_files = self._note_and_files(self._trials[number])
        files = _files(number) if has_files else []
        note = answer["note"]
        return {
            **answer,
            "note": note if note["body"] else {**note, "body": text},
            "artifacts": [*files, *answer["artifacts"]],
        }

    def curves(self, trial_id: int) -> TrialCurves | None:
        """Return the course of a trial; None if there is nothing to draw."""
        self.look()
        trial = next((t for t in self._trials if t._trial_id == trial_id), None)
        if trial is None or not _has_curves(trial, self._trials):
            return None
        return curves_of(trial, self._trials)

    def _note_and_files(self, trial: FrozenTrial) -> tuple[str, bool]:
        number = trial.number
        children = self._children.get(number, [])
        ended = trial.datetime_complete if trial.state.is_finished() else object()
        key = (ended, len(children), number == self._best)
        known = self._notes.get(number)
        if known is None or known[0] != key:
            has_files = _has_curves(trial, self._trials)
            address = f"/artifacts/{self._study_id}/{trial._trial_id}/{_PICTURE_ID}"
            place = TrialPlace(
                page=f"/dashboard/studies/{self._study_id}/trials?numbers=",
                is_best=number == self._best,
                children=children,
                picture=address if has_files else "",
            )
            known = self._notes[number] = (key, self._described(trial, place), has_files)
        return known[1], known[2]

    def _described(self, trial: FrozenTrial, place: TrialPlace) -> str:
        """Return a trial's note; one that somebody has damaged does not hide the others."""
        try:
            config = self._configure(trial) if trial.params else None
            return trial_note(trial, config, place)
        except _DAMAGED as error:
            return f"A value in this trial is none that we wrote ({type(error).__name__})."

    def _n_ended(self) -> int:
        return sum(trial.state.is_finished() for trial in self._trials)


def _has_curves(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    with contextlib.suppress(*_DAMAGED):
        return has_curves(trial, trials)
    return False


def _remembering(configure: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a search space that rebuilds what a finished trial trained with once."""
    known: dict[object, Any] = {}

    def find(trial: FrozenTrial) -> Any:
        if not trial.state.is_finished():
            return configure(trial)
        key = (trial.number, trial.datetime_complete)
        if key not in known:
            known[key] = configure(trial)
        return known[key]

    return find


def _files(number: int) -> list[dict[str, Any]]:
    return [
        {
            "artifact_id": artifact_id,
            "filename": f"trial_{number}.{ending}",
            "mimetype": mimetype,
            "encoding": None,
        }
        for artifact_id, ending, mimetype in (
            (_PICTURE_ID, "png", "image/png"),
            (_TABLE_ID, "csv", "text/csv"),
        )
    ]

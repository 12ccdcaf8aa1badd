"""The dashboard's application with our pages: notes, files and figures made when asked for."""

from collections.abc import Callable
from collections.abc import Iterable
import json
import logging
import re
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_evo.study import DashboardPages

__all__ = ["App", "with_pages"]

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_DETAIL = re.compile(r"/api/studies/(\d+)/?")
_FILE = re.compile(r"/artifacts/(\d+)/(\d+)/([0-9a-fA-F-]+)/?")
_logger = logging.getLogger(__name__)


def with_pages(app: App, pages: "DashboardPages") -> App:
    """Return the dashboard's application with what we know of our studies.

    Whatever goes wrong with a page of ours, the dashboard's own answer is given.

    Args:
        app: The application of optuna-dashboard.
        pages: What is added to its answers.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") != "GET":
            return app(environ, start_response)
        if file := _FILE.fullmatch(path):
            study_id, trial_id, artifact_id = int(file[1]), int(file[2]), file[3].lower()
            found = _tried(lambda: pages.artifact(study_id, trial_id, artifact_id))
            if found is not None:
                headers = [
                    ("Content-Type", found.mimetype),
                    ("Content-Length", str(len(found.content))),
                    ("X-Content-Type-Options", "nosniff"),
                    ("Content-Disposition", f'inline; filename="{found.filename}"'),
                ]
                start_response("200 OK", headers)
                return [found.content]
        elif match := _DETAIL.fullmatch(path):
            return _completed(int(match[1]), app, pages, environ, start_response)
        return app(environ, start_response)

    return answer


def _completed(
    study_id: int,
    app: App,
    pages: "DashboardPages",
    environ: dict[str, Any],
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    said: list[Any] = []

    def keep(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        said[:] = [status, headers]

    parts = app(environ, keep)
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    status, headers = said
    if status.startswith("200"):
        more = _tried(lambda: _dumped(pages.complete(study_id, json.loads(body))))
        body = body if more is None else more
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*kept, ("Content-Length", str(len(body)))])
    return [body]


def _dumped(answer: dict[str, Any]) -> bytes:
    """Return an answer as JSON: of 2,000 trials it is 14 MB, so without what nobody needs."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _tried(make: Callable[[], Any]) -> Any:
    """Return what is made; None, with a line in the log, if that fails."""
    try:
        return make()
    except Exception as error:  # a damaged study, a space that cannot be built
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        _logger.warning("A page is shown as the dashboard has it (%s).", reason[:300])
        return None

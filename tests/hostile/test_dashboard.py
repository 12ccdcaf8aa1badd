"""The dashboard answers this machine's browser and nobody who only pretends to be at home."""

from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from optuna_evo.cli._dashboard import guarded
from tests.hostile.test_names import call


def status_of(host: str | None, *names: str, origin: str | None = None) -> str:
    """Return the status that a request gets; "200 OK" where it reaches the application."""
    said: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"studies"]

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ.pop("HTTP_HOST")
    environ |= {} if host is None else {"HTTP_HOST": host}
    environ |= {} if origin is None else {"HTTP_ORIGIN": origin}
    body = b"".join(guarded(app, names)(environ, lambda status, headers: said.append(status)))
    assert (body == b"studies") == (said == ["200 OK"])
    return said[0]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST:1",
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.168.1.5:80",
        "gpu7.example.org:8080",
        "gpu7.example.org.",
    ],
)
def test_a_request_to_this_machine_is_answered(host: str) -> None:
    assert status_of(host, "0.0.0.0", "GPU7.example.org") == "200 OK"
    assert status_of(host, "gpu7.example.org", origin=f"http://{host}") == "200 OK"


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80@localhost",
        "[evil.example]",
        "x\r\nlocalhost",
        "2130706433x",
        "\x1b[31m",
        "ü",
        "[" * 500,
    ],
)
def test_a_request_by_a_foreign_name_is_refused(host: str | None) -> None:
    assert status_of(host, "127.0.0.1").startswith("421")
    origin = f"http://{host}"
    assert status_of("localhost:8080", "127.0.0.1", origin=origin).startswith("421")


def test_a_page_of_another_site_gets_no_answer() -> None:
    for origin in ("null", "https://evil.example", "http://evil.example:8080", "file://"):
        assert status_of("localhost:8080", origin=origin).startswith("421")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "nowhere.invalid", "1.2.3.4"])
def test_an_address_for_all_is_warned_about_and_a_wrong_one_refused(
    host: str, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsgiref.simple_server import WSGIServer

    from optuna_evo.search import open_storage

    monkeypatch.setattr(WSGIServer, "serve_forever", lambda self: None)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    open_storage(url)
    code, out, err = call(capsys, "dashboard", "--storage", url, "--host", host, "--port", "18473")
    if host in ("0.0.0.0", "::"):
        assert code == 0 and "Warning: the dashboard has no log-in" in err, err
    else:
        assert code == 2 and "Cannot serve on" in err
    code, out, err = call(capsys, "dashboard", "--storage", url, "--port", "18473")
    assert code == 0 and err == "" and "http://127.0.0.1:18473" in out

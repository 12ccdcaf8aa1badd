"""`optuna_evo dashboard`: optuna-dashboard, for this machine's browser only unless told.

The dashboard has no log-in: whoever reaches it can read and delete studies. A web page cannot
reach it by its address, for browsers ask first. But its name can be made to point to this machine
(DNS rebinding): then the browser sends that name as `Host`. So only names that are ours are
answered.
"""

from collections.abc import Callable
from collections.abc import Iterable
import ipaddress
import socket
from socketserver import ThreadingMixIn
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_evo.cli._allow import allow_import_option
from optuna_evo.cli._options import open_database
from optuna_evo.cli._options import storage_option
from optuna_evo.cli._pages import App
from optuna_evo.cli._pages import with_pages
from optuna_evo.cli._stored import load_stored
from optuna_evo.names import printable


if TYPE_CHECKING:
    from optuna_evo.study import StoredStudy

__all__ = ["dashboard", "guarded"]

_REFUSED = "421 Misdirected Request"


@click.command()
@storage_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to serve on.",
)
@click.option(
    "--allow-host",
    "names",
    metavar="NAME",
    multiple=True,
    help="Answer a browser that calls this machine so, as behind a proxy. May be repeated.",
)
@click.option(
    "--artifacts",
    metavar="PLACE",
    envvar="OPTUNA_EVO_ARTIFACTS",
    help="Where files of trials lie that were uploaded: a folder, or s3://bucket. "
    "[env: OPTUNA_EVO_ARTIFACTS; default: a folder beside the database, studies.artifacts]",
)
@allow_import_option
def dashboard(
    storage: str | None, host: str, port: int, names: tuple[str, ...], artifacts: str | None
) -> None:
    """Show the database in optuna-dashboard.

    Every trial of our studies has a note (its rule, tables by task and seed, why it was proposed,
    from whom and for whom), the picture of its course, and that as CSV; every study a note and up
    to four figures. They are made when you look, also of old studies; a note of your own stays.

    It has no log-in: keep it on this machine. Only requests to localhost, to an address, or to a
    name of --host or --allow-host are answered.

    \b
    Examples:
      optuna_evo dashboard --storage sqlite:///studies.db --port 8081
      optuna_evo dashboard --host 0.0.0.0 --allow-host gpu7.example.org
    """
    from wsgiref.simple_server import make_server
    from wsgiref.simple_server import WSGIServer

    from optuna_dashboard import wsgi

    from optuna_evo.search import open_artifacts
    from optuna_evo.study import DashboardPages

    class Server(ThreadingMixIn, WSGIServer):  # a picture is drawn while the page goes on
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    opened = open_database(storage)
    context = click.get_current_context()

    def load(name: str) -> "StoredStudy":
        with context.scope(cleanup=False):  # a thread of the server has none of its own
            return load_stored(name, storage, opened=opened)

    pages = DashboardPages(opened, load)
    paged = with_pages(wsgi(opened, open_artifacts(opened, artifacts)), pages)
    app = guarded(paged, (host, *names))
    try:
        server = make_server(host, port, app, server_class=Server)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"Cannot serve on {host}, port {port}: {reason}.") from error
    shown = f"[{host}]" if ":" in host else host
    if not _is_loopback(host):
        click.echo(
            f"Warning: the dashboard has no log-in: whoever reaches {printable(shown)}:{port} can "
            "read, change and delete these studies. Leave out --host, and come by "
            f"`ssh -L {port}:localhost:{port}`.",
            err=True,
        )
    click.echo(f"optuna-dashboard on http://{printable(shown)}:{port}, Ctrl+C ends it")
    with server:
        server.serve_forever()


def guarded(app: App, names: Iterable[str]) -> App:
    """Return an application that answers requests to ourselves only.

    Args:
        app: The application.
        names: What this machine is called, beside localhost and its addresses.
    """
    known = {"localhost", *(name.lower().strip("[].") for name in names)}

    def is_known(host: str) -> bool:
        name = _name_in(host)
        return name in known or _is_address(name)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if is_known(host) and (origin is None or is_known(origin.partition("://")[2])):
            return app(environ, start_response)
        refused = host if not is_known(host) else origin or ""
        text = (
            f"This dashboard answers localhost only, not {printable(refused)[:200]!r}: start it "
            "with --allow-host NAME if that is yours.\n"
        ).encode("utf-8", errors="replace")
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
        ]
        start_response(_REFUSED, headers)
        return [text]

    return answer


def _name_in(host: str) -> str:
    """Return the name in "name:port" or "[address]:port"."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    """Tell whether a name is an address: that nobody else can make point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)

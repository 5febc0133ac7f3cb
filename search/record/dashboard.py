"""optuna-dashboard on a run's study, for this machine only, and to look at alone.

optuna-dashboard asks nobody who they are, and deletes studies for whoever posts to it: any page in
a browser on this machine can. So it is given a study that cannot be written, and hears nothing but
questions that were put to this machine by its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore

from covertune.search.errors import SearchError
from covertune.search.record.compat import storage_of
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import open_study
from covertune.wording import reason_of

__all__ = ["make_dashboard"]

_METHODS = ("GET", "HEAD")


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a request is no news."""


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def _to_look_at(application: Callable[..., Iterable[bytes]], host: str) -> Any:
    """Return an application that answers questions only, put by the name of this machine.

    A foreign name in `Host` is a page whose own name was made to point here (DNS rebinding).
    """
    names = {host, "localhost", "127.0.0.1", "::1"}

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def refuse(status: str, why: str, *headers: tuple[str, str]) -> Iterable[bytes]:
            start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
            return [f"{why}\n".encode()]

        if _name_in(environ.get("HTTP_HOST", "")) not in names:
            return refuse("403 Forbidden", "ask for localhost, or 127.0.0.1")
        if environ["REQUEST_METHOD"] not in _METHODS:
            why = "the dashboard only shows; `covertune` changes runs"
            return refuse("405 Method Not Allowed", why, ("Allow", ", ".join(_METHODS)))
        return application(environ, start_response)

    return guarded


def _name_in(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def make_dashboard(run: RunFolder, host: str, port: int, *, url: str | None = None) -> WSGIServer:
    """Make a server ready for `serve_forever`.

    Args:
        run: Its study and its artifacts are shown; a search may go on meanwhile.
        host: Address to listen on.
        port: Port; 0 for any free one.
        url: Of its storage; None: what the run was started with.

    Raises:
        SearchError: The port cannot be used.
        RunError: The run has no study.
    """
    from optuna_dashboard import wsgi

    study = open_study(run, url=url)
    shown = wsgi(storage_of(study), FileSystemArtifactStore(run.artifacts))
    application = _to_look_at(shown, host)
    try:
        return make_server(
            host, port, application, server_class=_ThreadingServer, handler_class=_QuietHandler
        )
    except OSError as error:
        raise SearchError(
            f"cannot listen on {host}:{port}: {reason_of(error)}; choose another --port"
        ) from error

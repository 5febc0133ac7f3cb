"""optuna-dashboard on a run's study, for this machine only."""

from __future__ import annotations

from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore

from covertune.search.errors import SearchError
from covertune.search.record.compat import storage_of
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import open_study
from covertune.wording import reason_of

__all__ = ["make_dashboard"]


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a request is no news."""


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def make_dashboard(run: RunFolder, host: str, port: int) -> WSGIServer:
    """Make a server ready for `serve_forever`.

    Args:
        run: Its study and its artifacts are shown; the study may be written meanwhile.
        host: Address to listen on.
        port: Port; 0 for any free one.

    Raises:
        SearchError: The port cannot be used.
        RunError: The run has no study.
    """
    from optuna_dashboard import wsgi

    study = open_study(run)
    application = wsgi(storage_of(study), FileSystemArtifactStore(run.artifacts))
    try:
        return make_server(
            host, port, application, server_class=_ThreadingServer, handler_class=_QuietHandler
        )
    except OSError as error:
        raise SearchError(
            f"cannot listen on {host}:{port}: {reason_of(error)}; choose another --port"
        ) from error

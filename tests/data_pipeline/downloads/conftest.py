"""A real server on this machine that answers as servers do, well and badly."""

import email.utils
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

STALL_S = 6.0


class Server(ThreadingHTTPServer):
    """Counts requests by path; `/NAME/NUMBER` answers in the way of that name."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, make_cover):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.make_cover = make_cover
        self.lock = threading.Lock()
        self.requests = Counter()
        self.times = {}
        self.at_once = self.most_at_once = 0
        self.stopped = threading.Event()
        self.elsewhere = ""

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def cover(self, number):
        return self.make_cover(number)

    def handle_error(self, request, client_address):
        """Clients hang up; that is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, path = self.server, urlsplit(self.path).path.strip("/")
        with server.lock:
            server.requests[path] += 1
            asked = server.requests[path]
            server.times.setdefault(path, []).append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            kind, _, number = path.partition("/")
            getattr(self, f"_{kind}")(int(number or 0), asked)
        finally:
            with server.lock:
                server.at_once -= 1

    def _send(self, body, status=200, kind="image/jpeg", length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _ok(self, number, asked):
        self._send(self.server.cover(number))

    def _slow(self, number, asked):
        time.sleep(0.05)
        self._ok(number, asked)

    def _plain(self, number, asked):
        self._send(self.server.cover(number), kind="text/plain")

    def _page(self, number, asked):
        self._send(b"\r\n<!DOCTYPE html><html><body>Robot?</body></html>", kind="image/jpeg")

    def _text(self, number, asked):
        self._send(b"no cover", kind="text/plain")

    def _empty(self, number, asked):
        self._send(b"")

    def _status(self, number, asked):
        self._send(b"sorry", number, "text/plain")

    def _busy(self, number, asked):
        """429 with Retry-After in seconds, then well."""
        if asked == 1:
            self._send(b"", 429, Retry_After="1")
        else:
            self._ok(number, asked)

    def _later(self, number, asked):
        """503 with Retry-After as a date far away, then well."""
        if asked == 1:
            self._send(b"", 503, Retry_After=email.utils.formatdate(time.time() + 900, usegmt=True))
        else:
            self._ok(number, asked)

    def _whenever(self, number, asked):
        if asked == 1:
            self._send(b"", 503, Retry_After="in a while")
        else:
            self._ok(number, asked)

    def _recovers(self, number, asked):
        self._send(b"", 500) if asked < 3 else self._ok(number, asked)

    def _moved(self, number, asked):
        self._send(b"", 302, Location=f"/ok/{number}")

    def _loop(self, number, asked):
        self._send(b"", 301, Location="/loop/0")

    def _away(self, number, asked):
        self._send(b"", 302, Location=self.server.elsewhere)

    def _file(self, number, asked):
        self._send(b"", 302, Location="file:///etc/passwd")

    def _cut(self, number, asked):
        """Breaks off in the middle the first `number` times."""
        cover = self.server.cover(7)
        if asked <= number:
            self._send(cover[: len(cover) // 2], length=len(cover))
            self.close_connection = True
        else:
            self._send(cover)

    def _stall(self, number, asked):
        """Falls silent in the middle the first `number` times."""
        cover = self.server.cover(8)
        if asked <= number:
            self._send(cover[:100], length=len(cover))
            self.wfile.flush()
            self.server.stopped.wait(STALL_S)
            self.close_connection = True
        else:
            self._send(cover)

    def _drip(self, number, asked):
        """One byte at a time, never silent for long."""
        self._send(b"\xff\xd8\xff", length=10_000)
        while not self.server.stopped.wait(0.05):
            self.wfile.write(b"x")
            self.wfile.flush()

    def _huge(self, number, asked):
        """More than it says, in chunks."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"\xff\xd8\xff" + bytes(65533)
        for _ in range(64):
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def _announced(self, number, asked):
        self._send(b"\xff\xd8\xff", length=10**10)
        self.close_connection = True


@pytest.fixture
def server(make_cover, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(make_cover) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.stopped.set()
        running.shutdown()
        thread.join()

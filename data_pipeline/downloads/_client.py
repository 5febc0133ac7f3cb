"""Downloads one picture at a time, from several threads: tries, time-outs, limits, manners.

urllib3 does the retrying (exponential back-off with jitter, Retry-After), the redirects and the
limit on connections to a host. What it leaves open is the body: its size, its total time, a
connection that is cut in the middle of it; and where a connection may lead.

What stands in a table is the user's word, an address of the own network too. A server's word is
not: one that is public may not send us on to an address that is not. Link-local addresses, where
clouds tell a machine its secrets, are never asked. Both are seen of the connection itself, whatever
a name stands for at the moment. Through a proxy only addresses written as such are seen.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPSConnectionPool,
    PoolManager,
    ProxyManager,
    Retry,
    Timeout,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)

from covertune.data_pipeline.downloads._folder import Failure
from covertune.data_pipeline.downloads._settings import DownloadSettings
from covertune.data_pipeline.filesystems import address_of, is_link_local
from covertune.data_pipeline.images import has_image_signature

__all__ = ["Client", "DownloadFailed"]

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FINAL = frozenset({400, 404, 405, 406, 410, 414, 451})
_MOST_REDIRECTS = 8
_MOST_HOSTS = 4096  # connections of hosts beyond that would not be counted
_CHUNK_BYTES = 2**16
_DEAD_AFTER = 8  # addresses that could not be reached in a row
_DEAD_FOR_S = 60.0
_OFFLINE = frozenset({"host not found", "no connection", "connecting timed out"})


class DownloadFailed(Exception):  # noqa: N818 - named for what happened
    """An address gave no picture."""

    def __init__(self, reason: str, detail: str = "", *, final: bool = False) -> None:
        super().__init__(reason)
        self.failure = Failure(reason, detail, final)


class _Retry(Retry):
    """Waits as long as a server asks, but no longer than `max_wait_s`."""

    max_wait_s = 60.0

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            asked = super().get_retry_after(response)
        except HTTPError:  # neither seconds nor a date
            return None
        return None if asked is None else min(asked, self.max_wait_s)

    def new(self, **changes: Any) -> _Retry:
        copy = super().new(**changes)
        copy.max_wait_s = self.max_wait_s
        return copy


def _is_public(host: str) -> bool:
    """Tell whether an address can be reached from anywhere; a name is taken to be."""
    if host.lower().rstrip(".") == "localhost":
        return False
    address = address_of(host)
    return address is None or address.is_global


def _require_allowed(host: str, *, public_only: bool) -> None:
    """Refuse what may not be asked, before a byte is sent.

    Raises:
        DownloadFailed: It may not.
    """
    if is_link_local(host):
        raise DownloadFailed("link-local address", host, final=True)
    if public_only and not _is_public(host):
        raise DownloadFailed("redirected to a non-public address", host, final=True)


class _HTTP(HTTPConnection):
    """Sees where it leads: whether to a public address, and whether it may."""

    public_only = False
    leads_public = True

    def connect(self) -> None:
        super().connect()
        host = self.sock.getpeername()[0]
        self.leads_public = _is_public(host)
        _require_allowed(host, public_only=self.public_only)


class _HTTPS(_HTTP, HTTPSConnection):
    pass


class _PublicHTTP(_HTTP):
    public_only = True


class _PublicHTTPS(_HTTPS):
    public_only = True


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class _PublicHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _PublicHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class Client:
    """Downloads pictures; safe to use from several threads.

    Args:
        settings: Time-outs, tries and limits.
        per_host: Most connections of this client to one host.
    """

    def __init__(self, settings: DownloadSettings, per_host: int) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # each try that fails is a warning
        self._settings = settings
        self._retries = _Retry(
            total=settings.tries - 1 + _MOST_REDIRECTS,
            connect=settings.tries - 1,
            read=settings.tries - 1,
            status=settings.tries - 1,
            other=0,
            redirect=_MOST_REDIRECTS,
            allowed_methods={"GET"},
            status_forcelist=_AGAIN,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            backoff_max=settings.max_wait_s,
            raise_on_status=False,
        )
        self._retries.max_wait_s = settings.max_wait_s
        pools: dict[str, Any] = {
            "num_pools": _MOST_HOSTS,
            "maxsize": per_host,
            "block": True,
            "retries": self._retries,
            "timeout": Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s),
            "headers": {"User-Agent": "covertune", "Accept": "image/*,*/*;q=0.5"},
        }
        self._direct = PoolManager(**pools)
        self._direct.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        self._public = PoolManager(**pools)
        self._public.pool_classes_by_scheme = {
            "http": _PublicHTTPPool,
            "https": _PublicHTTPSPool,
        }
        self._by_proxy = {
            scheme: ProxyManager(proxy, **pools)
            for scheme, proxy in getproxies().items()
            if scheme in ("http", "https")
        }
        self._hosts = _Hosts()

    def download(self, url: str) -> bytes:
        """Download one picture.

        Raises:
            DownloadFailed: It could not be had, or is no picture.
        """
        host, _ = self._route(url)
        self._hosts.require_alive(host)
        try:
            data = self._download(url)
        except DownloadFailed as err:
            self._hosts.note(host, reached=err.failure.reason not in _OFFLINE)
            raise
        except HTTPError as err:
            failed = _explain(err)
            self._hosts.note(host, reached=failed.failure.reason not in _OFFLINE)
            raise failed from err
        self._hosts.note(host, reached=True)
        return data

    def _route(self, url: str, *, public_only: bool = False) -> tuple[str, PoolManager]:
        """Return the host of an address, and who asks it."""
        try:
            parsed = urllib3.util.parse_url(url)
        except LocationValueError as err:
            raise _explain(err) from err
        host, scheme = parsed.host or "", parsed.scheme or ""
        _require_allowed(host, public_only=public_only)
        if scheme in self._by_proxy and not proxy_bypass(host):
            return host, self._by_proxy[scheme]
        return host, self._public if public_only else self._direct

    def _download(self, url: str) -> bytes:
        retries: Retry = self._retries
        asked, public_only = url, False
        while True:
            _, pools = self._route(asked, public_only=public_only)
            response = pools.request(
                "GET", asked, preload_content=False, redirect=False, retries=retries
            )
            retries = response.retries or retries
            if moved := response.get_redirect_location():
                public_only = public_only or getattr(response.connection, "leads_public", True)
                _leave(response)
                retries = retries.increment("GET", asked, response=response)
                asked = urljoin(asked, moved)
                continue
            whole = False
            try:
                if response.status != 200:
                    raise DownloadFailed(
                        f"HTTP {response.status}",
                        response.reason or "",
                        final=response.status in _FINAL,
                    )
                data = self._read(response)
                whole = True
            except (ProtocolError, ReadTimeoutError) as err:  # cut, or stalled, in the middle
                broken = err
            finally:
                if not whole:  # what is left of it must not be taken for the next answer
                    response.close()
                response.release_conn()  # else the pool counts the connection as taken for ever
            if whole:
                return _require_picture(data, response)
            retries = retries.increment("GET", url, error=broken)
            retries.sleep()
            asked, public_only = url, False

    def _read(self, response: BaseHTTPResponse) -> bytes:
        settings = self._settings
        deadline = time.monotonic() + settings.total_timeout_s
        too_large = DownloadFailed("too large", f"over {settings.max_bytes} bytes", final=True)
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > settings.max_bytes:
            raise too_large
        chunks, size = [], 0
        # read1 returns what has come; read would wait for a whole chunk whatever the time
        while chunk := response.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > settings.max_bytes:
                raise too_large
            if time.monotonic() > deadline:
                raise DownloadFailed(
                    "download timed out", f"not whole after {settings.total_timeout_s:g} s"
                )
        return b"".join(chunks)


class _Hosts:
    """Which hosts do not answer at all: asking each of their addresses would take for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._misses: dict[str, int] = {}
        self._dead_until: dict[str, float] = {}

    def require_alive(self, host: str) -> None:
        with self._lock:
            if time.monotonic() < self._dead_until.get(host, 0.0):
                raise DownloadFailed("host unreachable", f"{host} was given up for a while")

    def note(self, host: str, *, reached: bool) -> None:
        with self._lock:
            self._misses[host] = 0 if reached else self._misses.get(host, 0) + 1
            if self._misses[host] >= _DEAD_AFTER:
                self._dead_until[host] = time.monotonic() + _DEAD_FOR_S


def _leave(response: BaseHTTPResponse) -> None:
    """Be done with an answer; its connection serves again if little is left to read of it."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) <= _CHUNK_BYTES:
        response.drain_conn()
    else:
        response.close()
    response.release_conn()


def _require_picture(data: bytes, response: BaseHTTPResponse) -> bytes:
    """Believe what the content is, not what the server calls it."""
    if has_image_signature(data):
        return data
    if not data:
        raise DownloadFailed("empty answer")
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    named = response.headers.get("Content-Type", "no type")
    if start.startswith(b"<") and (b"<html" in start or start.startswith(b"<!doctype html")):
        raise DownloadFailed("a web page instead of an image", named, final=True)
    raise DownloadFailed("not an image", f"sent as {named}", final=True)


def _explain(err: HTTPError) -> DownloadFailed:
    """Return what went wrong, in the words of a rejected row."""
    cause: BaseException = err
    if isinstance(err, MaxRetryError) and err.reason is not None:
        cause = err.reason
    detail = " ".join(str(cause).split()).partition(": ")[2]  # before it, an object's address
    if isinstance(cause, ReadTimeoutError):
        return DownloadFailed("download timed out", "the server fell silent")
    if isinstance(cause, NameResolutionError):
        return DownloadFailed("host not found", detail)
    if isinstance(cause, NewConnectionError):  # to urllib3 also a kind of the next
        return DownloadFailed("no connection", detail)
    if isinstance(cause, ConnectTimeoutError):
        return DownloadFailed("connecting timed out", detail)
    if isinstance(cause, SSLError):
        return DownloadFailed("no secure connection", detail)
    if isinstance(cause, ResponseError) and "redirect" in str(cause):
        return DownloadFailed("too many redirects", f"over {_MOST_REDIRECTS}")
    if isinstance(cause, LocationValueError):
        return DownloadFailed("bad web address", " ".join(str(cause).split()), final=True)
    if isinstance(cause, ProtocolError):
        return DownloadFailed("connection broke off", " ".join(str(cause).split()))
    return DownloadFailed("download failed", " ".join(str(cause).split()))

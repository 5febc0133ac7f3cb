"""Where bytes lie: this machine's own files, or s3://, gs://, hdfs:// and file:// through Arrow.

A *location* is a local path or the URI of such a file system. One file system object serves a
process for each bucket or server, with time-outs short enough that a wrong name or a missing
network is an error within seconds; Arrow's own defaults try for minutes.

In a URI, `%20` stands for a space as in any URI; characters that a URI cannot have are taken as
they are, because tables are full of them.
"""

from __future__ import annotations

import io
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pyarrow import ArrowException, fs

from covertune.wording import escaped, few, first_line, reason_of

__all__ = [
    "Listing",
    "address_of",
    "is_link_local",
    "is_uri",
    "is_web_address",
    "join",
    "kind_of",
    "list_files",
    "open_binary",
    "parent_of",
    "redact_credentials",
    "unreachable",
]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:\ is a path
_WEB = re.compile(r"https?://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@]*@")
_REMEDIES = {
    "file": "check the path",
    "s3": "check name, region (AWS_REGION or ?region=…) and credentials (AWS_ACCESS_KEY_ID …)",
    "gs": "check the name and Google's credentials; gs://anonymous@BUCKET reads public buckets",
    "hdfs": "hdfs:// needs Java and Hadoop's libhdfs (JAVA_HOME, HADOOP_HOME, CLASSPATH)",
}
_NOISE = re.compile(  # in what the clouds' libraries say
    r" \(Request ID: \S+\)"
    r"|^google::cloud::Status\(\w+: |Retry policy exhausted, with a last message of "
    r"| error_info=.*"
)
_S3_OPTIONS = {"region", "scheme", "endpoint_override"}
_CONNECT_S = 5.0
_REQUEST_S = 30.0
_TRIES = 3
_GOOGLE_RETRY_S = 10  # two requests may fail one after the other


@dataclass
class Listing:
    """What lies below a folder.

    Attributes:
        files: Paths relative to the folder, with slashes.
        skipped: What could not be listed, by why: names for people.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, why: str, name: str) -> None:
        """Leave something out; the rest goes on."""
        self.skipped.setdefault(why, []).append(name)


def is_uri(location: str) -> bool:
    """Tell whether it is a URI rather than a local path."""
    return _URI.match(location) is not None


def is_web_address(location: str) -> bool:
    """Tell whether it is an http or https URL."""
    return _WEB.match(location) is not None


def redact_credentials(location: str) -> str:
    """Return a location without the credentials it may hold, for people and stores."""
    return _USER.sub("", location, count=1)


def join(folder: str, relative: str) -> str:
    """Return the location of a file below a folder.

    Args:
        folder: A location.
        relative: Path below it with slashes, not escaped.
    """
    if not is_uri(folder):
        return os.path.join(folder, relative)  # noqa: PTH118 - as text: it runs once a cover
    address, mark, query = folder.partition("?")
    return f"{address.rstrip('/')}/{quote(relative)}{mark}{query}"


def parent_of(location: str) -> str:
    """Return the folder that holds a file."""
    if not is_uri(location):
        return str(Path(location).absolute().parent)
    address, mark, query = location.partition("?")
    return f"{address.rstrip('/').rpartition('/')[0]}{mark}{query}"


def kind_of(location: str) -> Literal["file", "folder", "missing"]:
    """Return what lies at a location.

    Raises:
        OSError: The file system cannot be reached, or refuses to tell.
    """
    if not is_uri(location):
        path = Path(location)
        return "folder" if path.is_dir() else "file" if path.exists() else "missing"
    with _one_line_errors(location):
        filesystem, path_there = _open(location)
        found = filesystem.get_file_info(path_there).type
    if found == fs.FileType.Directory:
        return "folder"
    return "file" if found == fs.FileType.File else "missing"


def open_binary(location: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    if not is_uri(location):
        return Path(location).open("rb")
    with _one_line_errors(location):
        filesystem, path = _open(location)
        return cast(BinaryIO, io.BufferedReader(filesystem.open_input_file(path)))


def list_files(folder: str) -> Listing:
    """List all visible files at any depth below a folder, in no particular order.

    Names that begin with a dot are hidden, with all below them. Links to folders are followed
    unless they lead back to a folder they lie in. What cannot be listed is left out by name.

    Args:
        folder: A location.

    Raises:
        OSError: The folder itself cannot be listed.
    """
    return Listing(_list_remote(folder)) if is_uri(folder) else _list_local(folder)


def unreachable(locations: Iterable[str]) -> dict[str, str]:
    """Find those whose file system cannot be asked at all, by asking for the first file on each.

    Otherwise every single file would wait for its time-out.

    Returns:
        Why, by location.
    """
    on_same: dict[tuple[str, str, str], list[str]] = {}
    for location in locations:
        on_same.setdefault(_filesystem_of(location), []).append(location)
    found: dict[str, str] = {}
    for of_one in on_same.values():
        why = _why_unreachable(of_one[0])
        if why is not None:
            found |= dict.fromkeys(of_one, why)
    return found


def _filesystem_of(location: str) -> tuple[str, str, str]:
    """Return what tells its file system from others; the whole location where it is no URI."""
    with suppress(ValueError):  # such as a host in brackets that is no address
        parts = urlsplit(location)
        return parts.scheme.lower(), parts.netloc, parts.query
    return "", location, ""


def _why_unreachable(location: str) -> str | None:
    """Return why nothing can be read where a file lies; None if it can, or the file is missing."""
    try:
        open_binary(location).close()
    except FileNotFoundError:
        parts = urlsplit(location)  # a file that is not there is refused by itself later on
        scheme = parts.scheme.lower()
        if scheme not in ("s3", "gs"):
            return None
        try:
            if kind_of(parts._replace(path="").geturl()) != "missing":
                return None
        except OSError as err:
            return reason_of(err)
        return f"there is no bucket {_bucket(location)}; {_REMEDIES[scheme]}"
    except (OSError, ValueError) as err:
        # Of this machine each file has a fate of its own.
        on_this_machine = location.lower().startswith("file://")
        return None if on_this_machine and isinstance(err, OSError) else reason_of(err)
    return None


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as, IPv4 where it is mapped; None for a name."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_link_local(host: str) -> bool:
    """Tell whether a host is a link-local address, where clouds keep their machines' secrets."""
    address = address_of(host)
    return address is not None and address.is_link_local


def _list_local(folder: str) -> Listing:
    """See `list_files`. As text and by scandir: a Path for each of many files takes minutes."""
    found = Listing()
    waiting: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(folder, "", frozenset())]
    while waiting:
        path, prefix, above = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue  # a link back
            with os.scandir(path) as folder_open:
                entries = list(folder_open)
        except OSError as err:
            if not prefix:
                raise
            found.skip(f"a folder that cannot be read ({reason_of(err)})", prefix)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{prefix}{entry.name}"
            if not entry.name.isascii() and not _is_unicode(entry.name):
                found.skip("a name that is not UTF-8; rename it", ascii(os.fsencode(name))[2:-1])
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as err:  # a link to itself, say
                found.skip(f"a link that cannot be followed ({reason_of(err)})", name)
                continue
            if is_folder:
                waiting.append((entry.path, f"{name}/", above | {here}))
            else:
                found.files.append(name)
    return found


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _list_remote(folder: str) -> list[str]:
    with _one_line_errors(folder):
        filesystem, path = _open(folder)
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    start = len(path.rstrip("/")) + 1
    names = (entry.path[start:] for entry in found if entry.type == fs.FileType.File)
    return [name for name in names if not f"/{name}".count("/.")]


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URI, and the path on it."""
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme not in _REMEDIES:
        raise OSError(
            f"unknown kind of address {escaped(scheme, at_most=20)}://; known: "
            f"{', '.join(_REMEDIES)}"
        )
    if scheme == "file" and parts.netloc not in ("", "localhost"):
        raise OSError(f"file:// reads this machine's files, got the host {few([parts.netloc])}")
    path = unquote(parts.path)
    filesystem = _filesystem(scheme, parts.netloc, parts.query)
    if scheme in ("s3", "gs"):
        return filesystem, f"{_bucket(uri)}{path}".rstrip("/")
    return filesystem, path.rstrip("/") or "/"


@lru_cache(maxsize=64)
def _filesystem(scheme: str, authority: str, query: str) -> fs.FileSystem:
    if scheme == "s3":
        return _s3(authority, query)
    if scheme == "gs" and "retry_limit_seconds" not in query:
        query = f"{query}&retry_limit_seconds={_GOOGLE_RETRY_S}".lstrip("&")
    uri = f"{scheme}://{authority}/" + (f"?{query}" if query else "")
    return fs.FileSystem.from_uri(uri)[0]


def _s3(authority: str, query: str) -> fs.FileSystem:
    """Make it as Arrow does of a URI, but with limits on time, which a URI cannot set."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if unknown := sorted(set(given) - _S3_OPTIONS):
        raise OSError(
            f"unknown option {unknown[0]!r} of s3://; known: {', '.join(sorted(_S3_OPTIONS))}"
        )
    user, _, bucket = authority.rpartition("@")
    access_key, _, secret_key = user.partition(":")
    endpoint = given.get("endpoint_override") or os.environ.get(
        "AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")
    )
    region = given.get("region") or os.environ.get(
        "AWS_REGION", os.environ.get("AWS_DEFAULT_REGION")
    )
    named = given.get("endpoint_override", "")
    server = urlsplit(named if "://" in named else f"//{named}").hostname or ""
    if is_link_local(server):
        raise OSError(f"a link-local address is never asked, got the endpoint {server}")
    options: dict[str, Any] = {
        "region": region or (None if endpoint else fs.resolve_s3_region(bucket)),
        "endpoint_override": endpoint,
        "scheme": given.get("scheme"),
        "access_key": unquote(access_key) or None,
        "secret_key": unquote(secret_key) or None,
    }
    return fs.S3FileSystem(
        **{name: value for name, value in options.items() if value},
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES),
    )


def _bucket(uri: str) -> str:
    return urlsplit(uri).netloc.rpartition("@")[2]


@contextmanager
def _one_line_errors(uri: str) -> Iterator[None]:
    """Give whatever Arrow raises one line, with what to do about it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, ArrowException) as err:
        scheme = uri.partition(":")[0].lower()
        text = _NOISE.sub("", first_line(err, at_most=None)).rstrip(".")
        remedy = f"; {_REMEDIES[scheme]}" if scheme in _REMEDIES else ""
        raise OSError(text + remedy) from err

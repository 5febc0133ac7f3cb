"""What downloads left, in a folder that outlives interruptions and serves later runs.

ab/ab12…           what the address gave; named by the digest of the address
ab/ab12….failed    why it gave nothing, as JSON; `final` says whether asking again is no use
ab/ab12….HEX.part  being written
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from covertune.data_pipeline.errors import ImageRejected

__all__ = ["DownloadFolder", "Failure", "read_download"]

_LEFTOVER_AGE_S = 3600.0  # longer than any download takes


@dataclass(frozen=True)
class Failure:
    """Why an address gave no picture.

    Attributes:
        reason: A short phrase that addresses of the same fate share, such as "HTTP 404".
        detail: What is particular to this address; may be empty.
        final: Whether it would give none another time either.
    """

    reason: str
    detail: str = ""
    final: bool = False


@dataclass(frozen=True)
class DownloadFolder:
    """The folder; every file in it is written aside and takes its name when whole."""

    path: Path

    def state(self, url: str) -> Literal["kept", "failed", "unknown"]:
        """Whether there is no need to ask: the picture is there, or will never be."""
        place = self._place(url)
        if place.exists():
            return "kept"
        failure = self.failure(url)
        return "failed" if failure is not None and failure.final else "unknown"

    def failure(self, url: str) -> Failure | None:
        """Why the address gave nothing, the last time it was asked."""
        place = self._place(url)
        try:
            content = json.loads(place.with_name(f"{place.name}.failed").read_bytes())
            return Failure(content["reason"], content["detail"], content["final"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # nothing, or nothing that can be understood: it is asked again

    def keep(self, url: str, data: bytes) -> None:
        """Keep what an address gave.

        Raises:
            OSError: The folder cannot be written.
        """
        place = self._place(url)
        self._write(place, data)
        place.with_name(f"{place.name}.failed").unlink(missing_ok=True)

    def keep_failure(self, url: str, failure: Failure) -> None:
        """Keep why an address gave nothing.

        Raises:
            OSError: The folder cannot be written.
        """
        place = self._place(url)
        content = json.dumps({"url": url, **asdict(failure)})
        self._write(place.with_name(f"{place.name}.failed"), content.encode())

    def read(self, url: str) -> bytes:
        """What an address gave.

        Raises:
            ImageRejected: It gave nothing.
        """
        try:
            return self._place(url).read_bytes()
        except FileNotFoundError:
            failure = self.failure(url) or Failure("not downloaded", f"nothing in {self.path}")
            raise ImageRejected(failure.reason, failure.detail) from None
        except OSError as err:
            raise ImageRejected("unreadable file", str(err)) from err

    def remove_leftovers(self) -> None:
        """Remove what was being written when some process was killed."""
        long_ago = time.time() - _LEFTOVER_AGE_S
        for part in self.path.glob("??/*.part"):
            if part.stat().st_mtime < long_ago:
                part.unlink(missing_ok=True)

    def _place(self, url: str) -> Path:
        digest = sha256(url.encode(errors="surrogatepass")).hexdigest()[:40]
        return self.path / digest[:2] / digest

    @staticmethod
    def _write(place: Path, data: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(data)
            os.replace(part, place)  # noqa: PTH105 - the name of what it does
        except OSError:
            part.unlink(missing_ok=True)
            raise


def read_download(folder: Path, url: str) -> bytes:
    """What an address gave, when it was downloaded into a folder.

    Raises:
        ImageRejected: It gave nothing; the reason is that of the download.
    """
    return DownloadFolder(folder).read(url)

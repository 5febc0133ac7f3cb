"""A word now and then where output is piped: nobody should wonder whether anything goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Heartbeat"]


class Heartbeat:
    """Calls a function at even intervals, from a thread of its own."""

    def __init__(self, say: Callable[[], None], every_s: float = 60.0) -> None:
        """Prepare it.

        Args:
            say: Says something.
            every_s: How often, in seconds.
        """
        self._say = say
        self._every_s = every_s
        self._said = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to count."""
        self.count_anew()
        self._over.clear()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def count_anew(self) -> None:
        """Begin a new interval: as much was said just now."""
        self._said = time.monotonic()

    def stop(self) -> None:
        """Say no more."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None

    def _beat(self) -> None:
        while not self._over.wait(max(self._said + self._every_s - time.monotonic(), 0.01)):
            if time.monotonic() - self._said >= self._every_s:
                self.count_anew()
                self._say()

"""The copy of the study that everybody but the driver reads.

`study.db` is the driver's alone: read from another machine over sshfs or NFS, where SQLite's locks
and shared memory end, it came to grief. So the driver publishes a copy, whole or not at all, which
is never written to and so can be read without locks. It is also what a damaged study.db goes on
from.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from covertune.search.errors import RunError
from covertune.search.record.compat import copy_database
from covertune.search.record.constants import EPOCH
from covertune.search.record.run_folder import RunFolder
from covertune.whole import whole_file, write_whole
from covertune.wording import reason_of

__all__ = ["PublishedCopy", "go_on_from_copy"]

_log = logging.getLogger(__name__)
_EVERY_S = 5.0
_AT_MOST_EVERY_S = 1.0
_SHARE = 20  # a twentieth of the driver's time, whatever the size of the study


class PublishedCopy:
    """Publishes a study again and again: soon after a trial has ended, and every few seconds."""

    def __init__(
        self,
        run: RunFolder,
        study: optuna.Study | None,
        *,
        is_ours: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Publish the study of a run.

        Args:
            run: The run.
            study: Its study, opened to be driven; None: nothing is published, as the study lies
                elsewhere and others read it there.
            is_ours: Whether the run is still this process's to write to.
            clock: Seconds from any origin, never going back.
        """
        self._run = run
        self._study = study
        self._is_ours = is_ours
        self._clock = clock
        self._is_due = False
        self._published = float("-inf")
        self._took_s = 0.0
        self._has_failed = False

    def changed(self) -> None:
        """Hear that a trial has ended, which others should soon see."""
        self._is_due = True

    def keep(self) -> None:
        """Publish if it is time to; to be called again and again."""
        wait_s = max(_AT_MOST_EVERY_S if self._is_due else _EVERY_S, _SHARE * self._took_s)
        if self._clock() - self._published >= wait_s:
            self.publish()

    def publish(self) -> None:
        """Publish now; what goes wrong is logged, once until it goes right again."""
        if self._study is None or not self._is_ours():
            return
        began = self._clock()
        try:
            with whole_file(self._run.study_copy) as out:
                copy_database(self._study, out.name)
        except (OSError, sqlite3.Error) as error:
            if not self._has_failed:
                _log.warning("the study cannot be published: %s", error)
            self._has_failed = True
        else:
            self._has_failed = False
            self._is_due = False
        self._published = self._clock()
        self._took_s = self._published - began


def go_on_from_copy(run: RunFolder, trials: Iterable[FrozenTrial]) -> Path:
    """Put the copy in the place of a study that is damaged.

    Checkpoints that are ahead of the copy go with what is damaged: a trial that it does not know
    would else be taken for one of the same number that is to come.

    Args:
        run: Held by this process.
        trials: Those of the copy.

    Returns:
        The folder where what was damaged lies now.

    Raises:
        RunError: The folder cannot be written.
    """
    aside = run.path / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    known = {trial.number: trial for trial in trials}
    try:
        aside.mkdir(exist_ok=True)
        for file in sorted(run.path.glob("study.db*")):
            file.rename(aside / file.name)
        for number in run.checkpoint_bytes():
            if number not in known or _is_ahead(run.checkpoint(number), known[number]):
                run.checkpoint(number).rename(aside / run.checkpoint(number).name)
        write_whole(run.study_file, run.study_copy.read_bytes())
    except OSError as error:
        raise RunError(
            f"cannot put the copy of the study in its place in {run.path}: {reason_of(error)}; "
            "see to the disk and its permissions, and resume again"
        ) from error
    return aside


def _is_ahead(checkpoint: Path, trial: FrozenTrial) -> bool:
    if trial.state.is_finished():
        return False
    from covertune.search.record.checkpoints import checkpoint_result  # brings torch

    try:
        epoch = int(checkpoint_result(checkpoint)[EPOCH])
    except Exception:  # of no use to anybody
        return True
    return epoch > len(trial.intermediate_values) + 1

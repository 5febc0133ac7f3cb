"""Which checkpoints a run keeps: those of trials somebody may still need.

Needed are the trials that run, the best of those that ended (for the model, and for an export of
the leaders), and the untuned yardstick, which is measured on the test split in the end. What is
left over goes when a trial ends.

The study decides, and it is written first: a trial's checkpoint is on disk before its result is
told, and goes only after the study holds an end of it that others beat. So a kill at any moment
leaves too many checkpoints, never too few, and the next look takes the rest away.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import optuna
from optuna.trial import FrozenTrial

from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import ranked
from covertune.search.record.trial_record import TrialRecord

__all__ = ["CHECKPOINT_PEAK_BYTES", "Retention", "needed"]

CHECKPOINT_PEAK_BYTES = "checkpoint_peak_bytes"
"""User attribute of the study."""

_log = logging.getLogger(__name__)


def needed(trials: Iterable[FrozenTrial], on_disk: Collection[int], keep: int | None) -> set[int]:
    """Return whose checkpoints stay.

    Args:
        trials: All of the study.
        on_disk: Numbers of trials that have a checkpoint. A trial without one takes nobody's place:
            what is kept can always be exported.
        keep: How many of the best that ended; None: whatever ended.

    Returns:
        Numbers; those the study does not know are among them, for they are none of ours.
    """
    if keep is None:
        return set(on_disk)
    candidates = [trial for trial in trials if trial.number in on_disk]
    stay = set(on_disk) - {trial.number for trial in candidates}
    stay |= {trial.number for trial in candidates if not trial.state.is_finished()}
    leaders = ranked(candidates)
    stay |= {trial.number for trial in leaders[:keep]}
    return stay | {trial.number for trial in leaders if TrialRecord(trial).is_untuned}


class Retention:
    """Removes what is not needed, and knows what the checkpoints take."""

    def __init__(self, run: RunFolder, study: optuna.Study, keep: int | None) -> None:
        """Look after the checkpoints of a run.

        Args:
            run: Its folder.
            study: Its study.
            keep: See `needed`.
        """
        self._run = run
        self._study = study
        self._keep = keep
        self.now_bytes = 0
        """As of the last look."""
        self.peak_bytes: int = study.user_attrs.get(CHECKPOINT_PEAK_BYTES, 0)
        """The most that were there at any look, in all processes that drove the run."""

    def look(self) -> dict[int, int]:
        """Take the size of what is there: bytes by trial."""
        sizes = self._run.checkpoint_bytes()
        self.now_bytes = sum(sizes.values())
        if self.now_bytes > self.peak_bytes:
            self.peak_bytes = self.now_bytes
            self._study.set_user_attr(CHECKPOINT_PEAK_BYTES, self.peak_bytes)
        return sizes

    def tidy(self) -> None:
        """Remove checkpoints nobody needs; what cannot be removed is logged, and tried again."""
        sizes = self.look()
        stay = needed(self._study.get_trials(deepcopy=False), sizes.keys(), self._keep)
        for number in sizes.keys() - stay:
            try:
                self._run.checkpoint(number).unlink(missing_ok=True)
                self.now_bytes -= sizes[number]
            except OSError as error:
                _log.warning("the checkpoint of trial %d cannot be removed: %s", number, error)

"""Event files for TensorBoard: a folder a trial, a tag a measure, the recipe as hyperparameters.

    tensorboard --logdir runs/NAME/tune/tensorboard

Tags are the fields of `models.ProgressMetrics`, named as in the study, the tables and the JSON; the
step is the epoch. The hyperparameters are the settings of the recipe, so that the HParams page
shows each trial beside what it measured. Nothing else is written: what Ray knows of a trial (clock
times, process numbers, its own counters) says nothing of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from optuna.trial import FrozenTrial, Trial, TrialState
from tensorboardX import SummaryWriter
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.summary import hparams

from covertune.models import ProgressMetrics
from covertune.search.record.trial_record import TrialRecord

__all__ = ["TensorBoard"]

_FLUSH_S = 10
_NO_MEASURES: Final = {"epoch", "covers_seen"}  # how far it has come is the step


class TensorBoard:
    """Writes what trials measure; a trial that is taken up again goes on in its folder."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`, which is made with the first epoch."""
        self._folder = folder
        self._writers: dict[int, SummaryWriter] = {}

    def measured(self, trial: Trial, progress: ProgressMetrics) -> None:
        """Write an epoch of a running trial."""
        writer = self._writers.get(trial.number)
        if writer is None:
            writer = self._writers[trial.number] = self._open(trial)
        for tag, value in progress.model_dump(exclude=_NO_MEASURES).items():
            writer.add_scalar(tag, value, int(progress.epoch))

    def _open(self, trial: Trial) -> SummaryWriter:
        folder = self._folder / f"trial-{trial.number:05d}"
        # Files are named by the second: two of one second would be one.
        suffix = f".{len(list(folder.glob('events.*')))}"
        writer = SummaryWriter(str(folder), flush_secs=_FLUSH_S, filename_suffix=suffix)
        # Without the summary of the whole experiment, which each trial would have to know,
        # TensorBoard gathers hyperparameters and measures from the trials themselves.
        _experiment, began, _ended = hparams(TrialRecord(trial).settings, {})
        writer.file_writer.add_summary(began)
        return writer

    def ended(self, trial: FrozenTrial) -> None:
        """Close the files of a trial that has ended."""
        writer = self._writers.pop(trial.number, None)
        if writer is not None:
            writer.file_writer.add_summary(_session_end(trial.state is not TrialState.FAIL))
            writer.close()

    def close(self) -> None:
        """Close the files of those that are taken up later."""
        while self._writers:
            _, writer = self._writers.popitem()
            writer.close()


def _session_end(well: bool) -> Any:
    """Return the record that ends a session of the HParams page."""
    status = Status.Value("STATUS_SUCCESS" if well else "STATUS_FAILURE")
    content = HParamsPluginData(session_end_info=SessionEndInfo(status=status), version=0)
    told = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    value = Summary.Value(
        tag="_hparams_/session_end_info", metadata=SummaryMetadata(plugin_data=told)
    )
    return Summary(value=[value])

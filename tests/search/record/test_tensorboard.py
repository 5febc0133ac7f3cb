"""What TensorBoard is given: the event files, read back record by record."""

import struct

import optuna
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from covertune.models import ProgressMetrics, Recipe
from covertune.search.record.tensorboard import TensorBoard
from covertune.search.record.trial_record import TrialRecord

RECIPE = Recipe(backbone="small_cnn", image_px=32, epochs=2, lr_head=0.25, lr_backbone=0.5)
MEASURES = {
    *("top1", "top3", "macro_f1", "train_loss", "val_loss", "covers_per_s", "data_wait_share"),
    *("lr_head", "lr_backbone", "seconds"),
}


def events(folder):
    """Every record of the event files of a folder, in the order of their writing."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:  # length, its checksum, record, its checksum
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def values(folder):
    return [value for event in events(folder) for value in event.summary.value]


def scalars(folder):
    return [
        (value.tag, event.step, round(value.simple_value, 4))
        for event in events(folder)
        for value in event.summary.value
        if not value.tag.startswith("_hparams_/")
    ]


def hparams(folder):
    """What the HParams page reads, by tag."""
    return {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for value in values(folder)
        if value.metadata.plugin_data.plugin_name == "hparams"
    }


def measured(epoch, top1):
    known = {"epoch": epoch, "top1": top1, "any_top1": None, "covers_seen": 9}
    return ProgressMetrics(**dict.fromkeys(ProgressMetrics.model_fields, 0.5) | known)


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


@pytest.fixture
def trial(study):
    trial = study.ask()
    TrialRecord(trial).set_recipe(RECIPE)
    return trial


def test_a_tag_a_measure_and_nothing_else(tmp_path, study, trial):
    board = TensorBoard(tmp_path)
    board.measured(trial, measured(1, 0.25))
    board.measured(trial, measured(2, 0.75))
    study.tell(trial, 0.75)
    board.ended(study.trials[0])
    told = scalars(tmp_path / "trial-00000")
    assert {tag for tag, _, _ in told} == MEASURES
    assert len(told) == 2 * len(MEASURES)
    assert [(step, value) for tag, step, value in told if tag == "top1"] == [(1, 0.25), (2, 0.75)]


def test_several_genres_have_their_measure(tmp_path, trial):
    board = TensorBoard(tmp_path)
    board.measured(trial, measured(1, 0.25).model_copy(update={"any_top1": 0.5}))
    board.close()
    assert {tag for tag, *_ in scalars(tmp_path / "trial-00000")} == MEASURES | {"any_top1"}


@pytest.mark.parametrize(("state", "status"), [("COMPLETE", 1), ("FAIL", 2)])
def test_the_recipe_stands_beside_its_results(tmp_path, study, trial, state, status):
    board = TensorBoard(tmp_path)
    board.measured(trial, measured(1, 0.25))
    study.tell(trial, *((0.25,) if state == "COMPLETE" else (None, optuna.trial.TrialState.FAIL)))
    board.ended(study.trials[0])
    told = hparams(tmp_path / "trial-00000")
    assert set(told) == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    settings = told["_hparams_/session_start_info"].session_start_info.hparams
    known = {name for name, value in RECIPE.model_dump().items() if value is not None}
    assert set(settings) == known
    assert settings["backbone"].string_value == "small_cnn"
    assert settings["lr_head"].number_value == 0.25
    assert settings["channels_last"].bool_value is True
    assert told["_hparams_/session_end_info"].session_end_info.status == status


def test_who_is_taken_up_again_goes_on_in_the_same_folder(tmp_path, trial):
    for epoch in (1, 2):
        board = TensorBoard(tmp_path)  # of another process
        board.measured(trial, measured(epoch, 0.25))
        board.close()
    assert [folder.name for folder in tmp_path.iterdir()] == ["trial-00000"]
    steps = [step for tag, step, _ in scalars(tmp_path / "trial-00000") if tag == "top1"]
    assert sorted(steps) == [1, 2]

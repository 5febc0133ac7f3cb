import pytest
import torch

from covertune.models import FineTuner, ModelError, model_from_checkpoint
from covertune.models.training.checkpoint import read_state, write_state

CPU = torch.device("cpu")


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_the_model_of_a_state_is_the_exported_one(change, train, tmp_path, ema_decay):
    learner = FineTuner(change(ema_decay=ema_decay), 4, CPU, steps_per_epoch=6)
    learner.train_epoch(train)
    learner.save(tmp_path / "state.pt")
    model, recipe = model_from_checkpoint(tmp_path / "state.pt")
    assert recipe == learner.recipe
    assert not model.training
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels), learner.export_model()(pixels))


def test_nothing_but_tensors_and_plain_values(recipe, train, tmp_path):
    learner = FineTuner(recipe, 4, CPU, steps_per_epoch=6)
    learner.train_epoch(train)
    learner.save(tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], state["step"], state["num_genres"]) == (1, 6, 4)


def test_missing_and_damaged(tmp_path):
    with pytest.raises(ModelError, match="no training state at"):
        read_state(tmp_path / "none.pt")
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 not whole")
    with pytest.raises(ModelError, match=r"half\.pt is damaged"):
        read_state(tmp_path / "half.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other\.pt holds no training state"):
        read_state(tmp_path / "other.pt")


def test_a_state_without_all_that_is_needed(recipe, tmp_path):
    state = FineTuner(recipe, 4, CPU, steps_per_epoch=6).state_dict()
    del state["epoch"], state["ema"]
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ModelError, match=r"state\.pt holds no training state: .* no epoch, ema"):
        read_state(tmp_path / "state.pt")


@pytest.mark.parametrize(
    "spoilt", [{"recipe": {"backbone": "small_cnn"}}, {"model": {}}, {"num_genres": 7}]
)
def test_a_state_that_does_not_fit_itself(recipe, tmp_path, spoilt):
    state = FineTuner(recipe, 4, CPU, steps_per_epoch=6).state_dict()
    torch.save(state | spoilt, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="does not fit its own recipe") as caught:
        model_from_checkpoint(tmp_path / "state.pt")
    assert "\n" not in str(caught.value)


def test_a_truncated_state(recipe, tmp_path):
    path = tmp_path / "state.pt"
    FineTuner(recipe, 4, CPU, steps_per_epoch=6).save(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="is damaged"):
        read_state(path)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot write the training state"):
        write_state({"recipe": {}}, tmp_path / "file" / "state.pt")


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(ModelError, match="cannot write the training state"):
        write_state({"recipe": {}}, tmp_path / "moved" / "state.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def fail(state, out):
        raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos\nframe #0")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(ModelError, match=r"cannot write .*: .enforce fail .* pos$"):
        write_state({}, tmp_path / "state.pt")
    assert list(tmp_path.iterdir()) == []

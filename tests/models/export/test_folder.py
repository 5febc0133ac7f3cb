import json
import os
import shutil
import stat

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from covertune.models import ModelFolderError, get_backbone, load_model


@pytest.fixture(scope="module")
def written(tmp_path_factory, save, small_cnn):
    out = tmp_path_factory.mktemp("models") / "model"
    return out, save(out, model=small_cnn)


@pytest.fixture
def folder(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written[0], tmp_path / "model")


@pytest.fixture
def unsealed(folder):
    """A copy that does not say what it held."""
    (folder / "SHA256SUMS").unlink()
    return folder


def test_what_is_in_it(written):
    out, summary = written
    assert set(summary.files) == {
        *("README.md", "SHA256SUMS", "config.json"),
        *("model.onnx", "model.safetensors", "predict.py"),
    }
    assert summary.files == {file.name: file.stat().st_size for file in out.iterdir()}
    assert summary.onnx_difference <= 1e-4
    assert [p.name for p in out.parent.iterdir()] == ["model"]


def test_everybody_whom_the_umask_allows_can_read_it(tmp_path, save, small_cnn):
    before = os.umask(0o022)
    try:
        save(tmp_path / "model", model=small_cnn)
    finally:
        os.umask(before)
    for file in (tmp_path / "model").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o644, file.name


def test_weights_say_what_they_are(written, genres):
    with safetensors.safe_open(written[0] / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"  # transformers asks for it
    assert metadata["backbone"] == "small_cnn"
    assert json.loads(metadata["label_names"]) == genres
    assert metadata["covertune"]


def test_the_same_model_is_the_same_bytes(written, tmp_path, save, small_cnn):
    save(tmp_path / "again", model=small_cnn)
    for name in ("model.safetensors", "config.json", "SHA256SUMS"):
        assert (tmp_path / "again" / name).read_bytes() == (written[0] / name).read_bytes(), name


def test_loaded_tells_the_same(written, small_cnn, covers, recipe_for, card, genres):
    classifier = load_model(written[0])
    assert classifier.genres == genres
    assert classifier.recipe == recipe_for()
    assert classifier.card.provenance == card.provenance
    pixels = get_backbone("small_cnn").input.normalise(torch.tensor(covers))
    with torch.inference_mode():
        wanted = small_cnn(pixels).softmax(dim=1).numpy()
    np.testing.assert_allclose(classifier.probabilities(covers), wanted, atol=1e-5)
    assert wanted.std() > 0.05


def test_config_is_for_others_to_read(written, genres):
    config = json.loads((written[0] / "config.json").read_text(encoding="utf-8"))
    assert set(config) == {"num_classes", "label_names", "covertune"}
    assert (config["num_classes"], config["label_names"]) == (4, genres)
    ours = config["covertune"]
    assert ours["format"] == 2
    assert ours["preprocessing"]["size"] == [32, 32]
    assert ours["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert ours["metrics"]["test"]["ece"] is None, "JSON has no NaN"
    assert ours["onnx"]["outputs"] == ["logits", "probabilities"]
    assert ours["onnx"]["opset"] >= 18
    assert ours["loading"]["library"] == "covertune"


def test_a_private_path_is_not_told(tmp_path, save, small_cnn):
    out = tmp_path / "model"
    save(out, model=small_cnn, weights="/home/someone/secret/w.pth")
    assert load_model(out).recipe.weights == "w.pth"
    told = (out / "README.md").read_text() + (out / "config.json").read_text()
    assert "secret" not in told
    assert told.count("that of the given weights, which is not known to covertune") == 2


def test_genres_without_a_name(tmp_path, save, small_cnn, genres):
    with pytest.raises(ModelFolderError, match="a name for each of the model's 4 genres, got 3"):
        save(tmp_path / "out", model=small_cnn, genres=genres[:3])
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_of_another_network(tmp_path, save, small_cnn):
    rule = r"must be shufflenet_v2_x0_5 at 32 px, as its recipe says, it is not \(Error"
    with pytest.raises(ModelFolderError, match=rule) as caught:
        save(tmp_path / "out", "shufflenet_v2_x0_5", model=small_cnn)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_existing_and_replaced(folder, save, small_cnn):
    with pytest.raises(ModelFolderError, match=r"a model folder must be new, .* exists"):
        save(folder, model=small_cnn)
    (folder / "model.onnx").unlink()
    save(folder, model=small_cnn, replace=True)
    assert len(list(folder.iterdir())) == 6


def test_a_graph_that_disagrees_is_left_out_and_told(tmp_path, save, small_cnn, monkeypatch):
    monkeypatch.setattr("covertune.models.export.onnx_graph.TOLERANCE", -1.0)
    summary = save(tmp_path / "model", model=small_cnn)
    assert set(summary.files) == {"README.md", "SHA256SUMS", "config.json", "model.safetensors"}
    assert summary.onnx_difference is None
    reason = summary.config.covertune.no_onnx_because
    assert reason.startswith("the ONNX graph must give torch's probabilities within -1.0")
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"There is no `model.onnx`: {reason}." in card
    assert "onnxruntime" not in card
    assert load_model(tmp_path / "model").genres


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_unwritable(tmp_path, save, small_cnn):
    tmp_path.chmod(0o500)
    with pytest.raises(ModelFolderError, match="cannot write the model folder"):
        save(tmp_path / "out", model=small_cnn)


def test_a_file_in_the_way(tmp_path, save, small_cnn):
    (tmp_path / "file").touch()
    with pytest.raises(ModelFolderError, match="cannot write the model folder"):
        save(tmp_path / "file" / "out", model=small_cnn)


DISK_MB = 6


def test_a_full_disk_is_no_matter_of_the_graph(small_disk, save, small_cnn):
    """The weights of the small network take 5 MB, and so does the graph."""
    with pytest.raises(ModelFolderError, match=r"cannot write the model folder .*: No space left"):
        save(small_disk / "model", model=small_cnn)
    assert list(small_disk.iterdir()) == []


def test_no_folder(tmp_path):
    with pytest.raises(ModelFolderError, match=r"no model folder at .*: it has no config.json"):
        load_model(tmp_path)


def test_another_format(unsealed):
    config = json.loads((unsealed / "config.json").read_text())
    config["covertune"]["format"] = 3
    (unsealed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match=r"must have format 1 or 2, .* has 3"):
        load_model(unsealed)
    (unsealed / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    with pytest.raises(ModelFolderError, match=r"must have format 1 or 2, .* has None"):
        load_model(unsealed)


def test_damaged_config(unsealed):
    config = json.loads((unsealed / "config.json").read_text())
    (unsealed / "config.json").write_text(json.dumps(config | {"label_names": "crime"}))
    with pytest.raises(ModelFolderError, match="is damaged: label_names: input should be a valid"):
        load_model(unsealed)
    (unsealed / "config.json").write_text("{")
    with pytest.raises(ModelFolderError, match="is damaged"):
        load_model(unsealed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c | {"num_classes": 5}, "label_names must name each of num_classes 5, got 4"),
        (lambda c: c["covertune"]["preprocessing"].update(size=[0, 0]), "size.0: input should be"),
        (lambda c: c["covertune"]["preprocessing"].update(size=[64, 64]), "that of the recipe, 32"),
        (lambda c: c["covertune"]["preprocessing"].update(std=[0, 1, 1]), "std.0: input should be"),
    ],
)
def test_config_that_contradicts_itself(unsealed, change, message):
    config = json.loads((unsealed / "config.json").read_text())
    (unsealed / "config.json").write_text(json.dumps(change(config) or config))
    with pytest.raises(ModelFolderError, match=message) as caught:
        load_model(unsealed)
    assert "\n" not in str(caught.value)


def test_config_without_end(unsealed):
    (unsealed / "config.json").write_text("[" * 200_000)
    with pytest.raises(ModelFolderError, match="is damaged"):
        load_model(unsealed)


def test_weights_that_are_called_like_a_choice(tmp_path, save, small_cnn):
    save(tmp_path / "model", model=small_cnn, weights="/home/someone/default")
    assert load_model(tmp_path / "model").recipe.weights == "./default"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "weights: a local file" in card
    assert "that of the given weights, which is not known to covertune" in card


def test_keys_of_other_programs_are_let_be(unsealed, covers):
    config = json.loads((unsealed / "config.json").read_text())
    (unsealed / "config.json").write_text(json.dumps(config | {"torch_dtype": "float32"}))
    assert load_model(unsealed).probabilities(covers).shape == (3, 4)


def test_damaged_and_missing_weights(unsealed):
    weights = unsealed / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFolderError, match="must hold the weights of small_cnn with 4 genres"):
        load_model(unsealed)
    weights.unlink()
    with pytest.raises(ModelFolderError, match="must hold the weights"):
        load_model(unsealed)


def test_weights_of_other_genres(unsealed):
    state = get_backbone("small_cnn").build(7).state_dict()
    safetensors.torch.save_file(state, unsealed / "model.safetensors")
    with pytest.raises(ModelFolderError, match=r"with 4 genres \(Error\(s\) in loading") as caught:
        load_model(unsealed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "config.json"])
@pytest.mark.parametrize("harm", ["changed", "cut"])
def test_what_was_changed_or_cut_is_told(folder, name, harm):
    file = folder / name
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(
        content[:middle]
        + (b"" if harm == "cut" else bytes([content[middle] ^ 1]) + content[middle + 1 :])
    )
    with pytest.raises(ModelFolderError, match=f"{name} was changed or cut since") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_the_card_may_be_edited_and_the_graph_removed(folder, covers):
    (folder / "README.md").write_text("Mine now.")
    (folder / "model.onnx").unlink()
    (folder / "predict.py").unlink()
    assert load_model(folder).probabilities(covers).shape == (3, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "px"), [("efficientnet_lite0", 64), ("squeezenet1_1", 64)])
def test_other_backbones(name, px, tmp_path, capfd, save):
    summary = save(tmp_path / "out", name, px)
    assert summary.onnx_difference <= 1e-4
    covers = np.zeros((3, px, px, 3), dtype=np.uint8)
    assert load_model(tmp_path / "out").probabilities(covers).shape == (3, 4)
    assert capfd.readouterr() == ("", ""), "exporter and libraries are quiet"

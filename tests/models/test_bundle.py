import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from data_pipeline import load_square
from models import BundleError, Recipe, get_backbone, load_bundle, write_bundle
from models.heads import head_of

ROOT = Path(__file__).parents[2]
GENRES = ["crime", "poetry & prose", "romance", "Über|reise"]
FACTS = {
    "metrics": {"test": {"top1": 0.75, "top1_interval": [0.6, 0.85], "ece": float("nan")}},
    "provenance": {"run": "first", "trial": 3, "covers": {"train": 96, "val": 48}},
}
RECIPE = Recipe(
    backbone="small_cnn", image_px=32, epochs=1, lr_head=0.1, lr_backbone=0.1, weights="none"
)


def checked_covers(px=32):
    return np.random.default_rng(0).integers(0, 256, (3, px, px, 3), dtype=np.uint8)


def model():
    torch.manual_seed(0)
    built = get_backbone("small_cnn").build(4, image_px=32)
    with torch.no_grad():
        head_of(built).weight.mul_(20)  # probabilities that differ
    return built.eval()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "bundle"
    summary = write_bundle(
        out, model(), RECIPE, get_backbone("small_cnn"), GENRES, FACTS, checked_covers()
    )
    return out, summary


@pytest.fixture
def bundle(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written[0], tmp_path / "bundle")


def test_what_is_in_it(written):
    out, summary = written
    assert set(summary.files) == {"README.md", "config.json", "model.onnx", "model.safetensors"}
    assert summary.files == {file.name: file.stat().st_size for file in out.iterdir()}
    assert summary.onnx_difference <= 1e-4
    assert [p.name for p in out.parent.iterdir()] == ["bundle"]


def test_loaded_tells_the_same(written):
    classifier = load_bundle(written[0])
    assert classifier.genres == GENRES
    assert classifier.recipe == RECIPE
    assert classifier.facts["provenance"] == FACTS["provenance"]
    pixels = get_backbone("small_cnn").input.normalise(torch.tensor(checked_covers()))
    with torch.inference_mode():
        wanted = model()(pixels).softmax(dim=1).numpy()
    np.testing.assert_allclose(classifier.probabilities(checked_covers()), wanted, atol=1e-5)
    assert wanted.std() > 0.05


def test_config_is_for_others_to_read(written):
    config = json.loads((written[0] / "config.json").read_text(encoding="utf-8"))
    assert config["preprocessing"]["size"] == [32, 32]
    assert config["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert config["id2label"]["1"] == "poetry & prose"
    assert config["label2id"]["romance"] == 2
    assert config["metrics"]["test"]["ece"] is None, "JSON has no NaN"
    assert config["onnx"]["outputs"] == ["logits", "probabilities"]
    assert config["onnx"]["opset"] >= 18


def test_the_graph_tells_nothing_about_this_machine(written):
    content = (written[0] / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


@pytest.mark.parametrize("kind", ["JPEG", "16-bit grey"])
def test_the_cards_code_runs_without_torch(written, tmp_path, kind):
    """The first block of the model card, copied, in a fresh interpreter."""
    card = (written[0] / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    folder = shutil.copytree(written[0], tmp_path / "copy")
    cover = checked_covers()[0]
    if kind == "JPEG":
        Image.fromarray(cover).save(folder / "cover.jpg", quality=95)
        decoded = np.asarray(Image.open(folder / "cover.jpg"))
    else:
        grey = cover[..., 0].astype(np.uint16) << 8
        Image.fromarray(grey).save(folder / "cover.jpg", "PNG")
        decoded = np.repeat(cover[..., :1], 3, axis=2)
    answer = subprocess.run(
        [sys.executable, "-c", code + "\nimport sys; assert 'torch' not in sys.modules"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    told = dict(eval(answer.stdout))
    wanted = load_bundle(folder).probabilities(decoded[None])[0]
    assert [told[genre] for genre in GENRES] == pytest.approx(wanted.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("fit", "size"),
    [("squash", (40, 70)), ("pad", (40, 70)), ("pad", (70, 41)), ("crop", (40, 70))],
)
def test_the_card_fits_covers_as_we_do(tmp_path, fit, size):
    """With Pillow and numpy alone."""
    out = tmp_path / "bundle"
    recipe = RECIPE.model_copy(update={"fit": fit})
    write_bundle(out, model(), recipe, get_backbone("small_cnn"), GENRES, {}, checked_covers())
    how = json.loads((out / "config.json").read_text())["preprocessing"]
    assert (how["resize"], how["bars"] is None) == (fit, fit != "pad")
    noise = np.random.default_rng(3).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).save(out / "cover.jpg", "PNG")
    card = (out / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=True
    )
    told = dict(eval(answer.stdout))
    classifier = load_bundle(out)
    assert classifier.fit == fit
    square = load_square(out / "cover.jpg", classifier.image_px, classifier.fit)
    wanted = classifier.probabilities(square[None])[0]
    assert [told[genre] for genre in GENRES] == pytest.approx(wanted.tolist(), abs=1e-4)


def test_the_cards_covertune_code_runs(written, tmp_path):
    card = (written[0] / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)[1]
    folder = shutil.copytree(written[0], tmp_path / "copy")
    Image.fromarray(checked_covers()[0]).save(folder / "cover.jpg")
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert set(eval(answer.stdout)) == set(GENRES)


def test_the_card(written):
    card = (written[0] / "README.md").read_text(encoding="utf-8")
    assert "# Book genre from a cover: small_cnn at 32 px" in card
    assert "| top1 | 0.75 |" in card
    assert "| top1_interval | 0.6 to 0.85 |" in card
    assert "- covers: train 96, val 48" in card
    assert "none, trained from scratch" in card
    assert "{" not in card.replace('{"pixel_values": pixel_values}', "")


def test_a_private_path_is_not_told(tmp_path):
    recipe = RECIPE.model_copy(update={"weights": "/home/someone/secret/w.pth"})
    out = tmp_path / "bundle"
    write_bundle(out, model(), recipe, get_backbone("small_cnn"), GENRES, {}, checked_covers())
    assert load_bundle(out).recipe.weights == "w.pth"
    told = (out / "README.md").read_text() + (out / "config.json").read_text()
    assert "secret" not in told
    assert told.count("that of the given weights, which is not known to covertune") == 2


@pytest.mark.parametrize(
    ("genres", "recipe", "message"),
    [
        (GENRES[:3], RECIPE, "a name for each of the model's 4 genres, got 3"),
        (
            GENRES,
            RECIPE.model_copy(update={"backbone": "shufflenet_v2_x0_5"}),
            r"must be shufflenet_v2_x0_5 at 32 px, as its recipe says, it is not \(Error",
        ),
    ],
    ids=["genres", "recipe"],
)
def test_what_does_not_belong_together(tmp_path, genres, recipe, message):
    backbone = get_backbone(recipe.backbone)
    with pytest.raises(BundleError, match=message) as caught:
        write_bundle(tmp_path / "out", model(), recipe, backbone, genres, {}, checked_covers())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_existing_and_replaced(bundle):
    args = (model(), RECIPE, get_backbone("small_cnn"), GENRES, {}, checked_covers())
    with pytest.raises(BundleError, match=r"a model folder must be new, .* exists"):
        write_bundle(bundle, *args)
    (bundle / "model.onnx").unlink()
    write_bundle(bundle, *args, replace=True)
    assert len(list(bundle.iterdir())) == 4


def test_a_graph_that_disagrees_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("models.onnx_graph.TOLERANCE", -1.0)
    with pytest.raises(BundleError, match="must give torch's probabilities within"):
        write_bundle(
            tmp_path / "out",
            model(),
            RECIPE,
            get_backbone("small_cnn"),
            GENRES,
            {},
            checked_covers(),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_unwritable(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="cannot write the model folder"):
        write_bundle(
            tmp_path / "out",
            model(),
            RECIPE,
            get_backbone("small_cnn"),
            GENRES,
            {},
            checked_covers(),
        )


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot write the model folder"):
        write_bundle(
            tmp_path / "file" / "out",
            model(),
            RECIPE,
            get_backbone("small_cnn"),
            GENRES,
            {},
            checked_covers(),
        )


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match=r"no model folder at .*: it has no config.json"):
        load_bundle(tmp_path)


def test_another_format(bundle):
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(BundleError, match=r"must have format 1, .* has 2"):
        load_bundle(bundle)


def test_damaged_config(bundle):
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps(config | {"genres": "crime"}))
    with pytest.raises(BundleError, match="is damaged: genres: Input should be a valid list"):
        load_bundle(bundle)
    (bundle / "config.json").write_text("{")
    with pytest.raises(BundleError, match="is damaged"):
        load_bundle(bundle)


def test_damaged_and_missing_weights(bundle):
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BundleError, match="must hold the weights of small_cnn with 4 genres"):
        load_bundle(bundle)
    weights.unlink()
    with pytest.raises(BundleError, match="must hold the weights"):
        load_bundle(bundle)


def test_weights_of_other_genres(bundle):
    state = get_backbone("small_cnn").build(7).state_dict()
    safetensors.torch.save_file(state, bundle / "model.safetensors")
    with pytest.raises(BundleError, match=r"with 4 genres \(Error\(s\) in loading") as caught:
        load_bundle(bundle)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "px"), [("efficientnet_lite0", 64), ("squeezenet1_1", 64)])
def test_other_backbones(name, px, tmp_path, capfd):
    backbone = get_backbone(name)
    recipe = RECIPE.model_copy(update={"backbone": name, "image_px": px})
    built = backbone.build(4, image_px=px, weights="none")
    summary = write_bundle(
        tmp_path / "out", built, recipe, backbone, GENRES, {}, checked_covers(px)
    )
    assert summary.onnx_difference <= 1e-4
    assert load_bundle(tmp_path / "out").probabilities(checked_covers(px)).shape == (3, 4)
    assert capfd.readouterr() == ("", ""), "the exporter is quiet"

"""Which library a folder says it loads in: those that were seen to give the same answers."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from covertune.models import get_backbone, load_model
from covertune.models.export.answers import same_answers


def config_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_efficientnet_lite0_is_timms_of_another_name(tmp_path, save):
    """timm's `efficientnet_lite0` takes these weights without a word and predicts otherwise."""
    import timm

    save(tmp_path / "model", "efficientnet_lite0", 64)
    config = config_of(tmp_path / "model")
    assert config["architecture"] == "tf_efficientnet_lite0"
    state = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
    pixels = torch.rand(4, 3, 64, 64)
    answers = {}
    for name in ("efficientnet_lite0", "tf_efficientnet_lite0"):
        model = timm.create_model(name, num_classes=4)
        model.load_state_dict(state)  # both take it
        with torch.inference_mode():
            answers[name] = model.eval()(pixels)
    with torch.inference_mode():
        wanted = load_model(tmp_path / "model").model(pixels)
    assert same_answers(answers["tf_efficientnet_lite0"], wanted)
    assert not same_answers(answers["efficientnet_lite0"], wanted)


def test_the_keys_of_timm_and_no_others(tmp_path, save, genres):
    save(tmp_path / "model", "timm/test_efficientnet", 64)
    config = config_of(tmp_path / "model")
    assert set(config) == {
        *("architecture", "num_classes", "num_features", "label_names", "pretrained_cfg"),
        "covertune",
    }
    assert config["architecture"] == "test_efficientnet"
    assert config["label_names"] == genres
    assert config["pretrained_cfg"] == {
        "input_size": [3, 64, 64],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "mean": list(get_backbone("timm/test_efficientnet").input.mean),
        "std": list(get_backbone("timm/test_efficientnet").input.std),
        "num_classes": 4,
        "first_conv": "conv_stem",
        "classifier": "classifier",
    }
    assert config["covertune"]["loading"]["library"] == "timm"


@pytest.mark.parametrize(("fit", "mode"), [("squash", "squash"), ("pad", "border")])
def test_how_a_cover_meets_the_square_in_timms_words(tmp_path, save, fit, mode):
    save(tmp_path / "model", "timm/test_efficientnet", 64, fit=fit)
    assert config_of(tmp_path / "model")["pretrained_cfg"]["crop_mode"] == mode


@pytest.mark.parametrize("px", [96, 160])
def test_a_network_of_fixed_size_is_told_it(tmp_path, save, px):
    """timm resizes its table of positions without a word, transformers fails."""
    save(tmp_path / "model", "timm/test_vit", px)
    config = config_of(tmp_path / "model")
    assert config["model_args"] == {"img_size": [px, px]}
    assert config["pretrained_cfg"]["fixed_input_size"]
    assert config["pretrained_cfg"]["input_size"] == [3, px, px]


def test_a_torchvision_resnet_is_timms(tmp_path, save):
    save(tmp_path / "model", "resnet18", 64)
    config = config_of(tmp_path / "model")
    assert config["architecture"] == "resnet18"
    assert config["pretrained_cfg"]["classifier"] == "fc"


@pytest.mark.parametrize(
    ("name", "px", "args"),
    [
        ("shufflenet_v2_x0_5", 32, {}),
        ("googlenet", 64, {"aux_logits": False, "transform_input": True, "init_weights": False}),
        ("mnasnet0_5", 32, {}),
    ],
)
def test_other_torchvision_networks_say_how_to_build_them(tmp_path, save, name, px, args):
    save(tmp_path / "model", name, px)
    config = config_of(tmp_path / "model")
    assert "architecture" not in config
    assert "pretrained_cfg" not in config
    loading = config["covertune"]["loading"]
    assert (loading["library"], loading["model"]) == ("torchvision", name)
    assert loading["args"] == args
    covers = np.zeros((1, px, px, 3), dtype=np.uint8)
    assert load_model(tmp_path / "model").probabilities(covers).shape == (1, 4)


def test_what_no_other_library_builds_says_so(tmp_path, save):
    """SqueezeNet's head is ours: torchvision's own is a convolution under a ReLU."""
    save(tmp_path / "model", "squeezenet1_1", 64)
    config = config_of(tmp_path / "model")
    assert "architecture" not in config
    assert config["covertune"]["loading"] == {
        "library": "covertune",
        "model": "squeezenet1_1",
        "args": {},
        "how": "covertune; or model.onnx",
    }


@pytest.mark.parametrize("error", [OSError, IndexError, ImportError, NotImplementedError])
def test_a_library_that_breaks_costs_no_folder(tmp_path, save, monkeypatch, error):
    def broken(*args, **options):
        raise error("not today")

    monkeypatch.setattr("covertune.models.export.loading._create_timm", broken)
    save(tmp_path / "model", "timm/test_efficientnet", 32)
    config = config_of(tmp_path / "model")
    assert "architecture" not in config
    assert config["covertune"]["loading"]["library"] == "covertune"


def test_the_place_of_the_folder_does_not_matter(tmp_path, save):
    """timm once cut such a path, as if it were an address."""
    save(tmp_path / "covers #1?: é" / "model", "timm/test_efficientnet", 32)
    config = config_of(tmp_path / "covers #1?: é" / "model")
    assert config["architecture"] == "test_efficientnet"


def test_an_untrained_network_cannot_hide_another_padding():
    """Its probabilities are all alike, its logits are not."""
    wanted = torch.randn(4, 5) * 1e-3
    assert same_answers(wanted + 1e-8, wanted)
    assert not same_answers(wanted + 1e-5, wanted)
    assert not same_answers(wanted * float("nan"), wanted)
    assert not same_answers(wanted[:, :4], wanted)

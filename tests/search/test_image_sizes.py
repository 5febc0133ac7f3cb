"""Which input sizes trials choose from."""

import pytest

from models import ModelError
from search.config import SearchConfig
from search.image_sizes import choose_image_px


def sizes(*backbones, on_gpu, **settings):
    return choose_image_px(SearchConfig(backbones=backbones, **settings), on_gpu=on_gpu)


def test_a_gpu_chooses_between_the_own_size_and_half_of_it():
    assert sizes("efficientnet_lite0", on_gpu=True) == {"efficientnet_lite0": (96, 224)}


def test_a_cpu_keeps_to_the_small_one():
    chosen = sizes("efficientnet_lite0", "resnet18", on_gpu=False)
    assert chosen == {"efficientnet_lite0": (128,), "resnet18": (128,)}


def test_the_user_decides():
    assert sizes("resnet18", on_gpu=True, image_px=(160, 192)) == {"resnet18": (160, 192)}


def test_an_unknown_backbone_is_named():
    with pytest.raises(ModelError, match="resnet5"):
        sizes("resnet5", on_gpu=False)

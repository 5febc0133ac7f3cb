"""Which input sizes trials choose from."""

import pytest

from covertune.models import ModelError
from covertune.search.config import SearchConfig
from covertune.search.setup.image_sizes import affordable_image_px, choose_image_px


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


LITE = "efficientnet_lite0"


def grown(time_budget_s, *, epoch_s=80.0, slots=2, **settings):
    config = SearchConfig(time_budget_s=time_budget_s, **settings)
    sizes = {LITE: config.image_px or (128,)}
    return affordable_image_px(sizes, config, {(LITE, 128): epoch_s}, slots)[LITE]


@pytest.mark.parametrize(
    ("budget_s", "px"), [(600, 128), (2400, 128), (3600, 160), (7200, 224), (1e6, 224)]
)
def test_a_longer_budget_pays_for_larger_covers(budget_s, px):
    assert grown(budget_s) == (px,)


def test_faster_machines_and_more_slots_pay_too():
    assert grown(3600, epoch_s=20.0) == (224,)
    assert grown(3600, slots=8) == (224,)


def test_without_a_time_budget_or_where_the_user_decides_sizes_stay():
    assert grown(None) == (128,)
    assert grown(1e6, image_px=(96,)) == (96,)

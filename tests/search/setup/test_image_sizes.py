"""Which input sizes trials choose from."""

import pytest

from covertune.models import ModelError
from covertune.search.setup.image_sizes import affordable_image_px, choose_image_px


def sizes(*backbones, on_gpu, given=None):
    return choose_image_px(backbones, given, on_gpu=on_gpu)


def test_a_gpu_chooses_between_the_own_size_and_half_of_it():
    assert sizes("efficientnet_lite0", on_gpu=True) == {"efficientnet_lite0": (96, 224)}


def test_a_cpu_keeps_to_the_small_one():
    chosen = sizes("efficientnet_lite0", "resnet18", on_gpu=False)
    assert chosen == {"efficientnet_lite0": (128,), "resnet18": (128,)}


def test_the_user_decides():
    assert sizes("resnet18", on_gpu=True, given=(160, 192)) == {"resnet18": (160, 192)}


def test_an_unknown_backbone_is_named():
    with pytest.raises(ModelError, match="resnet5"):
        sizes("resnet5", on_gpu=False)


@pytest.fixture
def grown(check):
    def of(time_budget_s, *, epoch_s=80.0, slots=2, times_larger=1.0):
        """In six epochs a trial."""
        lite = check(backbone="efficientnet_lite0", image_px=128, epoch_s=epoch_s)
        seconds = time_budget_s * slots / 6
        return affordable_image_px([lite], seconds, times_larger=times_larger)[lite.backbone]

    return of


@pytest.mark.parametrize(
    ("budget_s", "px"), [(600, 128), (2400, 128), (3600, 160), (7200, 224), (1e6, 224)]
)
def test_a_longer_budget_pays_for_larger_covers(grown, budget_s, px):
    assert grown(budget_s) == (px,)


def test_faster_machines_and_more_slots_pay_too(grown):
    assert grown(3600, epoch_s=20.0) == (224,)
    assert grown(3600, slots=8) == (224,)


def test_a_rehearsal_takes_the_size_of_the_whole_search(grown):
    assert grown(3600, epoch_s=8.0, times_larger=10.0) == grown(3600)

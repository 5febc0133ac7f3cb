import pickle

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from covertune.models import ModelError, get_backbone, list_backbones
from covertune.models.backbones.heads import head_of
from covertune.models.backbones.stages import stages

TORCHVISION = [b.name for b in list_backbones() if b.source == "torchvision"]


def test_built_in_first_then_all_of_torchvision():
    names = [backbone.name for backbone in list_backbones()]
    assert names[:2] == ["efficientnet_lite0", "small_cnn"]
    assert {"alexnet", "vgg19", "resnet18", "densenet121", "vit_h_14"} <= set(names)
    assert len(names) >= 80


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("resnet18", ["resnet18"]),
        ("shufflenet_v2_x?_5", ["shufflenet_v2_x0_5", "shufflenet_v2_x1_5"]),
        ("lite0", ["efficientnet_lite0"]),
        ("nothing", []),
        ("timm/vit_tiny_r_s16*_224", ["timm/vit_tiny_r_s16_p8_224"]),
    ],
)
def test_patterns(pattern, found):
    assert [backbone.name for backbone in list_backbones(pattern)] == found


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("resnet5", "resnet50"),
        ("efficientnet_light0", "efficientnet_lite0"),
        ("timm/resnet5x", "timm/resnet50"),
        ("timm/resnet18.no_such_tag", "timm/resnet18"),
        ("", "efficientnet_lite0"),
    ],
)
def test_unknown_names_close_ones(name, close):
    with pytest.raises(
        ModelError, match=rf"unknown backbone '{name}'; known: .*{close}.*`covertune"
    ):
        get_backbone(name)


def test_facts_come_with_the_name():
    resnet = get_backbone("resnet18")
    assert (resnet.source, resnet.parameters, resnet.gflops) == ("torchvision", 11_689_512, 1.814)
    assert (resnet.input.image_px, resnet.input.mean) == (224, (0.485, 0.456, 0.406))
    assert (resnet.weights, resnet.licence) == ("torchvision IMAGENET1K_V1", "BSD-3-Clause")
    assert "non-commercial" in get_backbone("vit_h_14").licence


@pytest.mark.parametrize("name", ["efficientnet_lite0", "small_cnn"])
def test_facts_of_the_built_in_ones_are_true(name):
    backbone = get_backbone(name)
    model = backbone.architecture(backbone.input.image_px)
    assert sum(p.numel() for p in model.parameters()) == backbone.parameters
    with FlopCounterMode(display=False) as counter:
        model.to("meta")(torch.zeros(1, 3, *[backbone.input.image_px] * 2, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(backbone.gflops, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_every_backbone_builds_and_gives_logits(name):
    """On the meta device: shapes, without memory or arithmetic."""
    backbone = get_backbone(name)
    px = backbone.input.image_px
    model = backbone.skeleton(7).eval()
    features = []
    head_of(model).register_forward_pre_hook(lambda head, args: features.append(args[0]))
    assert model(torch.zeros(2, 3, px, px, device="meta")).shape == (2, 7)
    assert [f.shape for f in features] == [(2, head_of(model).in_features)]
    found = stages(model)
    assert 4 <= len(found) <= 9
    owned = [id(p) for stage in found for p in stage.parameters()]
    owned += [id(p) for p in head_of(model).parameters()]
    assert sorted(owned) == sorted({id(p) for p in model.parameters()})


@pytest.mark.parametrize(
    ("name", "image_px"),
    [
        ("alexnet", 64),
        ("convnext_tiny", 32),
        ("densenet121", 32),
        ("efficientnet_b0", 32),
        ("googlenet", 64),
        ("inception_v3", 96),
        ("mnasnet0_5", 32),
        ("mobilenet_v3_small", 32),
        ("regnet_x_400mf", 32),
        ("shufflenet_v2_x0_5", 32),
        ("squeezenet1_0", 64),
        ("swin_t", 48),
        ("vit_b_32", 64),
        ("efficientnet_lite0", 48),
        ("small_cnn", 16),
        ("timm/vit_tiny_patch16_224", 64),
        ("timm/convnext_atto", 32),
    ],
)
def test_other_image_sizes(name, image_px):
    model = get_backbone(name).build(3, image_px=image_px, weights="none").eval()
    with torch.inference_mode():
        logits = model(torch.randn(2, 3, image_px, image_px))
    assert logits.shape == (2, 3)
    assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize(
    ("name", "image_px", "message"),
    [
        ("alexnet", 32, "alexnet takes images of at least 63 px, got 32"),
        ("vit_b_16", 100, "vit_b_16 takes multiples of 16 px, got 100"),
        ("maxvit_t", 256, "maxvit_t takes multiples of 224 px, got 256"),
        ("timm/xcit_nano_12_p8_224", 100, "timm cannot build xcit_nano_12_p8_224 for 100 px"),
        ("timm/gcvit_xxtiny", 100, r"gcvit_xxtiny does not take covers of 100 px \(shape"),
    ],
)
def test_sizes_it_does_not_take(name, image_px, message):
    with pytest.raises(ModelError, match=message):
        get_backbone(name).build(3, image_px=image_px, weights="none")


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "small_cnn", "timm/resnet18"])
def test_entries_travel_between_processes(name):
    assert pickle.loads(pickle.dumps(get_backbone(name))) == get_backbone(name)


def test_one_genre_is_no_classification():
    with pytest.raises(ModelError, match="at least 2 genres, got 1"):
        get_backbone("small_cnn").build(1)


def test_two_classifiers_at_once():
    name = "timm/deit_tiny_distilled_patch16_224"
    with pytest.raises(ModelError, match="must have one linear classifier, it has tuple"):
        get_backbone(name).build(3, weights="none")

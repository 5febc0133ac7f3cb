import pytest
import torch

from covertune.models import ModelError, get_backbone
from covertune.models.backbones.heads import head_of
from covertune.models.backbones.stages import freeze, stages


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("efficientnet_lite0", "conv_stem..bn1", "conv_head..bn2", 9),
        ("small_cnn", "stem", "blocks.3..norm", 5),
        ("resnet50", "conv1..bn1", "layer4", 5),
        ("vit_b_32", "conv_proj", "encoder.layers.encoder_layer_10..encoder.ln", 7),
        ("convnext_tiny", "features.0", "features.7..classifier.0", 8),
        ("timm/convnext_atto", "stem", "stages.3..head.norm", 5),
    ],
)
def test_from_the_stem_to_the_last_block(name, first, last, count):
    names = get_backbone(name).stage_names()
    assert (names[0], names[-1], len(names)) == (first, last, count)


def test_every_parameter_is_in_one_stage_or_the_head():
    model = get_backbone("timm/vit_tiny_patch16_224").skeleton()
    owned = [id(p) for stage in stages(model) for p in stage.parameters()]
    owned += [id(p) for p in head_of(model).parameters()]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    assert any(p is model.pos_embed for p in stages(model)[0].loose)


@pytest.mark.parametrize("name", ["timm/xcit_nano_12_p16_224", "timm/hrnet_w18_small"])
def test_no_stage_ends_at_a_mere_list(name):
    """Nobody calls a list: hooks on it would never run."""
    modules = [m for stage in stages(get_backbone(name).skeleton()) for m in stage.modules]
    assert not any(isinstance(m, torch.nn.ModuleList | torch.nn.ModuleDict) for m in modules)


def test_freeze_and_thaw():
    model = get_backbone("small_cnn").build(3)
    assert [s.name for s in freeze(model, 2)] == ["stem", "blocks.0"]
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any(name.startswith("blocks.1.") for name in trained)
    assert not any(name.startswith(("stem", "blocks.0")) for name in trained)
    assert {"norm.weight", "classifier.bias"} <= trained
    freeze(model, 0)
    assert all(p.requires_grad for p in model.parameters())


def test_all_frozen_leaves_the_head():
    model = get_backbone("small_cnn").build(3)
    freeze(model, 5)
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]


def test_too_many():
    model = get_backbone("small_cnn").build(3)
    with pytest.raises(ModelError, match="must be 0 to 5 for this backbone, got 6; its stages are"):
        freeze(model, 6)


def test_a_skeleton_costs_no_memory():
    assert {p.device for p in get_backbone("regnet_y_128gf").skeleton().parameters()} == {
        torch.device("meta")
    }

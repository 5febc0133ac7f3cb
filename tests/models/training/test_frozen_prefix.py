import pytest
import torch

from covertune.models import get_backbone
from covertune.models.backbones.heads import head_of
from covertune.models.backbones.stages import freeze, stages
from covertune.models.precision import Precision
from covertune.models.training.frozen_prefix import frozen_prefix

MIXED = Precision(torch.device("cpu"), None, torch.bfloat16)
SOME = [
    ("efficientnet_lite0", 64),
    ("small_cnn", 32),
]
FAMILIES = [
    ("alexnet", 64),
    ("densenet121", 32),
    ("googlenet", 64),
    ("inception_v3", 96),
    ("mnasnet0_5", 32),
    ("mobilenet_v2", 32),
    ("regnet_y_400mf", 32),
    ("resnet18", 32),
    ("shufflenet_v2_x0_5", 32),
    ("squeezenet1_1", 64),
    ("swin_t", 64),
    ("swin_v2_t", 64),
    ("convnext_tiny", 32),
    ("vit_b_32", 64),
    ("timm/convnext_atto", 32),
    ("timm/vit_tiny_patch16_224", 64),
    ("timm/swin_tiny_patch4_window7_224", 56),
    ("timm/mobilenetv3_small_050", 32),
    ("timm/mixer_s32_224", 224),
    ("timm/regnety_002", 32),
    ("timm/xcit_nano_12_p16_224", 32),
    ("timm/hrnet_w18_small", 32),
]


def train_a_step(name, image_px, frozen_share):
    """Gradients of a step with some stages frozen, and which modules computed in what."""
    model = get_backbone(name).build(3, image_px=image_px, weights="none").train()
    all_stages = stages(model)
    frozen = max(1, round(frozen_share * len(all_stages)))
    freeze(model, frozen)
    for stage in all_stages[:frozen]:
        for module in stage.modules:
            module.eval()
    with frozen_prefix(all_stages, frozen, head_of(model), MIXED):
        logits = model(torch.randn(4, 3, image_px, image_px))
        logits.logsumexp(dim=1).mean().backward()
    return model, logits, all_stages, frozen


@pytest.mark.parametrize(("name", "image_px"), SOME)
@pytest.mark.parametrize("frozen_share", [0.1, 0.5, 1.0])
def test_gradients_flow_where_they_should(name, image_px, frozen_share):
    check_gradients(name, image_px, frozen_share)


@pytest.mark.parametrize(("name", "image_px"), FAMILIES)
def test_gradients_flow_in_every_family(name, image_px):
    check_gradients(name, image_px, 0.5)


def check_gradients(name, image_px, frozen_share):
    model, logits, all_stages, frozen = train_a_step(name, image_px, frozen_share)
    assert logits.dtype == torch.float32
    for number, stage in enumerate(all_stages):
        for parameter in stage.parameters():
            assert (parameter.grad is not None) == (number >= frozen), stage.name
    assert all(p.grad is not None for p in head_of(model).parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_frozen_stages_compute_in_bfloat16_and_the_others_do_not():
    model = get_backbone("small_cnn").build(3)
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, a, out, name=name: seen.update({name: out.dtype}))
    freeze(model, 2)
    with frozen_prefix(stages(model), 2, head_of(model), MIXED):
        model(torch.zeros(2, 3, 32, 32))
    assert seen["blocks.0"] == torch.bfloat16
    assert seen["blocks.1"] == seen["classifier"] == torch.float32


def test_the_hooks_go_when_the_forward_pass_fails():
    model = get_backbone("small_cnn").build(3)
    with (
        pytest.raises(RuntimeError),
        frozen_prefix(stages(model), 2, head_of(model), MIXED),
    ):
        model(torch.zeros(2, 5, 32, 32))
    assert not torch.is_autocast_enabled("cpu")
    assert model(torch.zeros(2, 3, 32, 32)).dtype == torch.float32

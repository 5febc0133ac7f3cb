"""What a search asks before it begins: whether its models could leave."""

import pytest
import torch
from torch import nn

from covertune.models import ModelFolderError, get_backbone
from covertune.models.export import require_weights_return


@pytest.mark.parametrize("name", ["small_cnn", "mnasnet0_5", "timm/test_vit"])
def test_weights_come_back(name, recipe_for):
    """torchvision's MNASNet asks for the versions of layers, which safetensors has not."""
    backbone = get_backbone(name)
    px = 160 if name == "timm/test_vit" else 32
    model = backbone.build(3, image_px=px, weights="none").eval()
    require_weights_return(model, recipe_for(name, px), 3, torch.rand(2, 3, px, px))


def test_what_has_other_entries_is_told(recipe_for):
    model = get_backbone("small_cnn").build(3, image_px=32)
    with pytest.raises(ModelFolderError, match="the weights of a mnasnet0_5 must load") as caught:
        require_weights_return(model, recipe_for("mnasnet0_5"), 3, torch.rand(2, 3, 32, 32))
    assert "\n" not in str(caught.value)


def test_what_answers_otherwise_is_told(recipe_for):
    """A network with something in it that is in no state dict."""

    class Shifted(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def state_dict(self, *args, **kwargs):
            return self.inner.state_dict(*args, **kwargs)

        def forward(self, pixel_values):
            return self.inner(pixel_values) + torch.arange(3.0)

    model = Shifted(get_backbone("small_cnn").build(3, image_px=32))
    with pytest.raises(ModelFolderError, match="must answer alike before and after"):
        require_weights_return(model, recipe_for(), 3, torch.rand(2, 3, 32, 32))

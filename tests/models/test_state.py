import pytest
import torch

from covertune.models import average_weights, get_backbone
from covertune.models.state import load_state


def test_a_network_that_asks_for_the_versions_of_its_layers():
    """torchvision's MNASNet takes entries without a version for those of its first release."""
    model, other = (
        get_backbone("mnasnet0_5").build(3, image_px=32, weights="none") for _ in range(2)
    )
    average = average_weights([model.state_dict(), other.state_dict()], [1, 1])
    with pytest.raises(ValueError, match="version should be set to 1 or 2 instead of None"):
        model.load_state_dict(average)
    load_state(model, average)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, average[name])


def test_it_is_strict():
    model = get_backbone("small_cnn").build(3, image_px=32)
    state = dict(model.state_dict())
    state.pop("stem.weight")
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"stem.weight\""):
        load_state(model, state)

import numpy as np
import torch

from covertune.models import InputSpec


def test_normalise_is_the_formula_in_channels_last_memory():
    spec = InputSpec(8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    images = torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8)
    told = spec.normalise(images)
    wanted = (images.numpy() / 255 - np.array(spec.mean)) / np.array(spec.std)
    assert told.shape == (5, 3, 8, 8)
    assert told.dtype == torch.float32
    assert told.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(told.permute(0, 2, 3, 1).numpy(), wanted, atol=1e-5)


def test_the_covers_stay_as_they_are():
    images = torch.full((1, 4, 4, 3), 200, dtype=torch.uint8)
    InputSpec(4).normalise(images)
    assert images.unique().tolist() == [200]


def test_at_another_size():
    spec = InputSpec(224, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert spec.at(128) == InputSpec(128, mean=(0.5,) * 3, std=(0.5,) * 3)

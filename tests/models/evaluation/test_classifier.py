import numpy as np
import pytest
import torch

from covertune.models import UNTUNED, Classifier, InputSpec, ModelError, get_backbone


@pytest.fixture
def classifier():
    model = get_backbone("small_cnn").build(3, image_px=32)
    return Classifier(model, InputSpec(32), ["crime", "poetry", "travel"], UNTUNED, {"metrics": {}})


def test_probabilities_whatever_the_number_of_covers(classifier, train):
    images = train.images_NHWC.numpy()
    told = classifier.probabilities(images)
    assert told.shape == (96, 3)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    np.testing.assert_allclose(told[70:71], classifier.probabilities(images[70:71]), atol=1e-5)
    assert classifier.probabilities(images[:0]).shape == (0, 3)


def test_a_read_only_view_is_fine(classifier, train):
    images = train.images_NHWC.numpy()[::2]
    images.setflags(write=False)
    assert len(classifier.probabilities(images)) == 48


@pytest.mark.parametrize(
    ("images", "came"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), r"uint8 \(2, 16, 16, 3\)"),
        (np.zeros((2, 32, 32, 3), np.float32), r"float32 \(2, 32, 32, 3\)"),
        (np.zeros((32, 32, 3), np.uint8), r"uint8 \(32, 32, 3\)"),
    ],
)
def test_what_is_no_cover(classifier, images, came):
    with pytest.raises(ModelError, match=rf"shape \(N, 32, 32, 3\), got {came}"):
        classifier.probabilities(images)


def test_in_eval_mode(classifier):
    assert not classifier.model.training
    assert classifier.device == torch.device("cpu")

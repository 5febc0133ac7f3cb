"""Averages of weights."""

import pytest
import torch

from covertune.models import ModelError, average_weights, get_backbone


def state(fill, *, width=3):
    return {
        "weight": torch.full((width, 2), float(fill)),
        "running_mean": torch.full((2,), float(fill) * 10),
        "batches": torch.tensor(int(fill)),
    }


def test_each_tensor_is_the_weighted_mean():
    average = average_weights([state(1), state(5)], [3, 1])
    assert torch.equal(average["weight"], torch.full((3, 2), 2.0))
    assert torch.equal(average["running_mean"], torch.full((2,), 20.0))


def test_counters_are_those_of_the_first():
    assert average_weights([state(1), state(5)], [1, 1])["batches"] == 1


def test_dtypes_stay_and_the_models_too():
    first = {"weight": torch.ones(2, dtype=torch.bfloat16)}
    average = average_weights([first, {"weight": torch.full((2,), 3.0)}], [1, 1])
    assert average["weight"].dtype == torch.bfloat16
    assert average["weight"].tolist() == [2.0, 2.0]
    assert first["weight"].tolist() == [1.0, 1.0]


def test_a_model_takes_its_average_with_itself():
    model = get_backbone("small_cnn").build(3, image_px=32, weights="none")
    average = average_weights([model.state_dict()] * 3, [1, 1, 1])
    for name, tensor in model.state_dict().items():
        assert torch.allclose(average[name], tensor)


@pytest.mark.parametrize("shares", [[1], [0, 0], [1, 1, 1]])
def test_each_model_has_a_share(shares):
    with pytest.raises(ModelError, match="a share for each of its models, got 2 models"):
        average_weights([state(1), state(2)], shares)


def test_other_architectures_are_refused():
    with pytest.raises(ModelError, match="one backbone"):
        average_weights([state(1), state(2, width=4)], [1, 1])

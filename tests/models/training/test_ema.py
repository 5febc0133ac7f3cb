import copy

import torch

from covertune.models import get_backbone
from covertune.models.training.ema import EmaModel


def test_moves_by_the_warmed_up_decay_and_averages_running_statistics():
    model = get_backbone("small_cnn").build(3)
    ema = EmaModel(model, decay=0.9)
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    ema.update(model, step=2)  # min(0.9, 3 / 12) = 0.25
    after = ema.module.state_dict()
    torch.testing.assert_close(after["stem.weight"], before["stem.weight"] + 0.75)
    torch.testing.assert_close(after["norm.running_mean"], before["norm.running_mean"] + 0.75)
    assert after["norm.num_batches_tracked"] == 1
    ema.update(model, step=10_000)
    torch.testing.assert_close(ema.module.stem.weight, before["stem.weight"] + 0.775)


def test_asks_for_no_gradients_and_never_trains():
    ema = EmaModel(get_backbone("small_cnn").build(3).train(), decay=0.9)
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())

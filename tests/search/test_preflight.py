"""What is tried before anything long starts. Whole preflights run in test_runner."""

import pytest

from search.cluster import Slots
from search.config import SearchConfig
from search.errors import PreflightError
from search.preflight import (
    BackboneCheck,
    _check_disk,
    _device_warnings,
    _estimate_s,
    _setting_warnings,
)
from search.run_folder import RunFolder


def check(**overrides):
    facts = {
        "backbone": "small_cnn",
        "image_px": 32,
        "stages": 4,
        "pretrained": False,
        "node": "here",
        "device": "cpu",
        "train_covers_per_s": 10.0,
        "eval_covers_per_s": 30.0,
        "decode_covers_per_s": 100.0,
        "memory_mb": 100.0,
        "checkpoint_mb": 1.0,
    }
    return BackboneCheck(**(facts | overrides))


def slots(**overrides):
    facts = {
        "count": 2,
        "cpus_per_trial": 1,
        "gpus_per_trial": 0.0,
        "cpus": 2,
        "gpus": 0,
        "nodes": 1,
    }
    return Slots(**(facts | overrides))


def test_the_estimate_follows_the_rungs():
    # 9 epochs, eta 3: all train 1, a third 2 more, a ninth 6 more = 1 + 2/3 + 6/9 epochs each
    config = SearchConfig(trials=6, epochs=9)
    assert _estimate_s(config, slots(), 6, [30.0]) == pytest.approx(3 * 30 * (1 + 2 / 3 + 6 / 9))


def test_settings_without_effect_are_warned_of():
    assert _setting_warnings(SearchConfig()) == []
    assert "no rung below" in _setting_warnings(SearchConfig(epochs=3, grace_epochs=3))[0]
    assert "no effect without" in _setting_warnings(SearchConfig(baseline_name="Kaggle"))[0]


def test_a_full_disk_is_said_with_figures(tmp_path):
    config = SearchConfig(runs_dir=tmp_path, name="a")
    run = RunFolder.create(config)
    _check_disk(run, (check(),), 16)
    with pytest.raises(PreflightError, match=r"needs about 18,000,000,000 MB for checkpoints"):
        _check_disk(run, (check(checkpoint_mb=1e9),), 16)


@pytest.mark.parametrize(
    ("checks", "held", "warning"),
    [
        ([check()], {}, None),
        ([check(device="NVIDIA H200")], {"gpus": 1, "gpus_per_trial": 1.0}, None),
        ([check()], {"gpus": 1, "gpus_per_trial": 1.0}, "torch there cannot use it"),
        ([check()], {"gpus": 2}, "2 GPU(s) are there and not used"),
    ],
)
def test_an_unused_gpu_is_a_warning(checks, held, warning):
    told = _device_warnings(tuple(checks), slots(**held))
    assert told == [] if warning is None else warning in told[0]

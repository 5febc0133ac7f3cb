"""What is tried before anything long starts. Whole preflights run in test_runner."""

import contextlib
import shutil
from dataclasses import replace

import pytest

from covertune.search.config import SearchConfig
from covertune.search.errors import PreflightError
from covertune.search.plan import TrainedBefore
from covertune.search.record.run_folder import RunFolder
from covertune.search.setup.preflight import (
    ToDo,
    _check_disk,
    _device_warnings,
    _estimate_s,
    _memory_warnings,
)


def to_do(trials, keep=3, **settings):
    config = SearchConfig(**settings)
    return ToDo(trials, config.trial_plan, config.halving, keep)


def test_the_estimate_follows_the_rungs(check, slots):
    # 9 epochs, eta 3: all train 1, a third 2 more, a ninth 6 more = 1 + 2/3 + 6/9 epochs each
    one = to_do(6, epochs=9, brackets=1)
    checks = [check(epoch_s=30.0)]
    assert _estimate_s(one, slots(), checks) == pytest.approx(3 * 30 * (1 + 2 / 3 + 6 / 9))
    # of the second bracket all train 3, a third 6 more
    mean = (1 + 2 / 3 + 6 / 9 + 3 + 6 / 3) / 2
    assert _estimate_s(to_do(6, epochs=9), slots(), checks) == pytest.approx(3 * 30 * mean)
    assert _estimate_s(to_do(None), slots(), checks) is None


def test_the_estimate_learns_from_what_trials_took(check, slots):
    checks = [check(epoch_s=30.0), check(backbone="other", epoch_s=90.0)]
    asked = to_do(6, epochs=1)
    assert _estimate_s(asked, slots(), checks) == pytest.approx(3 * 60)
    before = (
        TrainedBefore("small_cnn", 32, 4, 40.0),  # 10 s each, not 30
        TrainedBefore("other", 32, 1, 30.0),  # 30 s, not 90
        TrainedBefore("small_cnn", 64, 1, 1e6),  # of which nobody told anything
    )
    learnt = _estimate_s(replace(asked, before=before), slots(), checks)
    assert learnt == pytest.approx(3 * 60 / 3)


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(SearchConfig(runs_dir=tmp_path, name="a"))


def test_a_full_disk_is_said_with_figures(run, check, slots):
    _check_disk(run, (check(),), slots(), to_do(16))
    large = check(checkpoint_mb=1e9, backbone="vit_h")
    with pytest.raises(
        PreflightError,
        match=r"needs about 8,000,000,000 MB for checkpoints \(4 kept and 2 running, vit_h takes "
        r"1,000,000,000 MB each\), .* MB free; choose another --runs-dir, a smaller keep_checkp",
    ):
        _check_disk(run, (check(), large), slots(), to_do(16))


@pytest.mark.parametrize(
    ("trials", "keep", "at_once"),
    [
        (16, 3, 4 + 4),  # the best three, the untuned one, two running that write the next
        (2, 3, 2 + 4),
        (1, 3, 1 + 2),
        (None, 3, 4 + 4),
        (16, None, 16 + 4),
        (None, None, 64 + 4),
    ],
)
def test_how_many_checkpoints_lie_there_at_once(
    run, check, slots, monkeypatch, trials, keep, at_once
):
    usage = shutil.disk_usage(run.path)
    for free_mb, fits in ((at_once, True), (at_once - 1, False)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free_mb: usage._replace(free=free * 2**20)
        )
        with contextlib.nullcontext() if fits else pytest.raises(PreflightError):
            _check_disk(run, (check(),), slots(), to_do(trials, keep))


def test_what_a_resumed_run_holds_is_counted_on(run, check, slots, monkeypatch):
    usage = shutil.disk_usage(run.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5 * 2**20))
    with pytest.raises(PreflightError):
        _check_disk(run, (check(),), slots(), to_do(16))
    for number in range(3):
        run.checkpoint(number).write_bytes(bytes(2**20))
    _check_disk(run, (check(),), slots(), to_do(16))


def test_a_batch_that_did_not_fit_is_warned_of(check):
    assert _memory_warnings((check(),)) == []
    (warning,) = _memory_warnings((check(micro_batch=16),))
    assert "small_cnn at 32 px ran out of memory on cpu" in warning
    assert "16 covers at a time" in warning


@pytest.mark.parametrize(
    ("found", "held", "warning"),
    [
        ({}, {}, None),
        ({"device": "NVIDIA H200"}, {"gpus": 1, "gpus_per_trial": 1.0}, None),
        ({}, {"gpus": 1, "gpus_per_trial": 1.0}, "torch there cannot use it"),
        ({}, {"gpus": 2}, "2 GPU(s) are there and not used"),
    ],
)
def test_an_unused_gpu_is_a_warning(check, slots, found, held, warning):
    told = _device_warnings((check(**found),), slots(**held))
    assert told == [] if warning is None else warning in told[0]

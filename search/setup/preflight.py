"""What is tried before anything long starts.

Every node must see store and run, every backbone must work (`backbone_check.py`), and checkpoints
must fit on the disk. What cannot work stops the search here, within seconds; what works is timed,
and the time of the whole search estimated from it.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import torch

from covertune.search.cluster.nodes import require_shared_storage
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.errors import PreflightError
from covertune.search.events import BackboneCheck, PreflightReport, Slots
from covertune.search.record.run_folder import RunFolder
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.setup.backbone_check import check_backbones
from covertune.search.setup.feed import Feed

__all__ = ["run_preflight"]

_TRIALS_WITHOUT_LIMIT = 64  # where nothing but time ends a search, and every checkpoint is kept
_MB = 2**20
_BRACKETS = SearchConfig.model_fields["brackets"].default
_BASELINE_NAME = SearchConfig.model_fields["baseline_name"].default


def run_preflight(
    config: SearchConfig,
    feed: Feed,
    run: RunFolder,
    workers: Workers,
    image_px: dict[str, tuple[int, ...]],
    finished: int = 0,
) -> PreflightReport:
    """Try everything a trial needs.

    Args:
        config: The search.
        feed: The covers trials will see.
        run: Where checkpoints will go.
        workers: Do it, on what trials will run on.
        image_px: Input sizes to try, by backbone.
        finished: Trials of the run that have ended already.

    Raises:
        PreflightError: Something cannot work; the message names it and the remedy.
    """
    store, slots = feed.store, workers.slots
    require_shared_storage(run, store)
    pairs = [(name, px) for name, sizes in image_px.items() for px in sizes]
    checks = check_backbones(config, feed, workers, pairs)
    left = None if config.trial_limit is None else max(config.trial_limit - finished, 0)
    _check_disk(run, checks, slots, left, config.keep_checkpoints)
    epoch_s = {(c.backbone, c.image_px): _epoch_s(c, feed, slots) for c in checks}
    return PreflightReport(
        checks=checks,
        warnings=(
            *_device_warnings(checks, slots),
            *_memory_warnings(checks),
            *_streaming_warnings(config, checks, feed, epoch_s),
            *_setting_warnings(config),
        ),
        epoch_s=epoch_s,
        search_s=None if left is None else _estimate_s(config, slots, left, list(epoch_s.values())),
    )


def _check_disk(
    run: RunFolder,
    checks: tuple[BackboneCheck, ...],
    slots: Slots,
    trials: int | None,
    keep: int | None,
) -> None:
    """Room for all checkpoints that a search holds at once, were all of the largest backbone.

    A running trial has one and writes the next beside it; beside these lie those that are kept, and
    the untuned one's. At the end no trial runs, and the exported model takes the room of one that
    did. What the run holds already is counted on.

    Args:
        run: Where they will lie.
        checks: Know how large they are.
        slots: Trials side by side.
        trials: That are to come; None: no limit.
        keep: See `search.record.retention`.
    """
    held = run.checkpoint_bytes()
    trials = _TRIALS_WITHOUT_LIMIT if trials is None else trials
    running = min(slots.count, max(trials, 1))
    kept = len(held) + trials
    if keep is not None:
        kept = min(kept, keep + 1)
    largest = max(checks, key=lambda check: check.checkpoint_mb)
    need_mb = largest.checkpoint_mb * (kept + 2 * running) - sum(held.values()) / _MB
    free_mb = shutil.disk_usage(run.path).free / _MB
    if free_mb < need_mb:
        fewer = "fewer --trials, " if keep is None else "a smaller keep_checkpoints, "
        raise PreflightError(
            f"the run needs about {need_mb:,.0f} MB for checkpoints ({kept} kept and {running} "
            f"running, {largest.backbone} takes {largest.checkpoint_mb:,.0f} MB each), "
            f"{run.path.parent} has {free_mb:,.0f} MB free; choose another --runs-dir, {fewer}"
            "a lower --concurrent, or smaller backbones"
        )


def _epoch_s(check: BackboneCheck, feed: Feed, slots: Slots) -> float:
    """Seconds of one fully trained epoch, validation included."""
    train_s = feed.count("train") / check.train_covers_per_s
    val_s = feed.count("val") / check.eval_covers_per_s
    decode_s = _decode_s(check, feed)
    if slots.gpus_per_trial:
        return max(train_s + val_s, decode_s)  # decoded while the GPU works
    return train_s + val_s + decode_s


def _decode_s(check: BackboneCheck, feed: Feed) -> float:
    """Seconds an epoch's streamed covers take to decode."""
    streamed = sum(
        feed.count(split) for split in ("train", "val") if feed.plan.streams(check.image_px, split)
    )
    return streamed / check.decode_covers_per_s / feed.decoding_threads


def _streaming_warnings(
    config: SearchConfig,
    checks: tuple[BackboneCheck, ...],
    feed: Feed,
    epoch_s: dict[tuple[str, int], float],
) -> list[str]:
    """What is not held in memory, and what that costs."""
    told = []
    allowed = config.memory_gb * 1e9 if config.memory_gb is not None else math.inf
    ray_is_full = feed.plan.room < allowed and (config.memory_gb or config.address)
    remedy = "start Ray with more object_store_memory" if ray_is_full else "raise --memory-gb"
    for px in sorted({check.image_px for check in checks}):
        streamed = [split for split in ("train", "val") if feed.plan.streams(px, split)]
        if not streamed:
            continue
        check = max((c for c in checks if c.image_px == px), key=lambda c: _decode_s(c, feed))
        told.append(
            f"{' and '.join(streamed)} at {px} px are streamed: decoded covers need "
            f"{feed.plan.needed / 1e9:.2f} GB, there is room for {feed.plan.room / 1e9:.2f} GB; "
            f"decoding them anew takes about {_decode_s(check, feed):,.0f} s of each epoch of "
            f"{epoch_s[check.backbone, px]:,.0f} s; {remedy} or choose a smaller --image-px"
        )
    return told


def _device_warnings(checks: tuple[BackboneCheck, ...], slots: Slots) -> list[str]:
    """A GPU that is there and not used must not go unnoticed."""
    on_cpu = sorted({c.node for c in checks if c.device == "cpu"})
    if slots.gpus and slots.gpus_per_trial == 0:
        return [f"{slots.gpus} GPU(s) are there and not used: --gpus-per-trial is 0"]
    if slots.gpus and on_cpu:
        return [
            f"Ray gives trials a GPU on {', '.join(on_cpu)}, but torch there cannot use it and "
            "they run on the CPU: install a torch build that fits the driver"
        ]
    if not slots.gpus and (torch.cuda.is_available() or Path("/dev/nvidia0").exists()):
        return ["this machine has a GPU that Ray does not offer: check CUDA_VISIBLE_DEVICES"]
    return []


def _memory_warnings(checks: tuple[BackboneCheck, ...]) -> list[str]:
    """Batches that do not fit are trained all the same, but not for nothing."""
    return [
        f"{check.backbone} at {check.image_px} px ran out of memory on {check.device}: large "
        f"batches are trained {check.micro_batch} covers at a time, which is slower, and batch "
        "normalisation sees no more of them; a smaller --image-px or more memory a trial avoids it"
        for check in checks
        if check.micro_batch is not None
    ]


def _setting_warnings(config: SearchConfig) -> list[str]:
    """Settings that have no effect."""
    told = []
    if config.grace_epochs >= config.epochs > 1:
        told.append("no trial is stopped early: there is no rung below the last epoch")
    rungs = len(SuccessiveHalving.of(config).rungs)
    if config.brackets > max(rungs, _BRACKETS):
        told.append(
            f"brackets {config.brackets} has no more effect than {max(rungs, 1)}, the number of "
            "rungs; more epochs have more"
        )
    if config.baseline is None and config.baseline_name != _BASELINE_NAME:
        told.append(f"baseline_name {config.baseline_name!r} has no effect without a baseline")
    return told


def _estimate_s(config: SearchConfig, slots: Slots, trials: int, epoch_s: list[float]) -> float:
    """Mean epochs under successive halving, times the mean epoch, over the trials side by side."""
    mean_s = sum(epoch_s) / len(epoch_s)
    epochs = SuccessiveHalving.of(config).mean_epochs()
    return math.ceil(trials / slots.count) * epochs * mean_s

"""What is tried before anything long starts.

Every node must see store and run, every backbone must work (`backbone_check.py`), and checkpoints
must fit on the disk. What cannot work stops the search here, within seconds; what works is timed,
and the time of the whole search estimated from it.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from covertune.search.cluster.nodes import require_shared_storage
from covertune.search.cluster.workers import Workers
from covertune.search.errors import PreflightError
from covertune.search.events import BackboneCheck, PreflightReport
from covertune.search.plan import HalvingPlan, Slots, TrainedBefore, TrialPlan
from covertune.search.record.run_folder import RunFolder
from covertune.search.schedule.halving import SuccessiveHalving
from covertune.search.setup.backbone_check import check_backbones
from covertune.search.setup.feed import Feed

__all__ = ["ToDo", "run_preflight"]

_TRIALS_WITHOUT_LIMIT = 64  # where nothing but time ends a search, and every checkpoint is kept
_MB = 2**20


@dataclass(frozen=True)
class ToDo:
    """What is still ahead of a search.

    Attributes:
        trials: To come; None: only the time budget limits them.
        plan: What they have in common.
        halving: When they are judged.
        keep_checkpoints: Of how many that have ended, beside the untuned one's; None: of all.
        before: What is behind a search that is taken up.
    """

    trials: int | None
    plan: TrialPlan
    halving: HalvingPlan
    keep_checkpoints: int | None
    before: tuple[TrainedBefore, ...] = ()


def run_preflight(
    to_do: ToDo, feed: Feed, run: RunFolder, workers: Workers, sizes: Mapping[str, tuple[int, ...]]
) -> PreflightReport:
    """Try everything a trial needs.

    Args:
        to_do: What is ahead.
        feed: The covers trials will see.
        run: Where checkpoints will go.
        workers: Do it, on what trials will run on.
        sizes: Input sizes to try, by backbone.

    Raises:
        PreflightError: Something cannot work; the message names it and the remedy.
    """
    slots = workers.slots
    require_shared_storage(run, feed.store)
    checks = tuple(
        replace(check, epoch_s=_epoch_s(check, feed, slots))
        for check in check_backbones(to_do.plan, feed, workers, sizes)
    )
    _check_disk(run, checks, slots, to_do)
    return PreflightReport(
        checks=checks,
        warnings=(
            *_device_warnings(checks, slots),
            *_memory_warnings(checks),
            *_room_warnings(checks, feed),
        ),
        search_s=_estimate_s(to_do, slots, checks),
    )


def _check_disk(
    run: RunFolder, checks: tuple[BackboneCheck, ...], slots: Slots, to_do: ToDo
) -> None:
    """Require room for all checkpoints a search holds at once, were all of the largest backbone.

    A running trial has one and writes the next beside it; beside these lie those that are kept, and
    the untuned one's. At the end no trial runs, and the exported model takes the room of one that
    did. What the run holds already is counted on.

    Args:
        run: Where they will lie.
        checks: Know how large they are.
        slots: Trials side by side.
        to_do: Trials to come, and how many keep their checkpoint.
    """
    held, keep = run.checkpoint_bytes(), to_do.keep_checkpoints
    trials = _TRIALS_WITHOUT_LIMIT if to_do.trials is None else to_do.trials
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
    """Return the seconds of one fully trained epoch, validation included."""
    train_s = feed.count("train") / check.train_covers_per_s
    val_s = feed.count("val") / check.eval_covers_per_s
    decode_s = _decode_s(check, feed)
    if slots.gpus_per_trial:
        return max(train_s + val_s, decode_s)  # decoded while the GPU works
    return train_s + val_s + decode_s


def _decode_s(check: BackboneCheck, feed: Feed) -> float:
    """Return the seconds an epoch's streamed covers take to decode."""
    streamed = sum(
        feed.count(split) for split in ("train", "val") if feed.plan.streams(check.image_px, split)
    )
    return streamed / check.decode_covers_per_s / feed.decoding_threads


def _room_warnings(checks: tuple[BackboneCheck, ...], feed: Feed) -> list[str]:
    """Return what is not held in memory, and what that costs."""
    told, plan = [], feed.plan
    rooms = (
        f"decoded covers need {plan.needed / 1e9:.2f} GB, memory has room for "
        f"{plan.room / 1e9:.2f} GB"
    )
    for px in sorted({check.image_px for check in checks}):
        spilled = [split for split in ("train", "val") if plan.spills(px, split)]
        streamed = [split for split in ("train", "val") if plan.streams(px, split)]
        if spilled:
            told.append(
                f"{' and '.join(spilled)} at {px} px are decoded onto a disk: {rooms}; to have "
                f"them in memory {plan.remedy} or choose a smaller --image-px"
            )
        if streamed:
            check = max((c for c in checks if c.image_px == px), key=lambda c: _decode_s(c, feed))
            told.append(
                f"{' and '.join(streamed)} at {px} px are streamed: {rooms}, the disk for no more; "
                f"decoding them anew takes about {_decode_s(check, feed):,.0f} s of each epoch of "
                f"{check.epoch_s:,.0f} s; {plan.remedy} or choose a smaller --image-px"
            )
    return told


def _device_warnings(checks: tuple[BackboneCheck, ...], slots: Slots) -> list[str]:
    """Warn of a GPU that is there and not used, which must not go unnoticed."""
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
    """Warn that batches that do not fit are trained all the same, but not for nothing."""
    return [
        f"{check.backbone} at {check.image_px} px ran out of memory on {check.device}: large "
        f"batches are trained {check.micro_batch} covers at a time, which is slower, and batch "
        "normalisation sees no more of them; a smaller --image-px or more memory a trial avoids it"
        for check in checks
        if check.micro_batch is not None
    ]


def _estimate_s(to_do: ToDo, slots: Slots, checks: Sequence[BackboneCheck]) -> float | None:
    """Return mean epochs under successive halving, times the mean epoch, over parallel trials.

    A search that is taken up knows what epochs took: the estimate is off by as much as it would
    have been for those.
    """
    if to_do.trials is None:
        return None
    mean_s = sum(check.epoch_s for check in checks) / len(checks)
    epochs = SuccessiveHalving(to_do.halving).mean_epochs()
    estimate_s = math.ceil(to_do.trials / slots.count) * epochs * mean_s
    return estimate_s * _off_by(to_do.before, checks)


def _off_by(before: Sequence[TrainedBefore], checks: Sequence[BackboneCheck]) -> float:
    """Return what earlier trials took over what checks tell of their epochs; 1 without any."""
    epoch_s = {(check.backbone, check.image_px): check.epoch_s for check in checks}
    known = [trial for trial in before if (trial.backbone, trial.image_px) in epoch_s]
    told_s = sum(trial.epochs * epoch_s[trial.backbone, trial.image_px] for trial in known)
    return sum(trial.seconds for trial in known) / told_s if told_s else 1.0

"""What is tried before anything long starts.

Each backbone goes through one real batch of this store, a checkpoint and a restore, in a Ray
worker that holds exactly what a trial will hold. What cannot work stops the search here, within
seconds; what works is timed, and the time of the whole search estimated from it.
"""

from __future__ import annotations

import math
import platform
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
import torch
from ray.exceptions import RayError, RayTaskError

from data_pipeline import SPLITS, CoverStore, decoded_nbytes, load_square
from models import FineTuner, ModelError, Recipe, get_backbone
from search.cluster import Slots
from search.config import SearchConfig
from search.devices import describe_device, pick_device
from search.errors import PreflightError
from search.feed import Feed
from search.run_folder import RunFolder

__all__ = ["BackboneCheck", "PreflightReport", "run_preflight"]

_BATCH = 16
_CHECKPOINTS_KEPT = 64
_MB = 2**20


@dataclass(frozen=True)
class BackboneCheck:
    """What one backbone did with one real batch at one image size."""

    backbone: str
    image_px: int
    stages: int
    pretrained: bool
    node: str
    device: str
    train_covers_per_s: float
    eval_covers_per_s: float
    memory_mb: float
    checkpoint_mb: float


@dataclass(frozen=True)
class PreflightReport:
    """Everything the checks found."""

    checks: tuple[BackboneCheck, ...]
    warnings: tuple[str, ...]
    epoch_s: dict[tuple[str, int], float]
    """Seconds of one fully trained epoch, validation included, by (backbone, image_px)."""
    search_s: float | None
    """Estimated seconds of all trials; None where only the time budget ends the search."""


def run_preflight(
    config: SearchConfig,
    store: CoverStore,
    feed: Feed,
    run: RunFolder,
    slots: Slots,
    image_px: dict[str, tuple[int, ...]],
) -> PreflightReport:
    """Try everything a trial needs.

    Args:
        config: The search.
        store: Its covers.
        feed: How many of them trials see.
        run: Where checkpoints will go.
        slots: What a trial will hold.
        image_px: Input sizes to try, by backbone.

    Raises:
        PreflightError: Something cannot work; the message names it and the remedy.
    """
    data, labels = store.read_images("train", limit=_BATCH)
    pairs = [(name, px) for name, sizes in image_px.items() for px in sizes]
    check = ray.remote(num_cpus=slots.cpus_per_trial, num_gpus=slots.gpus_per_trial, max_retries=0)(
        _check_backbone
    )
    shared = ray.put((data, labels))
    futures = [
        check.remote(
            name, px, config.weights_of(name), len(store.genres), shared, slots.cpus_per_trial
        )
        for name, px in pairs
    ]
    checks = tuple(
        _result(future, name, px) for future, (name, px) in zip(futures, pairs, strict=True)
    )
    _check_disk(run, checks, config)
    _check_memory(store, {px for sizes in image_px.values() for px in sizes})
    covers = {split: feed.count(split) for split in ("train", "val")}
    epoch_s = {
        (c.backbone, c.image_px): covers["train"] / c.train_covers_per_s
        + covers["val"] / c.eval_covers_per_s
        for c in checks
    }
    return PreflightReport(
        checks=checks,
        warnings=tuple(_device_warnings(checks, slots)),
        epoch_s=epoch_s,
        search_s=_estimate_s(config, slots, list(epoch_s.values())),
    )


def _result(future: ray.ObjectRef, name: str, image_px: int) -> BackboneCheck:
    try:
        result: BackboneCheck = ray.get(future)
    except RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        if isinstance(cause, ModelError):
            raise PreflightError(str(cause)) from cause
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise PreflightError(
            f"backbone {name!r} fails on a real batch at {image_px} px: "
            f"{type(cause).__name__}: {lines[0]}; try another --image-px, "
            f"or leave {name!r} out of --backbones"
        ) from error
    except RayError as error:
        raise PreflightError(
            f"the worker that tried backbone {name!r} at {image_px} px died "
            "(out of memory?); free memory, or leave it out of --backbones"
        ) from error
    return result


def _check_backbone(
    name: str,
    image_px: int,
    weights: str,
    num_genres: int,
    covers: tuple[list[bytes], np.ndarray],
    cpus: int,
) -> BackboneCheck:
    """Runs in a worker: two training batches, one evaluation, checkpoint and restore."""
    torch.set_num_threads(cpus)
    device = pick_device(wants_gpu=bool(ray.get_gpu_ids()))
    backbone = get_backbone(name)
    data, labels = covers
    images_BHWC = torch.from_numpy(np.stack([load_square(one, image_px) for one in data]))
    batch = (images_BHWC.to(device), torch.from_numpy(np.array(labels)).to(device))
    recipe = Recipe(
        backbone=name,
        weights=weights,
        image_px=image_px,
        epochs=1,
        batch_size=len(data),
        lr_head=1e-4,
        lr_backbone=1e-4,
        weight_decay=0.0,
        head_init="random",
        batch_norm="train",
    )
    tuner = FineTuner(recipe, num_genres, device, steps_per_epoch=2)
    tuner.train_epoch([batch])  # the first batch pays for warming up
    train_s = _seconds(lambda: tuner.train_epoch([batch]), device)
    tuner.evaluate([batch])
    eval_s = _seconds(lambda: tuner.evaluate([batch]), device)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        tuner.save(checkpoint)
        tuner.restore(checkpoint)
        checkpoint_mb = checkpoint.stat().st_size / _MB
    if device.type == "cuda":
        memory_mb = torch.cuda.max_memory_allocated(device) / _MB
    else:
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return BackboneCheck(
        backbone=name,
        image_px=image_px,
        stages=len(backbone.stage_names()),
        pretrained=weights != "none" and (backbone.pretrained or weights != "default"),
        node=platform.node(),
        device=describe_device(device),
        train_covers_per_s=len(data) / train_s,
        eval_covers_per_s=len(data) / eval_s,
        memory_mb=memory_mb,
        checkpoint_mb=checkpoint_mb,
    )


def _seconds(work: object, device: torch.device) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - started, 1e-6)


def _check_disk(run: RunFolder, checks: tuple[BackboneCheck, ...], config: SearchConfig) -> None:
    """Room for one checkpoint a trial and the exported model."""
    trials = config.trial_limit or _CHECKPOINTS_KEPT
    need_mb = max(c.checkpoint_mb for c in checks) * (trials + 2)
    free_mb = shutil.disk_usage(run.path).free / _MB
    if free_mb < need_mb:
        raise PreflightError(
            f"the run needs about {need_mb:,.0f} MB for checkpoints, {run.path.parent} has "
            f"{free_mb:,.0f} MB free; choose another --runs-dir, or fewer --trials"
        )


def _check_memory(store: CoverStore, sizes: set[int]) -> None:
    """Room in Ray's object store for all splits at all sizes, the test split of the end included.

    `decode_store` checks each call for itself; a search that begins must also be able to end.
    """
    need_mb = sum(decoded_nbytes(store, px, SPLITS) for px in sizes) / _MB
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    have_mb = min(node.get("object_store_memory", 0.0) for node in nodes) / _MB
    if need_mb > have_mb:
        listed = ", ".join(f"{px}" for px in sorted(sizes))
        raise PreflightError(
            f"decoded covers at {listed} px need {need_mb:,.0f} MB of Ray's object store, the "
            f"smallest node has {have_mb:,.0f} MB; give fewer or smaller sizes with --image-px"
        )


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


def _estimate_s(config: SearchConfig, slots: Slots, epoch_s: list[float]) -> float | None:
    """Mean epochs under successive halving, times the mean epoch, over the trials side by side.

    Of n trials, n/eta pass each rung; they train from one rung to the next.
    """
    if config.trial_limit is None:
        return None
    epochs, alive, trained, rung = 0.0, 1.0, 0, config.grace_epochs
    while trained < config.epochs:
        until = min(rung, config.epochs)
        epochs += alive * (until - trained)
        trained, alive, rung = until, alive / config.eta, rung * config.eta
    mean_s = sum(epoch_s) / len(epoch_s)
    rounds = math.ceil(config.trial_limit / slots.count)
    return rounds * epochs * mean_s

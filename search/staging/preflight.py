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
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_pipeline import CoverStore, load_square
from models import FineTuner, Recipe, get_backbone, release
from search.config import SearchConfig
from search.errors import PreflightError
from search.machine.cluster import Slots
from search.machine.devices import describe_device, pick_device
from search.machine.remote import results_of
from search.machine.workers import Workers
from search.record.run_folder import RunFolder
from search.staging.feed import Feed

__all__ = ["BackboneCheck", "PreflightReport", "run_preflight"]

_CPU_BATCH = 16
_GPU_BATCH = 64  # the largest of the search space: what does not fit should show here
_LONG_PLANNING_S = 3.0
_SHAPES = 2  # of a trial's batches: the last one of an epoch is smaller
_TRIALS_WITHOUT_LIMIT = 64  # where nothing but time ends a search, and every checkpoint is kept
_MB = 2**20
_BASELINE_NAME = SearchConfig.model_fields["baseline_name"].default


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
    decode_covers_per_s: float
    """By one thread."""
    memory_mb: float
    """Peak: of the process on a CPU, of torch's allocations on a GPU."""
    checkpoint_mb: float
    micro_batch: int | None = None
    """Most covers trained at once, if the whole batch did not fit into memory."""
    channels_last: bool = True
    """How maps lie in memory where a trial is over sooner; see `_tried`."""


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
    _check_nodes(run, store)
    pairs = [(name, px) for name, sizes in image_px.items() for px in sizes]
    checks = _check_backbones(config, feed, workers, pairs)
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


def _check_nodes(run: RunFolder, store: CoverStore) -> None:
    """Every node must read the store and write where the run lies: storage they share."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1:
        return
    token = run.checkpoints / f".from-the-driver-{uuid.uuid4().hex}"
    token.touch()
    try:
        sees = ray.remote(num_cpus=0)(_sees)
        for node in nodes:
            only_there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            future = sees.options(scheduling_strategy=only_there).remote(token, store.path)
            host = node["NodeManagerAddress"]
            doing = f"looking for run and store from node {host}"
            remedy = "put both on storage that all nodes mount at the same path (--runs-dir)"
            (problem,) = results_of([future], doing, remedy=remedy, error=PreflightError)
            if problem:
                raise PreflightError(f"node {host} {problem}; {remedy}")
    finally:
        token.unlink()


def _sees(token: Path, store: Path) -> str | None:
    """Runs on a node: what is wrong with its view of the shared storage."""
    run = token.parents[2]
    if not token.exists():
        return f"does not see the run folder {run}"
    beside = token.with_name(f"{token.name}-answer-{uuid.uuid4().hex}")
    try:
        beside.touch()
        beside.unlink()
    except OSError as error:
        return f"cannot write into the run folder {run}: {error.strerror}"
    return None if store.is_dir() else f"does not see the store {store}"


def _check_backbones(
    config: SearchConfig,
    feed: Feed,
    workers: Workers,
    pairs: list[tuple[str, int]],
) -> tuple[BackboneCheck, ...]:
    """Each backbone and size in a worker that holds what a trial will hold."""
    store, slots = feed.store, workers.slots
    batch = _GPU_BATCH if slots.gpus_per_trial else _CPU_BATCH
    images, labels_N = store.read_images("train", limit=batch)
    covers = ray.put((images, labels_N, store.read_genres("train", limit=batch)))
    genres, cpus = len(store.genres), slots.cpus_per_trial
    steps = config.epochs * math.ceil(feed.count("train") / batch)
    pending = [
        workers.hand_out(
            _check_backbone,
            *(name, px, config.weights_of(name), genres, covers, cpus, steps),
            retries=0,
            anew=len(pairs) > 1,  # on a CPU peak memory is that of a process
        )
        for name, px in pairs
    ]
    found = []
    for future, (name, px) in zip(pending, pairs, strict=True):
        doing = f"trying backbone {name!r} on a real batch at {px} px"
        remedy = f"try another --image-px, or leave {name!r} out of --backbones"
        found += results_of([future], doing, remedy=remedy, error=PreflightError)
    return tuple(found)


def _check_backbone(
    name: str,
    image_px: int,
    weights: str,
    num_genres: int,
    covers: tuple[list[bytes], np.ndarray, np.ndarray | None],
    cpus: int,
    steps: int,
) -> BackboneCheck:
    """Runs in a worker: some training batches, one evaluation, checkpoint and restore."""
    torch.set_num_threads(cpus)
    device = pick_device(wants_gpu=bool(ray.get_gpu_ids()))
    backbone = get_backbone(name)
    data, *told = covers
    squares: list[np.ndarray] = []
    decode_s = _seconds(lambda: squares.extend(load_square(one, image_px) for one in data), device)
    images_BHWC = np.stack(squares)
    arrays = [images_BHWC, *(np.array(one) for one in told if one is not None)]
    batch = tuple(torch.from_numpy(array).to(device) for array in arrays)
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
        ema_decay=0.99,  # as some trials have, for the size of a checkpoint and the memory
    )
    tuner, first_s, step_s = _tried(recipe, num_genres, device, batch)
    if device.type == "cuda" and first_s > _LONG_PLANNING_S:
        del tuner
        last_s = _SHAPES * first_s + steps * step_s
        other = recipe.model_copy(update={"channels_last": False})
        tuner, first_s, step_s = _tried(other, num_genres, device, batch)
        if last_s < _SHAPES * first_s + steps * step_s:
            del tuner
            tuner, _, step_s = _tried(recipe, num_genres, device, batch)
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
        train_covers_per_s=len(data) / step_s,
        eval_covers_per_s=len(data) / eval_s,
        decode_covers_per_s=len(data) / decode_s,
        memory_mb=memory_mb,
        checkpoint_mb=checkpoint_mb,
        micro_batch=tuner.micro_batch,
        channels_last=tuner.recipe.channels_last,
    )


def _tried(
    recipe: Recipe, num_genres: int, device: torch.device, batch: tuple[torch.Tensor, ...]
) -> tuple[FineTuner, float, float]:
    """Train on one batch several times; the seconds of the first time and of a later one.

    On a GPU the first time may take long: cuDNN plans every convolution for every shape of batch it
    meets, and for depthwise ones it compiles kernels. On an H200, in bfloat16, batches of 64:
    EfficientNet-Lite0 with channels last 9 to 18 s for each shape, with channels first 0.3 s;
    ConvNeXt Nano at 224 px 0.1 s and 3 to 8 s; ResNets 0.3 s in both. What follows takes as long in
    one as in the other while few trials share the GPU, for launching kernels takes longer than they
    do.
    """
    release(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    tuner = FineTuner(recipe, num_genres, device, steps_per_epoch=2)
    times = 1 if device.type == "cpu" else 3
    first_s, *later_s = (
        _seconds(lambda: tuner.train_epoch([batch]), device) for _ in range(1 + times)
    )
    return tuner, first_s, min(later_s)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - started, 1e-6)


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
    if config.baseline is None and config.baseline_name != _BASELINE_NAME:
        told.append(f"baseline_name {config.baseline_name!r} has no effect without a baseline")
    return told


def _estimate_s(config: SearchConfig, slots: Slots, trials: int, epoch_s: list[float]) -> float:
    """Mean epochs under successive halving, times the mean epoch, over the trials side by side.

    Of n trials, n/eta pass each rung; they train from one rung to the next.
    """
    epochs, alive, trained, rung = 0.0, 1.0, 0, config.grace_epochs
    while trained < config.epochs:
        until = min(rung, config.epochs)
        epochs += alive * (until - trained)
        trained, alive, rung = until, alive / config.eta, rung * config.eta
    mean_s = sum(epoch_s) / len(epoch_s)
    return math.ceil(trials / slots.count) * epochs * mean_s

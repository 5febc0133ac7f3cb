"""Each backbone on one real batch, before anything long starts.

Training, evaluation, a checkpoint, a restore and the weights of a model folder, in a worker that
holds exactly what a trial will hold. What works is timed; on a GPU it is also seen how its maps lie
best in memory.
"""

from __future__ import annotations

import math
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from covertune.batch import Batch
from covertune.data_pipeline import load_squares
from covertune.models import FineTuner, Recipe, free_memory, get_backbone, model_from_checkpoint
from covertune.models.export import require_weights_return
from covertune.search.cluster.devices import describe_device, this_device
from covertune.search.cluster.objects import results, share
from covertune.search.cluster.workers import Workers
from covertune.search.errors import PreflightError
from covertune.search.events import BackboneCheck
from covertune.search.plan import TrialPlan
from covertune.search.setup.feed import Feed

__all__ = ["check_backbones"]

_CPU_BATCH = 16
_GPU_BATCH = 64  # the largest of the search space: what does not fit should show here
_LONG_PLANNING_S = 3.0
_EXPORTED_COVERS = 4
_REPEATS = 6
_WARM = 0.9  # of the time before: less than a tenth faster is as fast as it gets
_SHAPES = 2  # of a trial's batches: the last one of an epoch is smaller
_MB = 2**20


def check_backbones(
    plan: TrialPlan, feed: Feed, workers: Workers, sizes: Mapping[str, tuple[int, ...]]
) -> tuple[BackboneCheck, ...]:
    """Try each backbone and size in a worker.

    Args:
        plan: What trials have in common.
        feed: The covers trials will see.
        workers: Do it.
        sizes: Of their input, in px, by backbone.

    Raises:
        PreflightError: One does not work.
    """
    store = feed.store
    pairs = [(name, px) for name, of_it in sizes.items() for px in of_it]
    batch = _GPU_BATCH if workers.slots.gpus_per_trial else _CPU_BATCH
    images, labels_N = store.read_images("train", limit=batch)
    covers = share((images, labels_N, store.read_genres("train", limit=batch)))
    steps = plan.epochs * math.ceil(feed.count("train") / batch)
    pending = [
        workers.submit(
            _check_backbone,
            *(name, px, plan.weights_of(name), len(store.genres), covers, steps),
            retries=0,
            fresh_process=len(pairs) > 1,  # on a CPU peak memory is that of a process
        )
        for name, px in pairs
    ]
    found = []
    for future, (name, px) in zip(pending, pairs, strict=True):
        doing = f"trying backbone {name!r} on a real batch at {px} px"
        remedy = f"try another --image-px, or leave {name!r} out of --backbones"
        found += results([future], doing, remedy=remedy, error=PreflightError)
    return tuple(found)


def _check_backbone(
    name: str,
    image_px: int,
    weights: str,
    num_genres: int,
    covers: tuple[list[bytes], np.ndarray, np.ndarray | None],
    steps: int,
) -> BackboneCheck:
    """Try, in a worker: training batches, one evaluation, checkpoint, restore and export."""
    device = this_device()
    backbone = get_backbone(name)
    data, labels_N, genres_NK = covers

    def decoded() -> list[np.ndarray]:
        return [load_squares(one, image_px, ("squash",), fast=True)[0] for one in data]

    images_BHWC = np.stack(decoded())
    decode_s = _warm_seconds(decoded, device)
    told = (torch.from_numpy(np.array(one)) for one in (labels_N, genres_NK) if one is not None)
    batch = Batch(torch.from_numpy(images_BHWC), *told).to(device)
    recipe = _costly_recipe(name, weights, image_px, batch_size=len(data))
    trained = _fastest(recipe, num_genres, device, batch, steps)
    tuner = trained.tuner
    tuner.evaluate([batch])
    eval_s = _warm_seconds(lambda: tuner.evaluate([batch]), device)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.pt"
        tuner.save(checkpoint)
        tuner.restore(checkpoint)
        checkpoint_mb = checkpoint.stat().st_size / _MB
        saved, _ = model_from_checkpoint(checkpoint)
    # What a search exports at its end must be seen to come back before it begins.
    covers_BCHW = backbone.input.normalise(torch.from_numpy(images_BHWC[:_EXPORTED_COVERS]))
    require_weights_return(saved, recipe, num_genres, covers_BCHW)
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
        train_covers_per_s=len(data) / trained.step_s,
        eval_covers_per_s=len(data) / eval_s,
        decode_covers_per_s=len(data) / decode_s,
        memory_mb=memory_mb,
        checkpoint_mb=checkpoint_mb,
        micro_batch=tuner.micro_batch,
        channels_last=tuner.recipe.channels_last,
    )


def _costly_recipe(backbone: str, weights: str, image_px: int, *, batch_size: int) -> Recipe:
    """Return a recipe that takes as much time and memory as any: all is trained, and averaged."""
    return Recipe(
        backbone=backbone,
        weights=weights,
        image_px=image_px,
        epochs=1,
        batch_size=batch_size,
        lr_head=1e-4,
        lr_backbone=1e-4,
        weight_decay=0.0,
        head_init="random",
        batch_norm="train",
        ema_decay=0.99,
    )


@dataclass(frozen=True)
class _Trained:
    """A model after a few steps on one batch."""

    tuner: FineTuner
    first_s: float
    """Of the first step, planning included."""
    step_s: float
    """Of a later one."""

    def trial_s(self, steps: int) -> float:
        """Return the seconds of a trial of so many steps, roughly."""
        return _SHAPES * self.first_s + steps * self.step_s


def _fastest(
    recipe: Recipe,
    num_genres: int,
    device: torch.device,
    batch: Batch,
    steps: int,
) -> _Trained:
    """Train on one batch, in the memory layout with which a trial of so many steps ends sooner.

    On a GPU the first step may take long: cuDNN plans every convolution for every shape of batch it
    meets, and for depthwise ones it compiles kernels. On an H200, in bfloat16, batches of 64:
    EfficientNet-Lite0 with channels last 9 to 18 s for each shape, with channels first 0.3 s;
    ConvNeXt Nano at 224 px 0.1 s and 3 to 8 s; ResNets 0.3 s in both. What follows takes as long in
    one as in the other while few trials share the GPU, for launching kernels takes longer than they
    do. So channels first are tried where planning takes long.
    """
    trained = partial(_trained, num_genres=num_genres, device=device, batch=batch)
    last = trained(recipe)
    if device.type != "cuda" or last.first_s <= _LONG_PLANNING_S:
        return last
    last_s = last.trial_s(steps)
    del last  # the memory told is that of one model
    first = trained(recipe.model_copy(update={"channels_last": False}))
    if first.trial_s(steps) <= last_s:
        return first
    del first
    return trained(recipe)


def _trained(recipe: Recipe, num_genres: int, device: torch.device, batch: Batch) -> _Trained:
    free_memory(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    tuner = FineTuner(recipe, num_genres, device, steps_per_epoch=2)

    def step() -> None:
        tuner.train_epoch([batch])

    return _Trained(tuner, _seconds(step, device), _warm_seconds(step, device))


def _warm_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return what work takes once it is warm: the least of its times, when it falls no more.

    After a start, memory is touched for the first time, processors clock up and the kernels of
    libraries are chosen; the second of two steps may still take three times as long as the tenth.
    """
    best = _seconds(work, device)
    for _ in range(_REPEATS):
        again = _seconds(work, device)
        if again > _WARM * best:
            return min(best, again)
        best = again
    return best


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return max(time.perf_counter() - started, 1e-6)

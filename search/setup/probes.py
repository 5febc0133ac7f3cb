"""Frozen-feature probes: one per backbone, image size and fit, before the first trial.

A probe is a logistic regression on the features of the untouched backbone. It costs one forward
pass over the covers, gives trials a head to start from, and is the number fine-tuning has to beat.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from covertune.data_pipeline import Blocks, CoverRefs, EpochBatches, map_blocks
from covertune.models import (
    Features,
    HeadWeights,
    Metrics,
    ProbeResult,
    extract_features,
    fit_probe,
    get_backbone,
    inference_batch_size,
)
from covertune.models.backbones.heads import load_head
from covertune.search.cluster.devices import this_device
from covertune.search.cluster.objects import results
from covertune.search.cluster.workers import Workers
from covertune.search.events import ProbeReport
from covertune.search.plan import InputVariant, Slots
from covertune.search.record.run_folder import RunFolder
from covertune.whole import write_whole
from covertune.wording import first_line

__all__ = ["Probe", "fit_or_load_probe", "probe_file", "probe_model"]

_log = logging.getLogger(__name__)
_TASKS_PER_SLOT = 2


@dataclass(frozen=True, kw_only=True)
class Probe(ProbeReport):
    """A fitted probe."""

    head: HeadWeights


def probe_file(run: RunFolder, variant: InputVariant) -> Path:
    """Return where one probe of a run is kept."""
    fit = "" if variant.fit == "squash" else f"-{variant.fit}"
    return run.probes / f"{variant.backbone.replace('/', '--')}-{variant.height}{fit}.safetensors"


def fit_or_load_probe(
    run: RunFolder,
    variant: InputVariant,
    weights: str,
    splits: Mapping[str, CoverRefs],
    num_genres: int,
    workers: Workers,
) -> Probe:
    """Fit a probe with all workers, or read the one this run has.

    Args:
        run: Keeps the probe.
        variant: Of a pretrained backbone.
        weights: `default` or a file.
        splits: `train` and `val`, as the backbone takes them.
        num_genres: K.
        workers: Do it.

    Raises:
        SearchError: A worker failed.
    """
    backbone, image_px, fit = variant.backbone, variant.height, variant.fit
    file = probe_file(run, variant)
    kept = _read(file, variant)
    if kept is not None:
        return kept
    started = time.perf_counter()
    make = partial(FeaturesOf, backbone, weights, image_px)
    tasks = _tasks(workers.slots)
    train, val = (
        map_blocks(splits[split], make, workers.submit, tasks=tasks).refs
        for split in ("train", "val")
    )
    fitted = workers.submit(_fit_head, num_genres, len(train), *train, *val)
    result: ProbeResult
    (result,) = results(
        [fitted],
        f"probing backbone {backbone!r} at {image_px} px, {fit}",
        remedy=f"try a smaller --image-px, or leave {backbone!r} out of --backbones",
    )
    probe = Probe(
        backbone=backbone,
        image_px=image_px,
        head=result.head,
        metrics=result.val_metrics,
        seconds=time.perf_counter() - started,
        fit=fit,
    )
    _write(file, probe)
    return probe


def probe_model(probe: Probe, weights: str, num_genres: int) -> nn.Module:
    """Return the untouched backbone under the probe's head, on the CPU, ready to predict."""
    backbone = get_backbone(probe.backbone)
    model = backbone.build(num_genres, image_px=probe.image_px, weights=weights)
    load_head(model, probe.head)
    return model.eval()


def _tasks(slots: Slots) -> int:
    """Return into how many tasks a split is shared out."""
    return slots.count * (1 if slots.gpus_per_trial else _TASKS_PER_SLOT)


class FeaturesOf:
    """Computes the features that a backbone has of covers; made and called in a worker."""

    def __init__(self, backbone: str, weights: str, image_px: int) -> None:
        found = get_backbone(backbone)
        self._device = this_device()
        self._model = found.build(2, image_px=image_px, weights=weights)
        self._input_spec = found.input.at(image_px)
        self._batch_size = inference_batch_size(image_px, self._device)

    def __call__(self, covers: Blocks) -> Features:
        """Return the features of all covers of a block."""
        batches = EpochBatches(covers, self._batch_size, self._device, shuffle=False, resident=None)
        return extract_features(
            self._model, batches.epoch(0), self._device, input_spec=self._input_spec
        )


def _fit_head(num_genres: int, train_parts: int, *parts: Features) -> ProbeResult:
    """Fit the logistic regression on features, the train split's first; runs in a worker."""
    return fit_probe(
        Features.joined(parts[:train_parts]), Features.joined(parts[train_parts:]), num_genres
    )


def _write(file: Path, probe: Probe) -> None:
    facts = {"metrics": probe.metrics.model_dump(), "seconds": probe.seconds}
    head = {"weight": probe.head.weight_KD.contiguous(), "bias": probe.head.bias_K.contiguous()}
    write_whole(file, save(head, {"facts": json.dumps(facts)}))


def _read(file: Path, variant: InputVariant) -> Probe | None:
    """Return the probe of a file; None if there is none, or a damaged one, which is fitted anew."""
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads(opened.metadata()["facts"])
            metrics = Metrics.model_validate(facts["metrics"])
            head = HeadWeights(opened.get_tensor("weight"), opened.get_tensor("bias"))
    except (KeyError, OSError, SafetensorError, ValidationError) as error:
        if not isinstance(error, FileNotFoundError):
            _log.warning("the probe %s is fitted anew: %s", file, first_line(error))
        return None
    return Probe(
        backbone=variant.backbone,
        image_px=variant.height,
        fit=variant.fit,
        head=head,
        metrics=metrics,
        seconds=facts["seconds"],
    )

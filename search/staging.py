"""Everything that has to stand ready before the first trial.

machine -> preflight -> covers decoded once per size -> a frozen probe per backbone and size
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_pipeline import CoverStore, DecodedRefs
from search.budget import Budget
from search.cluster import Slots, slots_of
from search.config import SearchConfig
from search.feed import Feed, RehearsalFeed, WholeFeed
from search.image_sizes import choose_image_px
from search.observer import SearchObserver
from search.preflight import BackboneCheck, run_preflight
from search.run_folder import RunFolder
from search.scouting import Probe, scout
from search.space import BackboneFacts, SearchSpace
from search.warming import warm_workers

__all__ = ["Stage", "set_stage"]


@dataclass(frozen=True)
class Stage:
    """What the trials of one search share."""

    config: SearchConfig
    feed: Feed
    run: RunFolder
    slots: Slots
    splits: dict[int, dict[str, DecodedRefs]]
    """Decoded splits by image_px, then by split name."""
    probes: tuple[Probe, ...]
    space: SearchSpace

    @property
    def store(self) -> CoverStore:
        """The covers."""
        return self.feed.store

    def facts(self) -> dict[str, Any]:
        """What run.json keeps, so that a resumed search stands on the same stage."""
        sizes = {facts.name: list(facts.image_px) for facts in self.space.backbones}
        return {"store_fingerprint": self.store.fingerprint, "image_px": sizes}


def set_stage(
    config: SearchConfig,
    run: RunFolder,
    budget: Budget,
    observer: SearchObserver,
    *,
    image_px: dict[str, tuple[int, ...]] | None = None,
    finished: int = 0,
) -> Stage:
    """Check the machine, decode the covers, fit the probes.

    Args:
        config: What to search.
        run: Where checkpoints and probes go.
        budget: Learns how long the shortest trial takes.
        observer: Hears what happens.
        image_px: Input sizes by backbone, of a run that is taken up; None: chosen here.
        finished: Trials of the run that have ended already.

    Raises:
        PreflightError: Something a trial needs does not work here.
        DataError: The covers cannot be decoded, or do not fit into memory.
    """
    observer.stage("checking the machine")
    slots = slots_of(config)
    warm_workers(slots)
    assert config.store is not None
    store = CoverStore.open(config.store)
    feed: Feed = RehearsalFeed(store) if config.rehearse else WholeFeed(store)
    if image_px is None:
        image_px = choose_image_px(config, on_gpu=slots.gpus_per_trial > 0)
    report = run_preflight(config, feed, run, slots, image_px, finished)
    observer.preflight(report)
    for warning in report.warnings:
        observer.warn(warning)
    budget.shortest_epoch_s = min(report.epoch_s.values())

    splits = {}
    for px in sorted({px for sizes in image_px.values() for px in sizes}):
        observer.stage(f"decoding covers at {px} px")
        splits[px] = feed.for_trials(px, observer.progress)

    def probe(check: BackboneCheck) -> Probe:
        observer.stage(f"probing {check.backbone} at {check.image_px} px")
        fitted = scout(
            run,
            check.backbone,
            config.weights_of(check.backbone),
            check.image_px,
            splits[check.image_px],
            len(store.genres),
            slots,
        )
        observer.probed(fitted)
        return fitted

    probes = tuple(probe(check) for check in report.checks if check.pretrained)
    stages = {check.backbone: (check.stages, check.pretrained) for check in report.checks}
    space = SearchSpace(
        config,
        tuple(BackboneFacts(name, *facts, image_px[name]) for name, facts in stages.items()),
        frozenset((probe.backbone, probe.image_px) for probe in probes),
    )
    return Stage(config, feed, run, slots, splits, probes, space)

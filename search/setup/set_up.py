"""Everything that has to stand ready before the first trial.

machine -> what fits into memory -> preflight -> covers decoded once per size, or streamed
        -> a frozen probe per backbone, size and fit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from covertune.data_pipeline import CoverRefs, CoverStore, cover_nbytes, free_object_store_bytes
from covertune.search.cluster.session import slots_of
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.events import BackboneCheck, SearchObserver, Slots
from covertune.search.record.run_folder import RunFolder
from covertune.search.schedule.budget import Budget
from covertune.search.setup.feed import Feed, feed_of, times_larger
from covertune.search.setup.graph_check import GraphCheck
from covertune.search.setup.image_sizes import affordable_image_px, choose_image_px
from covertune.search.setup.memory import plan_memory
from covertune.search.setup.preflight import run_preflight
from covertune.search.setup.probes import Probe, fit_or_load_probe
from covertune.search.space.search_space import BackboneFacts, SearchSpace
from covertune.vocabulary import SPLITS, Fit

__all__ = ["SearchContext", "set_up"]


@dataclass(frozen=True)
class SearchContext:
    """What the trials of one search share."""

    config: SearchConfig
    feed: Feed
    run: RunFolder
    slots: Slots
    splits: dict[tuple[int, Fit], dict[str, CoverRefs]]
    """Splits by (image_px, fit), then by split name."""
    probes: tuple[Probe, ...]
    space: SearchSpace
    graph_check: GraphCheck

    @property
    def store(self) -> CoverStore:
        """The covers."""
        return self.feed.store

    def known(self) -> dict[str, Any]:
        """What run.json keeps, so that a resumed search stands on the same."""
        sizes = {facts.name: list(facts.image_px) for facts in self.space.backbones}
        return {
            "store_fingerprint": self.store.fingerprint,
            "genres": self.store.genres,
            "covers": {split: self.feed.count(split) for split in SPLITS},
            "image_px": sizes,
            "fits": list(self.space.fits),
            "probe_top1": self.probe_top1,
        }

    @property
    def probe_top1(self) -> float | None:
        """Of the best frozen probe, on validation covers."""
        return max((probe.metrics.top1 for probe in self.probes), default=None)


def set_up(
    config: SearchConfig,
    run: RunFolder,
    budget: Budget,
    observer: SearchObserver,
    *,
    image_px: dict[str, tuple[int, ...]] | None = None,
    fits: tuple[Fit, ...] | None = None,
    finished: int = 0,
) -> SearchContext:
    """Check the machine, decode the covers, fit the probes.

    Args:
        config: What to search.
        run: Where checkpoints and probes go; its run.json is told the time spent.
        budget: Knows the time spent, which run.json tells.
        observer: Hears what happens.
        image_px: Input sizes by backbone, of a run that is taken up; None: chosen here.
        fits: Fits of a run that is taken up; None: chosen here.
        finished: Trials of the run that have ended already.

    Raises:
        PreflightError: Something a trial needs does not work here.
        DataError: The covers cannot be decoded.
    """

    def begin(text: str) -> None:
        observer.phase(text)
        run.update(config, elapsed_s=round(budget.spent_s, 1))

    begin("checking the machine")
    slots = slots_of(config)
    with Workers(slots) as workers:
        workers.warm()
        assert config.store is not None
        store = CoverStore.open(config.store)
        if fits is None:
            fits = _fits_that_differ(config, store, observer)
        on_gpu = slots.gpus_per_trial > 0
        tried = choose_image_px(config, on_gpu=on_gpu) if image_px is None else image_px
        feed = _feed(config, store, slots, tried, len(fits))
        report = run_preflight(config, feed, run, workers, tried, finished)
        if image_px is None and not on_gpu:
            # A rehearsal takes the size that the whole search would take.
            epoch_s = {
                pair: seconds * times_larger(feed) for pair, seconds in report.epoch_s.items()
            }
            affordable = affordable_image_px(tried, config, epoch_s, slots.count)
            if affordable != tried:
                tried = affordable
                feed = _feed(config, store, slots, tried, len(fits))
                report = run_preflight(config, feed, run, workers, tried, finished)
        graph_check = GraphCheck({name: max(px) for name, px in tried.items()}, len(store.genres))
        observer.preflight(report)
        for warning in report.warnings:
            observer.warn(warning)

        splits: dict[tuple[int, Fit], dict[str, CoverRefs]] = {}
        for px in _sizes(tried):
            if feed.plan.resident(px):
                begin(f"decoding covers at {px} px")
            for fit, fitted in feed.for_trials(px, fits, observer.progress).items():
                splits[px, fit] = fitted

        def probe(check: BackboneCheck, fit: Fit) -> Probe:
            begin(f"probing {check.backbone} at {check.image_px} px, {fit}")
            found = fit_or_load_probe(
                run,
                check.backbone,
                config.weights_of(check.backbone),
                check.image_px,
                splits[check.image_px, fit],
                len(store.genres),
                workers,
            )
            observer.probed(found)
            return found

        probes = tuple(
            probe(check, fit) for check in report.checks if check.pretrained for fit in fits
        )
    stages = {check.backbone: (check.stages, check.pretrained) for check in report.checks}
    space = SearchSpace(
        config,
        tuple(
            BackboneFacts(
                name,
                *facts,
                tried[name],
                _best_fit(name, probes, fits),
                _channels_first(name, report.checks),
            )
            for name, facts in stages.items()
        ),
        frozenset((probe.backbone, probe.image_px, probe.fit) for probe in probes),
        fits,
    )
    return SearchContext(config, feed, run, slots, splits, probes, space, graph_check)


def _fits_that_differ(
    config: SearchConfig, store: CoverStore, observer: SearchObserver
) -> tuple[Fit, ...]:
    """The fits to choose from; only one of them where every cover is a square."""
    if config.fits == ("squash",) or not store.has_squares_alone:
        return config.fits
    observer.warn(
        f"fit {', '.join(config.fits)} has no effect: all covers of the store are squares"
    )
    return ("squash",)


def _best_fit(backbone: str, probes: tuple[Probe, ...], fits: tuple[Fit, ...]) -> Fit:
    """The fit of a backbone's best probe at its largest size; the first where there is none."""
    of_it = [probe for probe in probes if probe.backbone == backbone]
    best = max(of_it, key=lambda probe: (probe.image_px, probe.metrics.top1), default=None)
    return fits[0] if best is None else best.fit


def _channels_first(backbone: str, checks: Sequence[BackboneCheck]) -> tuple[int, ...]:
    """The input sizes at which a backbone's maps had better lie channel by channel."""
    return tuple(c.image_px for c in checks if c.backbone == backbone and not c.channels_last)


def _sizes(image_px: dict[str, tuple[int, ...]]) -> list[int]:
    """All sizes of all backbones, each once."""
    return sorted({px for sizes in image_px.values() for px in sizes})


def _feed(
    config: SearchConfig,
    store: CoverStore,
    slots: Slots,
    image_px: dict[str, tuple[int, ...]],
    num_fits: int,
) -> Feed:
    """The covers of the search, as many of them in memory as fit."""
    feed = feed_of(config, store)
    plan = plan_memory(
        {
            (px, split): feed.count(split) * cover_nbytes(store, px) * num_fits
            for px in _sizes(image_px)
            for split in SPLITS
        },
        free=free_object_store_bytes(),
        cpus=slots.cpus,
        memory_gb=config.memory_gb,
    )
    return replace(feed, plan=plan, decoding_threads=slots.decoding_threads)

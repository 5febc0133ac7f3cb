"""Everything that has to stand ready before the first trial.

machine -> what fits into memory -> preflight -> covers decoded once per size, or streamed
        -> a frozen probe per backbone, size and fit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from covertune.data_pipeline import (
    CoverRefs,
    CoverStore,
    cover_nbytes,
    free_object_store_bytes,
)
from covertune.search.cluster.nodes import spill_room_nbytes
from covertune.search.cluster.session import slots_of
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.events import BackboneCheck, PreflightReport, SearchObserver
from covertune.search.plan import HalvingPlan, InputVariant, Slots, TrainedBefore, TrialPlan
from covertune.search.record.run_folder import RunFolder
from covertune.search.schedule.budget import Budget
from covertune.search.setup.feed import Feed, feed_of, times_larger
from covertune.search.setup.graph_check import GraphCheck
from covertune.search.setup.image_sizes import affordable_image_px, choose_image_px
from covertune.search.setup.memory_plan import plan_memory
from covertune.search.setup.preflight import ToDo, run_preflight
from covertune.search.setup.probes import Probe, fit_or_load_probe
from covertune.search.space.search_space import BackboneOptions, SearchSpace
from covertune.vocabulary import SPLITS, Fit

__all__ = ["SearchContext", "set_up"]

Splits = Mapping[str, CoverRefs]
Sizes = dict[str, tuple[int, ...]]
"""Input sizes by backbone."""


@dataclass(frozen=True)
class SearchContext:
    """What the trials of one search share."""

    run: RunFolder
    feed: Feed
    slots: Slots
    plan: TrialPlan
    halving: HalvingPlan
    splits: Mapping[InputVariant, Splits]
    """The `train` and `val` splits, as each backbone takes them."""
    probes: tuple[Probe, ...]
    space: SearchSpace
    graph_check: GraphCheck

    @property
    def store(self) -> CoverStore:
        """The covers."""
        return self.feed.store

    def known(self) -> dict[str, Any]:
        """Return what run.json keeps, so that a resumed search stands on the same."""
        return {
            "store_fingerprint": self.store.fingerprint,
            "genres": self.store.genres,
            "covers": {split: self.feed.count(split) for split in SPLITS},
            "image_px": {options.name: list(options.image_px) for options in self.space.backbones},
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
    image_px: Sizes | None = None,
    fits: tuple[Fit, ...] | None = None,
    finished: int = 0,
    before: tuple[TrainedBefore, ...] = (),
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
        before: What trials of the run have taken already.

    Raises:
        PreflightError: Something a trial needs does not work here.
        DataError: The covers cannot be decoded.
    """
    steps = _Steps(config, run, budget, observer)
    steps.begin("checking the machine")
    slots = slots_of(config.trial_resources)
    with Workers(slots) as workers:
        workers.warm()
        assert config.store is not None
        store = CoverStore.open(config.store)
        fits = steps.fits_that_differ(store) if fits is None else fits
        feed, sizes, report = steps.choose_inputs(
            store, workers, image_px, len(fits), finished, before
        )
        observer.preflight(report)
        for warning in (*report.warnings, *config.without_effect()):
            observer.warn(warning)
        splits = steps.decode(feed, sizes, fits)
        probes = steps.probe(report.checks, fits, splits, len(store.genres), workers)
    # Not before: it would take a core from what the first trial waits for.
    graph_check = GraphCheck({name: max(px) for name, px in sizes.items()}, len(store.genres))
    return SearchContext(
        run=run,
        feed=feed,
        slots=slots,
        plan=config.trial_plan,
        halving=config.halving,
        splits=splits,
        probes=probes,
        space=_space(config.trial_plan, sizes, fits, report.checks, probes),
        graph_check=graph_check,
    )


@dataclass(frozen=True)
class _Steps:
    """The steps of setting up, in their order; each says when it begins."""

    config: SearchConfig
    run: RunFolder
    budget: Budget
    observer: SearchObserver

    def begin(self, text: str) -> None:
        """Say that a step begins, and write down the time spent so far."""
        self.observer.phase(text)
        self.run.update(self.config, elapsed_s=round(self.budget.spent_s, 1))

    def fits_that_differ(self, store: CoverStore) -> tuple[Fit, ...]:
        """Return the fits to choose from; only one of them where every cover is a square."""
        fits = self.config.fits
        if fits == ("squash",) or not store.has_squares_alone:
            return fits
        self.observer.warn(
            f"fit {', '.join(fits)} has no effect: all covers of the store are squares"
        )
        return ("squash",)

    def choose_inputs(
        self,
        store: CoverStore,
        workers: Workers,
        known: Sizes | None,
        num_fits: int,
        finished: int,
        before: tuple[TrainedBefore, ...],
    ) -> tuple[Feed, Sizes, PreflightReport]:
        """Choose input sizes and try the backbones on them.

        On a CPU that is done twice where the time budget pays for larger covers: the first try
        tells how long an epoch takes.
        """
        config, slots = self.config, workers.slots
        on_gpu = slots.gpus_per_trial > 0
        trials = config.trial_limit
        to_do = ToDo(
            None if trials is None else max(trials - finished, 0),
            *(config.trial_plan, config.halving, config.keep_checkpoints, before),
        )

        def tried(sizes: Sizes) -> tuple[Feed, Sizes, PreflightReport]:
            feed = self._feed(store, slots, sizes, num_fits)
            return feed, sizes, run_preflight(to_do, feed, self.run, workers, sizes)

        if known is not None:
            return tried(known)
        feed, sizes, report = tried(
            choose_image_px(config.backbones, config.image_px, on_gpu=on_gpu)
        )
        if on_gpu or config.image_px is not None or config.time_budget_s is None:
            return feed, sizes, report
        larger = affordable_image_px(
            report.checks,
            config.time_budget_s * slots.count / config.epochs,
            times_larger=times_larger(feed),
        )
        return (feed, sizes, report) if larger == sizes else tried(larger)

    def _feed(self, store: CoverStore, slots: Slots, sizes: Sizes, num_fits: int) -> Feed:
        """Return the covers of the search, as many of them in memory as fit."""
        feed = feed_of(store, rehearse=self.config.rehearse)
        plan = plan_memory(
            {
                (px, split): feed.count(split) * cover_nbytes(store, px) * num_fits
                for px in _each_once(sizes)
                for split in SPLITS
            },
            free=free_object_store_bytes(),
            cpus=slots.cpus,
            memory_gb=self.config.memory_gb,
            disk_free=spill_room_nbytes(),
            in_cluster=self.config.address is not None,
        )
        return replace(feed, plan=plan, decoding_threads=slots.decoding_threads)

    def decode(self, feed: Feed, sizes: Sizes, fits: tuple[Fit, ...]) -> dict[InputVariant, Splits]:
        """Decode each size once, whatever the number of backbones that take it."""
        splits: dict[InputVariant, Splits] = {}
        for px in _each_once(sizes):
            if feed.plan.decoded(px):
                self.begin(f"decoding covers at {px} px")
            for fit, fitted in feed.for_trials(px, fits, self.observer.progress).items():
                takers = (name for name, of_it in sizes.items() if px in of_it)
                splits |= {InputVariant.square(name, px, fit): fitted for name in takers}
        return splits

    def probe(
        self,
        checks: Sequence[BackboneCheck],
        fits: tuple[Fit, ...],
        splits: Mapping[InputVariant, Splits],
        num_genres: int,
        workers: Workers,
    ) -> tuple[Probe, ...]:
        """Fit a probe for each pretrained backbone, size and fit."""
        probes = []
        for check in checks:
            for fit in fits if check.pretrained else ():
                self.begin(f"probing {check.backbone} at {check.image_px} px, {fit}")
                variant = InputVariant.square(check.backbone, check.image_px, fit)
                weights = self.config.trial_plan.weights_of(check.backbone)
                found = fit_or_load_probe(
                    self.run, variant, weights, splits[variant], num_genres, workers
                )
                self.observer.probed(found)
                probes.append(found)
        return tuple(probes)


def _space(
    plan: TrialPlan,
    sizes: Sizes,
    fits: tuple[Fit, ...],
    checks: Sequence[BackboneCheck],
    probes: tuple[Probe, ...],
) -> SearchSpace:
    """Return what trials may choose."""
    last_check = {check.backbone: check for check in checks}
    backbones = tuple(
        BackboneOptions(
            name,
            check.stages,
            check.pretrained,
            sizes[name],
            _best_fit(name, probes, fits),
            _channels_first(name, checks),
        )
        for name, check in last_check.items()
    )
    return SearchSpace(plan, backbones, frozenset(map(InputVariant.of, probes)), fits)


def _best_fit(backbone: str, probes: tuple[Probe, ...], fits: tuple[Fit, ...]) -> Fit:
    """Return the fit of a backbone's best probe at its largest size, else the first."""
    of_it = [probe for probe in probes if probe.backbone == backbone]
    best = max(of_it, key=lambda probe: (probe.image_px, probe.metrics.top1), default=None)
    return fits[0] if best is None else best.fit


def _channels_first(backbone: str, checks: Sequence[BackboneCheck]) -> tuple[int, ...]:
    """Return the input sizes at which a backbone's maps had better lie channel by channel."""
    return tuple(c.image_px for c in checks if c.backbone == backbone and not c.channels_last)


def _each_once(sizes: Sizes) -> list[int]:
    """Return all sizes of all backbones, ascending."""
    return sorted({px for of_it in sizes.values() for px in of_it})

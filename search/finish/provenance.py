"""Where a model comes from, as its card and its config.json tell it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from covertune.data_pipeline import CoverStore
from covertune.search.record.constants import SAMPLE_STORE
from covertune.search.record.run_folder import RunFolder
from covertune.vocabulary import SPLITS

__all__ = ["provenance_of"]

_DEMONSTRATION = "its covers were drawn by a program, as `covertune data sample` does"
_REHEARSAL = "all of these are a sample of the store's training covers"


def provenance_of(
    run: RunFolder, store: CoverStore | None, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a model comes from, for its card.

    Args:
        run: The run.
        store: Of the run, if it is at hand.
        origin: Which trial it is, or which trials it is made of.
    """
    config = run.config()
    manifest = run.manifest()
    covers = manifest.covers
    if covers is None and store is not None and not config.rehearse:  # a run of covertune 0.1
        covers = {split: store.count(split) for split in SPLITS}
    return {
        "run": run.name,
        **origin,
        **_store_in_words(config.store),
        "store_fingerprint": manifest.store_fingerprint,
        **({} if covers is None else {"covers": covers}),
        **({"rehearsal": _REHEARSAL} if config.rehearse else {}),
        "covertune": version("covertune"),
        "torch": version("torch"),
    }


def _store_in_words(store: Path | None) -> dict[str, str]:
    if store is None:
        return {}
    if store.name.startswith(SAMPLE_STORE):
        return {"store": "generated sample covers", "demonstration": _DEMONSTRATION}
    return {"store": store.name}

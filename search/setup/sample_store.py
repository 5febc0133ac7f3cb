"""The store a search uses when it is given none: generated covers, made once and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from covertune.data_pipeline import CoverStore, PrepareSettings, StoreError, prepare_store
from covertune.data_pipeline.sample import draw_sample
from covertune.data_pipeline.store.schema import SCHEMA_VERSION
from covertune.search.errors import RunError
from covertune.search.events import SearchObserver
from covertune.search.record.constants import SAMPLE_STORE
from covertune.search.record.run_folder import RunFolder
from covertune.wording import reason_of

__all__ = ["sample_store"]

_FOLDER = f"{SAMPLE_STORE}{SCHEMA_VERSION}"  # an older covertune may have left another
_MAX_PX = 128


def sample_store(runs_dir: Path, run: RunFolder, observer: SearchObserver) -> Path:
    """Return the path of the sample store of a runs folder, made if it is not there.

    Args:
        runs_dir: The runs folder.
        run: Holds the raw covers while they are prepared.
        observer: Hears what happens.

    Raises:
        RunError: The runs folder cannot be written, or the store in it is damaged.
    """
    path = runs_dir / _FOLDER
    if path.exists():
        try:
            CoverStore.open(path)
        except StoreError as error:
            raise RunError(
                f"the sample store {path} cannot be used ({error}); remove it to have it made anew"
            ) from error
        return path
    try:
        shutil.rmtree(run.raw_sample, ignore_errors=True)  # of a process that was killed here
        observer.phase("drawing sample covers")
        draw_sample(run.raw_sample, progress=observer.progress)
        observer.phase("preparing sample covers")
        prepare_store(
            run.raw_sample,
            path,
            settings=PrepareSettings(max_px=_MAX_PX),
            progress=observer.progress,
        )
        shutil.rmtree(run.raw_sample)
    except OSError as error:
        raise RunError(
            f"cannot make the sample covers in {runs_dir}: {reason_of(error)}; "
            "choose another --runs-dir"
        ) from error
    return path

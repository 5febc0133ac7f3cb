"""covertune: finds the best fine-tuned image model for telling a book's genre from its cover.

The public face. The three packages behind it lie at the top of the repository and are linked here:

    covertune.search          what to train next, where, for how long
    covertune.models          build, fine-tune, measure, save, load
    covertune.data_pipeline   covers in, clean split decoded batches out

Names are imported when first used: `import covertune` waits for neither torch nor Ray.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covertune.data_pipeline import CoverStore, prepare_store
    from covertune.models import load_model
    from covertune.search import SearchConfig, resume_search, run_search

    __version__: str

__all__ = [
    "CoverStore",
    "SearchConfig",
    "__version__",
    "load_model",
    "prepare_store",
    "resume_search",
    "run_search",
]

# What covertune has to say goes to a run's log; a program that wants to hear it adds a handler.
logging.getLogger("covertune").addHandler(logging.NullHandler())

_HOME_OF = {
    "CoverStore": "covertune.data_pipeline",
    "SearchConfig": "covertune.search",
    "load_model": "covertune.models",
    "prepare_store": "covertune.data_pipeline",
    "resume_search": "covertune.search",
    "run_search": "covertune.search",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("covertune")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'covertune' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""covertune's search: decides what to train next, where, and for how long.

    from pathlib import Path
    from covertune.search import SearchConfig, run_search

    result = run_search(SearchConfig(store=Path("my-store"), time_budget_s=1200))
    print(result.outcome.best.test.top1, result.outcome.model)

Names are imported when first used: Ray and torch take seconds, and a configuration needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from covertune.search.garbage import collect_rarely, is_worker

if TYPE_CHECKING:
    from covertune.search.config import SearchConfig, load_config
    from covertune.search.errors import (
        ConfigError,
        Interrupted,
        PreflightError,
        RunError,
        SearchError,
    )
    from covertune.search.events import SearchObserver
    from covertune.search.finish.export import export_run
    from covertune.search.finish.outcome import Outcome
    from covertune.search.record.run_folder import RunFolder
    from covertune.search.record.study import best_trial, open_study
    from covertune.search.record.trial_rows import TrialRow, trial_rows
    from covertune.search.run import SearchResult, resume_search, run_search
    from covertune.search.use.evaluate import Evaluation, evaluate_model
    from covertune.search.use.predict import CoverAnswer, predict_covers

__all__ = [
    "ConfigError",
    "CoverAnswer",
    "Evaluation",
    "Interrupted",
    "Outcome",
    "PreflightError",
    "RunError",
    "RunFolder",
    "SearchConfig",
    "SearchError",
    "SearchObserver",
    "SearchResult",
    "TrialRow",
    "best_trial",
    "evaluate_model",
    "export_run",
    "load_config",
    "open_study",
    "predict_covers",
    "resume_search",
    "run_search",
    "trial_rows",
]

if is_worker():
    collect_rarely()

_HOME = {
    "config": ("SearchConfig", "load_config"),
    "errors": ("ConfigError", "Interrupted", "PreflightError", "RunError", "SearchError"),
    "events": ("SearchObserver",),
    "finish.export": ("export_run",),
    "finish.outcome": ("Outcome",),
    "record.run_folder": ("RunFolder",),
    "record.study": ("best_trial", "open_study"),
    "record.trial_rows": ("TrialRow", "trial_rows"),
    "run": ("SearchResult", "resume_search", "run_search"),
    "use.evaluate": ("Evaluation", "evaluate_model"),
    "use.predict": ("CoverAnswer", "predict_covers"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'covertune.search' has no attribute {name!r}")
    return getattr(import_module(f"covertune.search.{_MODULE_OF[name]}"), name)

"""Errors of the search.

SearchError                 what a person can mend; the command line prints it as one line
├── ConfigError             the configuration breaks a rule; every problem is listed
├── RunError                a run folder is missing, taken, in use or damaged
├── PreflightError          something a trial needs does not work on this machine
└── Interrupted             stopped by the user; the run can be resumed
"""

from covertune.wording import as_message

__all__ = ["ConfigError", "Interrupted", "PreflightError", "RunError", "SearchError"]


class SearchError(Exception):
    """Root of the errors raised on purpose by `search`."""

    def __str__(self) -> str:
        """Return the message; names in it are escaped, and it fits on a screen."""
        return as_message(super().__str__())


class ConfigError(SearchError):
    """The configuration breaks at least one rule."""


class RunError(SearchError):
    """A run folder cannot be made, opened or locked."""


class PreflightError(SearchError):
    """A check before the first trial failed."""


class Interrupted(SearchError):  # noqa: N818 - an event, not a fault
    """The search was stopped by the user; `covertune resume` goes on."""

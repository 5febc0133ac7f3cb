"""What can go wrong with covers.

DataError
├── SourceError      the pile of covers given cannot become a store
├── StoreError       a cover store cannot be written, opened or read
├── ImageRejected    one file is no usable picture
└── CapacityError    the machine has no room for what was asked

Every message is one line: the rule, what came, and what to do.
"""

from covertune.wording import as_message

__all__ = ["CapacityError", "DataError", "ImageRejected", "SourceError", "StoreError"]


class DataError(Exception):
    """Root of all errors of `data_pipeline`."""

    def __str__(self) -> str:
        """Return the message; names in it are escaped, and it fits on a screen."""
        return as_message(super().__str__())


class SourceError(DataError):
    """The pile of covers given cannot become a store."""


class StoreError(DataError):
    """A cover store cannot be written, opened or read."""


class CapacityError(DataError):
    """The machine or cluster has no room for what was asked."""


class ImageRejected(DataError):  # noqa: N818 - named for what happens to the file
    """One file is no usable picture.

    Attributes:
        reason: A short phrase that files of the same fate share, such as "truncated image".
        detail: What is particular to this file; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["ImageRejected"], tuple[str, str]]:
        """Keep reason and detail across processes."""
        return type(self), (self.reason, self.detail)

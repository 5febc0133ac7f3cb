"""run.json: what a run was started with, and what a resumed search has to stand on."""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from covertune.search.config import SearchConfig
from covertune.search.errors import RunError
from covertune.vocabulary import Fit
from covertune.whole import write_whole
from covertune.wording import few, reason_of, sentences

__all__ = ["RunManifest"]

_SCHEMA = 1
_NEEDED = ("schema_version", "config", "study")
_UNSAID = {"brackets": 1}  # how runs went on before it could be said
_LIBRARIES = ("covertune", "torch", "torchvision", "timm", "ray", "optuna", "pyarrow", "pillow")


def _later(description: str) -> Any:
    """Return a field that is not there until the first trial may begin."""
    return Field(default=None, exclude_if=lambda value: value is None, description=description)


class RunManifest(BaseModel):
    """run.json."""

    model_config = ConfigDict(frozen=True, extra="allow")  # what others have written is kept

    created: str = Field(
        default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S%z"), description="When."
    )
    study: str = Field(description="The study's name in its storage.")
    earlier_recipes: list[dict[str, Any]] = Field(
        default=[], description="Recipes of earlier runs that are tried first."
    )
    schema_version: Literal[1] = Field(default=1, description="Version of the run folder's layout.")
    config: dict[str, Any] = Field(description="The resolved `SearchConfig`, as it was written.")
    versions: dict[str, str] = Field(
        default_factory=lambda: {library: version(library) for library in _LIBRARIES},
        description="Of the libraries that wrote it last.",
    )
    elapsed_s: float = Field(default=0.0, description="Seconds spent before the first trial.")
    store_fingerprint: str | None = _later("Of the store.")
    genres: list[str] | None = _later("Names, in the order of the labels.")
    covers: dict[str, int] | None = _later("Covers of each split that the search sees.")
    image_px: dict[str, tuple[int, ...]] | None = _later("Input sizes by backbone.")
    fits: tuple[Fit, ...] | None = _later("Fits to choose from.")
    probe_top1: float | None = Field(
        default=None, description="Of the best frozen probe, on validation covers."
    )

    @property
    def is_prepared(self) -> bool:
        """Whether the first trial may have begun; before, a resumed search prepares it anew."""
        return self.store_fingerprint is not None and self.image_px is not None

    def search_config(self, file: Path) -> SearchConfig:
        """Return the configuration that the run was started with.

        Args:
            file: Of the manifest, for the message.

        Raises:
            RunError: This version cannot read it.
        """
        try:
            return SearchConfig.model_validate(_UNSAID | self.config)
        except ValidationError as error:
            raise RunError(
                f"the configuration in {file} is not one this version of covertune "
                f"knows; use the version that wrote it: {self.versions}"
            ) from error

    @classmethod
    def read(cls, file: Path) -> RunManifest:
        """Read run.json.

        Raises:
            RunError: It cannot be read, is damaged, or of another version's schema.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"cannot read {file}: {reason_of(error)}") from error
        missing = [name for name in _NEEDED if not isinstance(content, dict) or name not in content]
        if missing:
            raise RunError(f"{file} is damaged: it has no {', '.join(missing)}")
        if content["schema_version"] != _SCHEMA:
            raise RunError(
                f"{file.parent} has run schema {content['schema_version']}, this covertune reads "
                f"{_SCHEMA}; use the version that wrote it"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            problems = few(sentences(error), separator="; ")
            raise RunError(f"{file} is damaged: {problems}") from error

    def write(self, file: Path) -> None:
        """Write run.json, whole or not at all."""
        write_whole(file, self.model_dump_json(indent=2) + "\n")

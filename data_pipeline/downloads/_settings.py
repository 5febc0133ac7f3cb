"""How downloads are made."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DownloadSettings"]


class DownloadSettings(BaseModel):
    """How covers at web addresses are downloaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(
        default=None,
        description="Where downloads are kept, for later runs too; on a cluster, on a disk all "
        "nodes share. Default: `.covertune-downloads` beside the store.",
    )
    retry_failed: bool = Field(
        default=False, description="Ask again for what is known never to come, such as HTTP 404."
    )
    per_host: int = Field(
        default=16, ge=1, description="Most connections to one host at the same time."
    )
    tries: int = Field(default=5, ge=1, description="Tries for one address before it is given up.")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="Time to reach a server.")
    read_timeout_s: float = Field(default=20.0, gt=0, description="Longest silence of a server.")
    total_timeout_s: float = Field(default=120.0, gt=0, description="Time for one whole answer.")
    max_wait_s: float = Field(
        default=60.0, gt=0, description="Longest wait between tries, whatever a server asks for."
    )
    max_bytes: int = Field(
        default=32 * 2**20, ge=1, description="Largest file taken; larger ones are no covers."
    )

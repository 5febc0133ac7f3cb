"""Reads a cover store; see `schema` for its layout."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from covertune.data_pipeline.errors import ImageRejected, StoreError
from covertune.data_pipeline.images import load_square
from covertune.data_pipeline.store.schema import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    PartInfo,
    StoreManifest,
)
from covertune.vocabulary import SPLITS, Fit
from covertune.wording import few, first_line, quoted_path, reason_of, sentences

if TYPE_CHECKING:
    from ray.data import Dataset

    from covertune.data_pipeline.dataset.blocks import BlockRefs

__all__ = ["CoverStore", "genre_marks", "read_row_groups"]

_MOST_ROWS = 2**16
_MOST_UNPACKED_BYTES = 2**31  # of a row group; it is written with some 10 MB


@dataclass(frozen=True)
class CoverStore:
    """A cover store, opened for reading. Cheap to make and to send to other processes.

    Attributes:
        path: The store's folder, absolute.
        manifest: The content of `covers.json`.
    """

    path: Path
    manifest: StoreManifest

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store and check that it is whole.

        Raises:
            StoreError: There is no store, it has another schema version, or it is damaged.
        """
        path = Path(path).absolute()
        if not path.exists():
            raise StoreError(
                f"no cover store at {path}: there is no such folder; "
                f"make one with `covertune data prepare SRC {quoted_path(path)}`"
            )
        manifest = _read_manifest(path)
        for part in manifest.parts:
            file = path / part.name
            size = file.stat().st_size if file.is_file() else 0
            if size != part.bytes:
                what = "is missing" if not size else f"has {size} bytes instead of {part.bytes}"
                raise _damaged(path, f"{part.name} {what}")
        return cls(path, manifest)

    @property
    def genres(self) -> list[str]:
        """The K genre names; a label indexes them."""
        return self.manifest.genres

    @property
    def is_multi(self) -> bool:
        """Whether covers carry all their genres, not one alone."""
        return self.manifest.settings.conflicts == "multi"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        return self.manifest.fingerprint

    def count(self, split: str) -> int:
        """Count the covers in a split.

        Raises:
            StoreError: There is no such split.
        """
        return sum(part.rows for part in self.parts_of(split))

    @property
    def has_squares_alone(self) -> bool:
        """Whether it makes no difference how covers are fitted into a square."""
        sides = self.read_columns(["width", "height"])
        return bool(pc.all(pc.equal(sides["width"], sides["height"])).as_py())

    def parts_of(self, split: str) -> list[PartInfo]:
        """Return the parts that hold a split.

        Raises:
            StoreError: There is no such split.
        """
        if split not in SPLITS:
            raise StoreError(f"a store has the splits {', '.join(SPLITS)}, got {split!r}")
        return [part for part in self.manifest.parts if part.split == split]

    def dataset(self, split: str, columns: Sequence[str] | None = None) -> Dataset:
        """Return a split as a Ray Dataset, to compute with it whatever one likes.

        It is read lazily, some row groups a task, and each row is a cover as it lies in the store.
        Ray is started on this machine unless this process uses one already.

        Args:
            split: One of `SPLITS`.
            columns: Names out of `schema.COVER_COLUMNS`; all if not given.

        Returns:
            Covers in the store's order, which Ray Data keeps through what maps and filters them.

        Raises:
            StoreError: There is no such split, or no such column; where it is read: the store is
                damaged.
        """
        from covertune.data_pipeline.store.datasource import covers_dataset  # brings Ray

        return covers_dataset(self, split, columns)

    def decoded(self, split: str, image_px: int, fit: Fit = "squash") -> BlockRefs:
        """Decode a split once, into blocks in Ray's object store; `decode_store` does several.

        Args:
            split: One of `SPLITS`.
            image_px: Side of the squares.
            fit: How covers become squares.

        Returns:
            Where the blocks lie, in the store's order; `get` maps them.

        Raises:
            CapacityError: They do not fit Ray's object store.
            StoreError: There is no such split, or the store is damaged.
        """
        from covertune.data_pipeline.dataset.decoded import decode_store  # brings Ray

        return decode_store(self, image_px, fit=fit, splits=(split,))[split]

    def read_images(self, split: str, limit: int | None = None) -> tuple[list[bytes], np.ndarray]:
        """Read encoded covers of a split into memory; for small reads.

        The store's order mixes the genres, so the first few covers are a fair sample.

        Args:
            split: One of `SPLITS`.
            limit: Read the first so many; all if not given.

        Returns:
            The encoded images, for `load_square`, and labels_N int64.

        Raises:
            StoreError: There is no such split, or the store is damaged.
        """
        images: list[bytes] = []
        labels: list[int] = []
        for covers in self._read(split, ["image", "label"], limit):
            images += covers["image"].to_pylist()
            labels += covers["label"].to_pylist()
        return images, np.array(labels, dtype=np.int64)

    def load_square(self, image: bytes, image_px: int, fit: Fit = "squash") -> np.ndarray:
        """Do `images.load_square` on a cover that `read_images` gave.

        Returns:
            (H, W, 3) uint8.

        Raises:
            StoreError: It is no picture, or one that costs too much to decode.
        """
        try:
            return load_square(image, image_px, fit)
        except ImageRejected as err:
            raise _damaged(self.path, f"one of its covers is no picture ({err})") from err

    def read_columns(self, columns: list[str]) -> pa.Table:
        """Read small columns of all covers into memory, in the store's order.

        Args:
            columns: Names out of `schema.COVER_SCHEMA`; not `image`.

        Raises:
            StoreError: The store is damaged.
        """
        return pa.concat_tables(
            read_row_groups(self.path / part.name, list(range(part.row_groups)), columns)
            for part in self.manifest.parts
        )

    def iter_images(self) -> Iterator[tuple[int, pa.ChunkedArray]]:
        """Go through all covers in the store's order, holding one row group at a time.

        Yields:
            The place of a row group's first cover in the whole store, and its encoded images.

        Raises:
            StoreError: The store is damaged.
        """
        place = 0
        for part in self.manifest.parts:
            for index in range(part.row_groups):
                group = read_row_groups(self.path / part.name, [index], ["image"])
                yield place, group["image"]
                place += len(group)

    def read_genres(self, split: str, limit: int | None = None) -> np.ndarray | None:
        """Read which genres the covers of a split have, in the order of `read_images`.

        Args:
            split: One of `SPLITS`.
            limit: Of the first so many; of all if not given.

        Returns:
            genres_NK uint8, 1 where a cover has a genre; None unless the store is multi.

        Raises:
            StoreError: There is no such split, or the store is damaged.
        """
        if not self.is_multi:
            return None
        read = self._read(split, ["genres"], limit)
        return np.concatenate([genre_marks(covers, self.genres, self.path) for covers in read])

    def _read(self, split: str, columns: list[str], limit: int | None) -> Iterator[pa.Table]:
        """Read some columns of a split's first covers, a row group at a time."""
        wanted = self.count(split) if limit is None else min(limit, self.count(split))
        for part in self.parts_of(split):
            for index in range(part.row_groups):
                if wanted <= 0:
                    return
                covers = read_row_groups(self.path / part.name, [index], columns)
                covers = covers.slice(0, wanted)
                wanted -= len(covers)
                yield covers


def genre_marks(covers: pa.Table, genres: Sequence[str], store: Path) -> np.ndarray:
    """Tell the genres of covers by marks.

    Args:
        covers: Rows of a multi store, with the column `genres`.
        genres: The K names.
        store: Its folder, for the message.

    Returns:
        genres_NK uint8, 1 where a cover has a genre.

    Raises:
        StoreError: A cover has a genre that the manifest does not name.
    """
    label_of = {genre: label for label, genre in enumerate(genres)}
    genres_NK = np.zeros((len(covers), len(genres)), dtype=np.uint8)
    for row, names in enumerate(covers["genres"].to_pylist()):
        try:
            genres_NK[row, [label_of[name] for name in names]] = 1
        except KeyError as err:
            raise _damaged(store, f"{MANIFEST_NAME} does not name the genre {err}") from err
    return genres_NK


def read_row_groups(part: Path, row_groups: list[int], columns: list[str]) -> pa.Table:
    """Read some row groups of a part.

    Raises:
        StoreError: The part cannot be found from this node, or is damaged.
    """
    try:
        # Pages of stores that were written with checksums (covertune 0.2) are held against them.
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            _require_moderate(file.metadata, row_groups, columns)
            return file.read_row_groups(row_groups, columns=columns, use_threads=False)
    except FileNotFoundError as err:
        raise StoreError(
            f"every node must reach the store's folder, {platform.node()} cannot find {part}; "
            "put the store on a disk that all nodes share"
        ) from err
    except (pa.ArrowException, OSError, ValueError) as err:
        raise _damaged(part.parent, f"{part.name}: {first_line(err)}") from err


def _require_moderate(
    metadata: pq.FileMetaData, row_groups: Sequence[int], columns: Sequence[str]
) -> None:
    """Refuse a part that would unpack to more memory than it has bytes: no store is written so.

    Raises:
        ValueError: It would.
    """
    for index in row_groups:
        group = metadata.row_group(index)
        if group.num_rows > _MOST_ROWS:
            raise ValueError(f"row group {index} has {group.num_rows:,} rows")
        for place in range(group.num_columns):
            column = group.column(place)
            name = column.path_in_schema.partition(".")[0]
            if name not in columns:
                continue
            # A value that stands in a dictionary once may be meant for every row.
            repeats = group.num_rows if column.has_dictionary_page else 1
            unpacked = column.total_uncompressed_size * repeats
            if column.compression != "UNCOMPRESSED" or unpacked > _MOST_UNPACKED_BYTES:
                raise ValueError(
                    f"its {name} is packed ({column.compression.lower()}, up to {unpacked:,} "
                    "bytes), which no store's is"
                )


def _read_manifest(path: Path) -> StoreManifest:
    try:
        content = json.loads((path / MANIFEST_NAME).read_text("utf-8"))
        version = content["schema_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"a cover store is a folder with a {MANIFEST_NAME}, {path} has none; "
            f"make a store of it with `covertune data prepare {quoted_path(path)} OUT`"
        ) from None
    except OSError as err:
        raise StoreError(f"cannot read the store {path}: {reason_of(err)}") from err
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise _damaged(path, f"{MANIFEST_NAME} is not a store's manifest") from err
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"this covertune reads stores of schema version {SCHEMA_VERSION}, {path} has version "
            f"{version}; prepare it again, or use the covertune that made it"
        )
    try:
        return StoreManifest.model_validate(content)
    except ValidationError as err:
        problems = few(sentences(err), separator="; ")
        raise _damaged(path, f"{MANIFEST_NAME}: {problems}") from err


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"the store {path} is damaged: {what}; prepare it again")

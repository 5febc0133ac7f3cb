"""Draws a sample: a folder of generated covers for each genre, ready for `covertune data prepare`.

The sample has the faults real collections have, in known doses, so that what the program does about
them can be seen: some covers lie in the wrong genre, some files are exact copies.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from covertune.data_pipeline.errors import DataError
from covertune.data_pipeline.sample.cover import draw_cover
from covertune.data_pipeline.sample.genres import GENRES
from covertune.whole import whole_folder
from covertune.wording import reason_of

__all__ = ["SampleSummary", "draw_sample"]

LABEL_NOISE_SHARE = 0.06
COPY_SHARE = 0.01
_MIN_COVERS_PER_GENRE = 3  # one for each split


@dataclass(frozen=True)
class SampleSummary:
    """What a sample consists of.

    Attributes:
        path: Its folder.
        genres: Names of the genres, which are the names of their folders.
        covers_per_genre: Files in each folder.
        seed: Seed it was drawn with.
        label_noise: Covers drawn for one genre and filed under another.
        copies_within: Files that are an exact copy of another file of the same genre.
        copies_across: Files that are an exact copy of a file of another genre.
        size_bytes: All files together.
    """

    path: Path
    genres: tuple[str, ...]
    covers_per_genre: int
    seed: int
    label_noise: int
    copies_within: int
    copies_across: int
    size_bytes: int

    @property
    def covers(self) -> int:
        """Number of files."""
        return self.covers_per_genre * len(self.genres)


Place = tuple[int, int]
"""Which genre's folder, and which cover in it (both from 0)."""


@dataclass(frozen=True)
class _Plan:
    drawn_as: dict[Place, int]  # the genre a cover looks like
    copy_of: dict[Place, Place]


def draw_sample(
    out: Path,
    *,
    covers_per_genre: int = 150,
    genres: int = 6,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Draw a sample of covers as OUT/GENRE/0001.jpg; the same seed gives the same bytes.

    Args:
        out: Folder to make; may exist if it is empty.
        covers_per_genre: Files in each genre's folder, at least 3.
        genres: How many genres, from 2 to as many as are known.
        seed: Another seed, other covers.
        progress: Called with the covers drawn so far and the covers there will be.

    Returns:
        What was drawn, with the doses of label noise and of copies.

    Raises:
        DataError: A number is out of range, or OUT holds something or cannot be written.
    """
    if not 2 <= genres <= len(GENRES):
        raise DataError(
            f"a sample has 2 to {len(GENRES)} genres, not {genres}; choose a number in that range"
        )
    if covers_per_genre < _MIN_COVERS_PER_GENRE:
        raise DataError(
            f"a genre needs at least {_MIN_COVERS_PER_GENRE} covers, one for each split, "
            f"not {covers_per_genre}; ask for more covers per genre"
        )
    plan = _plan(genres, covers_per_genre, seed)
    places = [(genre, number) for genre in range(genres) for number in range(covers_per_genre)]
    size_bytes = 0
    with _whole_or_nothing(out) as folder:
        for known in GENRES[:genres]:
            (folder / known.name).mkdir()
        for done, place in enumerate(places, start=1):
            genre, number = place
            # A copy is drawn again rather than read back: its bytes depend on its place alone.
            jpeg = _drawn(plan.copy_of.get(place, place), plan, seed)
            digits = max(4, len(str(covers_per_genre)))
            path = folder / GENRES[genre].name / f"{number + 1:0{digits}}.jpg"
            path.write_bytes(jpeg)
            size_bytes += len(jpeg)
            if progress is not None:
                progress(done, len(places))
    within = sum(copy[0] == original[0] for copy, original in plan.copy_of.items())
    return SampleSummary(
        path=out,
        genres=tuple(genre.name for genre in GENRES[:genres]),
        covers_per_genre=covers_per_genre,
        seed=seed,
        label_noise=sum(place[0] != drawn_as for place, drawn_as in plan.drawn_as.items()),
        copies_within=within,
        copies_across=len(plan.copy_of) - within,
        size_bytes=size_bytes,
    )


def _plan(genres: int, covers_per_genre: int, seed: int) -> _Plan:
    """Decide which covers are filed wrongly and which are copies; no cover is both."""
    rng = random.Random(f"plan {seed}")
    drawn_as: dict[Place, int] = {}
    clean: list[list[Place]] = []
    for genre in range(genres):
        places = [(genre, number) for number in range(covers_per_genre)]
        drawn_as.update((place, genre) for place in places)
        rng.shuffle(places)
        noisy = round(LABEL_NOISE_SHARE * covers_per_genre)
        others = [other for other in range(genres) if other != genre]
        drawn_as.update((place, rng.choice(others)) for place in places[:noisy])
        clean.append(places[noisy:])
    copy_of: dict[Place, Place] = {}
    for i in range(round(COPY_SHARE * genres * covers_per_genre)):
        # Always from the fullest folders, so that no genre of a small sample is emptied.
        fullest = sorted(range(genres), key=lambda genre: (-len(clean[genre]), rng.random()))
        first, second = (fullest[0], fullest[1]) if i % 2 == 0 else (fullest[0], fullest[0])
        copy_of[clean[first].pop()] = clean[second].pop()
    return _Plan(drawn_as, copy_of)


def _drawn(place: Place, plan: _Plan, seed: int) -> bytes:
    genre = GENRES[plan.drawn_as[place]]
    return draw_cover(genre, random.Random(f"cover {seed} {place[0]} {place[1]}"))


@contextlib.contextmanager
def _whole_or_nothing(out: Path) -> Iterator[Path]:
    """Give a folder whose content is at `out` in the end, or vanishes on any error."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(
            f"a sample goes into a new or empty folder, and {out} holds something; "
            "remove it or choose another folder"
        )
    try:
        # Thousands of small files, which can be drawn again: no waiting for the disk.
        with whole_folder(out, durable=False) as folder:
            yield folder
    except OSError as error:
        raise DataError(
            f"a sample needs a folder it can write to, and {out} failed: "
            f"{reason_of(error)}; choose another folder or make room"
        ) from error

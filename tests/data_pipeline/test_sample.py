"""The generated sample: same seed, same bytes; the doses of faults are as stated."""

import hashlib
import io
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from covertune.data_pipeline.errors import DataError
from covertune.data_pipeline.sample import SampleSummary, draw_sample
from covertune.data_pipeline.sample.cover import HEIGHT_PX, WIDTH_PX, draw_cover
from covertune.data_pipeline.sample.draw import _plan
from covertune.data_pipeline.sample.genres import GENRES


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.jpg")
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return draw_sample(tmp_path_factory.mktemp("drawn") / "sample", covers_per_genre=34, genres=3)


def test_a_folder_for_each_genre_with_the_covers_asked_for(sample):
    folders = {path.name: sorted(p.name for p in path.iterdir()) for path in sample.path.iterdir()}

    assert set(folders) == set(sample.genres) == {genre.name for genre in GENRES[:3]}
    expected = [f"{number:04}.jpg" for number in range(1, 35)]
    assert all(names == expected for names in folders.values())
    assert sample.covers == 102
    assert sample.size_bytes == sum(p.stat().st_size for p in sample.path.rglob("*.jpg"))


def test_every_file_is_a_whole_rgb_jpeg(sample):
    for path in sample.path.rglob("*.jpg"):
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size == (WIDTH_PX, HEIGHT_PX)


def test_the_copies_are_as_many_as_stated_and_all_else_differs(tmp_path):
    summary = draw_sample(tmp_path / "sample", covers_per_genre=110, genres=2)
    genres_of = defaultdict(list)
    for path, digest in digests(summary.path).items():
        genres_of[digest].append(Path(path).parent.name)

    copied = [names for names in genres_of.values() if len(names) > 1]
    assert all(len(names) == 2 for names in copied)
    across = sum(len(set(names)) == 2 for names in copied)
    assert (
        (across, len(copied) - across) == (summary.copies_across, summary.copies_within) == (1, 1)
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(sample, tmp_path):
    again = draw_sample(tmp_path / "again", covers_per_genre=34, genres=3)
    other = draw_sample(tmp_path / "other", covers_per_genre=34, genres=3, seed=1)

    assert digests(again.path) == digests(sample.path)
    assert not set(digests(other.path).values()) & set(digests(sample.path).values())


def test_progress_counts_up_to_the_whole(tmp_path):
    calls = []
    draw_sample(
        tmp_path / "sample",
        covers_per_genre=3,
        genres=2,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 6) for done in range(1, 7)]


def test_an_empty_folder_is_taken(tmp_path):
    out = tmp_path / "empty"
    out.mkdir()
    assert draw_sample(out, covers_per_genre=3, genres=2).path == out
    assert len(digests(out)) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_empty_folder_one_works_in(tmp_path, monkeypatch):
    out = tmp_path / "here"
    out.mkdir()
    monkeypatch.chdir(out)
    draw_sample(Path(), covers_per_genre=3, genres=2)
    assert len(digests(Path())) == 6, "the folder is still the one this process is in"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_folder_that_is_filled_meanwhile_is_left_alone(tmp_path):
    out = tmp_path / "sample"
    out.mkdir()

    def fill(done: int, total: int) -> None:
        (out / "mine.txt").write_text("keep")

    with pytest.raises(DataError, match="somebody else has put something there"):
        draw_sample(out, covers_per_genre=3, genres=2, progress=fill)
    assert [path.name for path in tmp_path.rglob("*")] == ["sample", "mine.txt"]


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"new or empty folder, and .* holds something; remove it"):
        draw_sample(tmp_path, covers_per_genre=3, genres=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("genres", [-1, 0, 1, len(GENRES) + 1])
def test_a_number_of_genres_out_of_range_is_refused(tmp_path, genres):
    with pytest.raises(DataError, match=rf"2 to {len(GENRES)} genres, not {genres}"):
        draw_sample(tmp_path / "sample", genres=genres)


def test_too_few_covers_for_a_genre_are_refused(tmp_path):
    with pytest.raises(DataError, match="at least 3 covers, one for each split, not 2"):
        draw_sample(tmp_path / "sample", covers_per_genre=2)


def test_a_place_that_cannot_be_written_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="needs a folder it can write to") as caught:
        draw_sample(tmp_path / "file" / "sample", covers_per_genre=3, genres=2)
    assert "\n" not in str(caught.value)


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_sample(tmp_path / "deep" / "sample", covers_per_genre=3, genres=2, progress=stop)
    assert list(tmp_path.iterdir()) == []


@given(
    genres=st.integers(2, len(GENRES)),
    covers_per_genre=st.integers(3, 400),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_the_plan_keeps_its_doses_and_empties_no_genre(genres, covers_per_genre, seed):
    plan = _plan(genres, covers_per_genre, seed)
    total = genres * covers_per_genre

    noisy = {place for place, drawn_as in plan.drawn_as.items() if drawn_as != place[0]}
    assert len(plan.drawn_as) == total
    assert len(noisy) == genres * round(0.06 * covers_per_genre)

    # Each copy stands alone: one original, itself neither a copy nor filed wrongly.
    assert len(plan.copy_of) == round(0.01 * total)
    involved = [*plan.copy_of.keys(), *plan.copy_of.values()]
    assert len(set(involved)) == len(involved)
    assert not noisy & set(involved)

    # Preparing refuses covers found in two genres and keeps one of two copies in one genre.
    left = Counter(genre for genre, _ in plan.drawn_as)
    for copy, original in plan.copy_of.items():
        left[copy[0]] -= 1
        if copy[0] != original[0]:
            left[original[0]] -= 1
    assert min(left.values()) >= 3


@given(genre=st.sampled_from(GENRES), seed=st.integers(0, 2**64))
@settings(max_examples=60, deadline=None)
def test_any_genre_and_seed_gives_a_cover(genre, seed):
    jpeg = draw_cover(genre, random.Random(seed))

    with Image.open(io.BytesIO(jpeg)) as image:
        image.load()
        assert image.size == (WIDTH_PX, HEIGHT_PX)
        assert max(high - low for low, high in image.getextrema()) > 60, "nothing to see"
    assert jpeg == draw_cover(genre, random.Random(seed))

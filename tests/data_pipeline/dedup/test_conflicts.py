import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline.dedup.conflicts import Rows, count_labels, resolve

GENRES = ("Art", "Poetry", "Travel")
MODES = ("drop", "first", "keep", "multi")


def _rows(*listed, ranks=None):
    """Rows from (genre, picture, pixels) or (genre, picture, pixels, in_test)."""
    genre, picture, pixels, in_test = zip(*((*row, False)[:4] for row in listed), strict=True)
    names = [f"{GENRES[g]}/{number}" for number, g in enumerate(genre)]
    ranks = np.array(ranks if ranks is not None else range(100))
    return Rows(
        genres=GENRES,
        genre_R=np.array(genre),
        picture_R=np.array(picture),
        pixels_R=np.array(pixels),
        rank_R=ranks[np.array(pixels)],
        in_test_R=np.array(in_test, dtype=bool),
        names=names,
        cover_ids=[f"{number:016x}" for number in pixels],
    )


@pytest.mark.parametrize("mode", MODES)
def test_copies_within_a_genre_are_kept_once(mode):
    rows = _rows((0, 0, 1), (0, 0, 1), (0, 0, 0), (1, 2, 2))
    kept, refused = resolve(rows, mode, seed=0)
    assert kept.rows.tolist() == [2, 3]  # pixels 0 have the best rank
    assert kept.genre_N.tolist() == [0, 1]
    assert refused == {
        0: ("near copy of another cover", "of Art/2"),
        1: ("near copy of another cover", "of Art/2"),
    }


def test_of_equal_copies_the_first_is_kept():
    kept, refused = resolve(_rows((1, 0, 0), (1, 0, 0)), "drop", seed=0)
    assert kept.rows.tolist() == [0]
    assert refused == {1: ("copy of another cover", "of Poetry/0")}


class TestSeveralGenres:
    # Pictures 0 in Poetry, Art and again Art, by itself in Travel.
    rows = _rows((1, 0, 0), (0, 0, 1), (0, 0, 0), (2, 2, 2))
    several = "same picture in several genres"

    def test_drop(self):
        kept, refused = resolve(self.rows, "drop", seed=0)
        assert kept.rows.tolist() == [3]
        assert refused == dict.fromkeys((0, 1, 2), (self.several, "Art, Poetry"))

    def test_first(self):
        kept, refused = resolve(self.rows, "first", seed=0)
        assert kept.rows.tolist() == [0, 3]
        assert kept.genre_N.tolist() == [1, 2]
        why = (self.several, "Art, Poetry; kept as Poetry/0")
        assert refused == {1: why, 2: why}

    def test_keep(self):
        kept, refused = resolve(self.rows, "keep", seed=0)
        assert kept.rows.tolist() == [0, 2, 3]
        assert kept.genre_N.tolist() == [1, 0, 2]
        assert refused == {1: ("near copy of another cover", "of Art/2")}

    def test_multi(self):
        kept, refused = resolve(self.rows, "multi", seed=0)
        assert kept.rows.tolist() == [0, 3]
        assert kept.genres_of == {0: (0, 1)}
        assert refused == {
            1: ("near copy of another cover", "of Poetry/0"),
            2: ("copy of another cover", "of Poetry/0"),
        }

    def test_multi_favours_no_genre(self):
        rows = _rows(*((genre, n, n) for n in range(600) for genre in range(3)), ranks=range(600))
        kept, _ = resolve(rows, "multi", seed=0)
        assert np.bincount(kept.genre_N) == pytest.approx([200, 200, 200], abs=40)
        again, _ = resolve(rows, "multi", seed=1)
        assert (kept.genre_N != again.genre_N).mean() == pytest.approx(2 / 3, abs=0.1)


class TestOfficialTest:
    in_test = "copy of a cover in the official test split"

    @pytest.mark.parametrize("mode", MODES)
    def test_copies_outside_are_refused_whatever_their_genre(self, mode):
        rows = _rows((0, 0, 0), (1, 0, 1), (0, 0, 1, True), (1, 2, 2))
        kept, refused = resolve(rows, mode, seed=0)
        assert kept.rows.tolist() == [2, 3]
        assert refused == dict.fromkeys((0, 1), (self.in_test, "of Art/2"))

    def test_conflicts_within_are_settled_as_elsewhere(self):
        rows = _rows((0, 0, 0, True), (1, 0, 0, True), (1, 0, 0))
        kept, refused = resolve(rows, "first", seed=0)
        assert kept.rows.tolist() == [0]
        assert refused[2] == (self.in_test, "of Art/0")


listings = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans()), min_size=1, max_size=30
)


@given(listings, st.sampled_from(MODES), st.integers(0, 9))
def test_each_row_is_kept_or_refused_once(listed, mode, seed):
    rows = _rows(*((genre, pixels // 2, pixels, test) for genre, pixels, test in listed))
    kept, refused = resolve(rows, mode, seed)
    assert sorted([*kept.rows.tolist(), *refused]) == list(range(len(listed)))
    labels = list(zip(rows.picture_R[kept.rows].tolist(), kept.genre_N.tolist(), strict=True))
    assert len(set(labels)) == len(labels)
    if mode != "keep":
        assert len({picture for picture, _ in labels}) == len(labels)


class TestNoiseCeiling:
    def test_formula(self):
        # Picture 0 in two genres, 1 twice in one, 2 in three: 3 pictures, 6 labels.
        picture, genre = [0, 0, 1, 1, 2, 2, 2], [0, 1, 0, 0, 0, 1, 2]
        labels = count_labels(np.array(picture), np.array(genre))
        assert (labels.pictures, labels.conflicting) == (3, 2)
        assert labels.ceiling == 0.5

    @given(listings)
    def test_no_predictor_is_better(self, listed):
        picture, genre = (np.array(column) for column in list(zip(*listed, strict=True))[1::-1])
        labels = {(int(p), int(g)) for p, g in zip(picture, genre, strict=True)}
        answers = dict(sorted(labels))  # any one label of each picture
        best = np.mean([answers[p] == g for p, g in sorted(labels)])
        assert count_labels(picture, genre).ceiling == pytest.approx(best)

    def test_nothing_found(self):
        empty = np.empty(0, dtype=np.int64)
        assert count_labels(empty, empty).ceiling == 1.0

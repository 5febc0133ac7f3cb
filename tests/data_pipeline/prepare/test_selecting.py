import io
import random
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from covertune.data_pipeline import PrepareSettings, SourceError
from covertune.data_pipeline.dedup.compare import open_for_comparison, same_picture
from covertune.data_pipeline.dedup.signature import CUTS, SIGNATURE_BYTES
from covertune.data_pipeline.errors import ImageRejected
from covertune.data_pipeline.images import normalise
from covertune.data_pipeline.prepare._normalising import NormalisedSources
from covertune.data_pipeline.prepare._prepare import _splits
from covertune.data_pipeline.prepare._selecting import select_covers
from covertune.data_pipeline.sources import Source

_normalised = cache(lambda data: normalise(data, 256))


def _sift(rows, **how):
    """Sift (genre, encoded picture, keys, split) rows as a prepare does, but in this process."""
    sources, normalised, images, signed = [], [], [], []
    for number, (genre, data, *more) in enumerate(rows):
        keys, split = (*more, (), None)[:2] if len(more) != 1 else (more[0], None)
        sources.append(Source(f"{number}", f"{number}.jpg", genre, tuple(keys), split))
        try:
            image = _normalised(data)
        except ImageRejected as err:
            normalised.append(("", 0, 0, 0, err.reason, err.detail))
            images.append(None)
            signed.append(bytes(SIGNATURE_BYTES))
            continue
        normalised.append((image.cover_id, image.width, image.height, len(image.data), "", ""))
        images.append(image.data)
        signed.append(image.signature)
    names = ("cover_id", "width", "height", "length", "reason", "detail")
    table = pa.table(dict(zip(names, map(list, zip(*normalised, strict=True)), strict=True)))
    signatures = np.frombuffer(b"".join(signed), np.uint8).reshape(len(rows), -1)

    def compare(pairs, shown_by):
        inner, outer = shown_by[pairs.inner_P], shown_by[pairs.outer_P]
        return np.array(
            [
                same_picture(
                    open_for_comparison(images[a]), open_for_comparison(images[b]), CUTS[cut]
                )
                for a, b, cut in zip(inner, outer, pairs.cut_P, strict=True)
            ],
            dtype=bool,
        )

    covers = NormalisedSources(table, signatures)
    return select_covers(sources, covers, PrepareSettings(**how), compare)


@cache
def _smaller(data):
    with Image.open(io.BytesIO(data)) as image:
        buffer = io.BytesIO()
        image.resize((image.width // 2, image.height // 2)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures(make_cover):
    """40 encoded covers, all different."""
    return [make_cover(number, (96, 128)) for number in range(40)]


def _group_of(sifted):
    return dict(zip(sifted.sources.tolist(), sifted.groups, strict=True))


class TestKeys:
    def test_rows_that_share_a_key_are_one_group(self, pictures):
        rows = [
            ("A", pictures[0], ["isbn:1"]),
            ("B", pictures[1], ["isbn:2", "author:x"]),
            ("A", pictures[2]),
            ("A", pictures[3], ["author:x", "isbn:1"]),
        ]
        sifted = _sift(rows)
        group = _group_of(sifted)
        assert group[0] == group[1] == group[3] != group[2]
        assert sifted.found.conflicting == 0
        ids = {_normalised(rows[row][1]).cover_id for row in (0, 1, 3)}
        assert group[0] == min(ids)

    def test_a_refused_copy_still_ties(self, pictures):
        rows = [
            ("A", pictures[0], ["isbn:1"]),
            ("A", _smaller(pictures[0]), ["isbn:2"]),
            ("B", pictures[1], ["isbn:2"]),
        ]
        sifted = _sift(rows)
        assert sifted.refused == {1: ("near copy of another cover", "of 0.jpg")}
        assert len(set(sifted.groups)) == 1

    def test_a_placeholder_does_not_tie(self, pictures):
        rows = [("A", pictures[0], [f"isbn:{number}"]) for number in range(12)]
        rows += [("A", pictures[number], [f"isbn:{number}"]) for number in (1, 2)]
        sifted = _sift(rows)
        assert sifted.sources.tolist() == [12, 13]
        assert set(sifted.refused.values()) == {("placeholder", "one picture under 12 books")}
        assert len(set(sifted.groups)) == 2
        assert sifted.found.pictures == 2


class TestNearCopies:
    def test_the_larger_one_is_kept(self, pictures):
        sifted = _sift([("A", _smaller(pictures[0])), ("A", pictures[0]), ("B", pictures[1])])
        assert sifted.sources.tolist() == [1, 2]
        assert sifted.refused == {0: ("near copy of another cover", "of 1.jpg")}

    def test_colour_is_kept_rather_than_size(self, pictures):
        with Image.open(io.BytesIO(pictures[0])) as image:
            buffer = io.BytesIO()
            image.convert("L").resize((192, 256)).save(buffer, "PNG")
        sifted = _sift([("A", buffer.getvalue()), ("A", pictures[0]), ("B", pictures[1])])
        assert sifted.sources.tolist() == [1, 2]

    def test_in_several_genres_they_conflict(self, pictures):
        rows = [("A", _smaller(pictures[0])), ("B", pictures[0]), ("B", pictures[1])]
        sifted = _sift(rows)
        assert set(sifted.refused.values()) == {("same picture in several genres", "A, B")}
        assert (sifted.found.pictures, sifted.found.conflicting) == (2, 1)
        assert sifted.found.ceiling == pytest.approx(2 / 3)
        assert sifted.kept_ceiling == 1.0

    def test_kept_in_each_genre_they_are_one_group(self, pictures):
        rows = [("A", _smaller(pictures[0])), ("B", pictures[0]), ("B", pictures[1])]
        sifted = _sift(rows, conflicts="keep")
        group = _group_of(sifted)
        assert group[0] == group[1] != group[2]
        assert sifted.kept_ceiling == pytest.approx(2 / 3)

    def test_if_not_wanted_they_are_different_pictures(self, pictures):
        sifted = _sift([("A", _smaller(pictures[0])), ("B", pictures[0])], near_copies=False)
        assert sifted.sources.tolist() == [0, 1]


class TestOfficialSplit:
    def test_the_rest_is_divided_by_val_share(self, pictures):
        splits = ["test"] * 4 + ["train"] * 10
        rows = [
            (g, pictures[n + 20 * (g == "B")], (), s) for g in "AB" for n, s in enumerate(splits)
        ]
        sifted = _sift(rows)
        assert sifted.official_split
        drawn = _splits(sifted, PrepareSettings(val_share=0.2))
        for start in (0, 14):
            assert drawn[start : start + 4] == ["test"] * 4
            assert sorted(drawn[start + 4 : start + 14]) == ["train"] * 8 + ["val"] * 2

    def test_what_belongs_to_the_test_split_leaves_the_others(self, pictures):
        rows = [
            ("A", pictures[0], ["isbn:1"], "test"),
            ("A", _smaller(pictures[0]), [], "train"),
            ("B", pictures[0], [], "train"),
            ("B", pictures[1], ["isbn:1"], "train"),
            ("B", pictures[2], ["isbn:2"], "train"),
        ]
        sifted = _sift(rows)
        assert sifted.sources.tolist() == [0, 4]
        assert sifted.refused == {
            1: ("copy of a cover in the official test split", "of 0.jpg"),
            2: ("copy of a cover in the official test split", "of 0.jpg"),
            3: ("belongs to a cover in the official test split", "to 0.jpg"),
        }

    def test_some_rows_without_one(self, pictures):
        rows = [("A", pictures[0], (), "test"), ("B", pictures[1])]
        message = (
            r"either all rows name an official split or none does, 1 of 2 name none, such as 1\.jpg"
        )
        with pytest.raises(SourceError, match=message):
            _sift(rows)


def test_blank_pictures_and_rows_without_genre(pictures):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 90), "white").save(buffer, "PNG")
    sifted = _sift(
        [("A", buffer.getvalue()), ("", pictures[0]), ("A", b"text"), ("B", pictures[1])]
    )
    assert sifted.sources.tolist() == [3]
    assert [reason for reason, _ in sifted.refused.values()] == [
        "nearly blank",
        "no genre",
        "not an image",
    ]


def test_nothing_usable():
    sifted = _sift([("A", b""), ("B", b"")])
    assert len(sifted.sources) == 0
    assert sifted.genres == []


@st.composite
def listings(draw):
    """Rows of few pictures, genres and keys, so that much coincides."""
    rows = []
    official = draw(st.booleans())
    for _ in range(draw(st.integers(1, 25))):
        keys = [f"isbn:{key}" for key in draw(st.lists(st.integers(0, 9), max_size=1))]
        split = draw(st.sampled_from(["train", "test"])) if official else None
        picture = draw(st.integers(0, 8)), draw(st.booleans())
        rows.append((draw(st.sampled_from("ABC")), picture, keys, split))
    return rows


@settings(max_examples=40)
@given(listings(), st.sampled_from(["drop", "first", "keep", "multi"]), st.integers())
def test_whatever_the_order_nothing_leaks_and_all_is_accounted_for(pictures, rows, mode, seed):
    seen = [
        (genre, _smaller(pictures[number]) if small else pictures[number], keys, split)
        for genre, (number, small), keys, split in rows
    ]
    sifted = _sift(seen, conflicts=mode)
    kept = sifted.sources.tolist()
    assert sorted([*kept, *sifted.refused]) == list(range(len(rows)))
    group = _group_of(sifted)
    tied = [
        (one, other)
        for one in kept
        for other in kept
        if rows[one][1][0] == rows[other][1][0] or set(rows[one][2]) & set(rows[other][2])
    ]
    assert all(group[one] == group[other] for one, other in tied)
    tests = {group[row] for row in kept if rows[row][3] == "test"}
    assert not tests & {group[row] for row in kept if rows[row][3] == "train"}

    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    again = _sift([seen[row] for row in order], conflicts=mode)
    of_kept = {(_normalised(seen[row][1]).cover_id, group[row]) for row in kept}
    if mode != "first":  # which one is first is a matter of order
        ids = [_normalised(seen[order[row]][1]).cover_id for row in again.sources.tolist()]
        assert of_kept == set(zip(ids, again.groups, strict=True))

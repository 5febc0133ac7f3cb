import numpy as np
import pytest

from covertune.data_pipeline.dedup.placeholders import FEWEST_BOOKS, stand_for_many


def _find(*rows):
    """Rows are (picture, genre, keys)."""
    picture, genre, keys = zip(*rows, strict=True)
    return stand_for_many(np.array(picture), np.array(genre), keys)


def test_one_picture_under_many_books():
    rows = [(7, number % 3, (f"isbn:{number}",)) for number in range(12)]
    assert _find(*rows, (1, 0, ("isbn:1",))) == {7: "one picture under 12 books"}


def test_a_book_listed_again_and_again_is_one_book():
    assert _find(*[(7, number, ("isbn:1", f"row:{number // 4}")) for number in range(30)]) == {}


def test_one_picture_many_times_in_a_genre():
    rows = [(3, 1, ())] * FEWEST_BOOKS
    assert _find(*rows, (3, 0, ())) == {3: "one picture 10 times in one genre"}


def test_one_picture_once_in_each_of_many_genres_is_a_book_of_many_genres():
    assert _find(*[(3, genre, ()) for genre in range(33)]) == {}


@pytest.mark.parametrize("key", [(), ("isbn:{}",)])
def test_a_few_editions_may_share_a_cover(key):
    rows = [(0, 0, tuple(k.format(number) for k in key)) for number in range(FEWEST_BOOKS - 1)]
    assert _find(*rows) == {}

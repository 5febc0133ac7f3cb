import numpy as np

from covertune.models.training.collapse import find_collapse


def test_nearly_all_in_one_genre():
    table = np.array([[1, 49, 0], [0, 50, 0], [0, 50, 0]])
    assert find_collapse(table) == (
        "collapsed: 99.3% of the validation covers were given genre 1, which 33.3% of them have"
    )


def test_the_genre_s_name_is_told_escaped():
    table = np.array([[0, 50], [0, 50]])
    assert find_collapse(table, ["Poetry", "Cook\nbooks"]) == (
        "collapsed: 100.0% of the validation covers were given genre 'Cook\\nbooks', which 50.0% "
        "of them have"
    )


def test_so_few_covers_that_chance_does_it():
    assert find_collapse(np.array([[0, 5], [0, 4]])) is None
    assert find_collapse(np.array([[0, 5], [0, 5]])) is not None


def test_just_under_the_share():
    assert find_collapse(np.array([[3, 97], [2, 98]])) is None


def test_right_to_say_the_same_where_nearly_all_are():
    assert find_collapse(np.array([[95, 0], [5, 0]])) is None
    assert find_collapse(np.array([[89, 0], [11, 0]])) is not None


def test_no_covers():
    assert find_collapse(np.zeros((3, 3), dtype=np.int64)) is None

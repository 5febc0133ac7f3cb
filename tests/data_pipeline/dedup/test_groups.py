import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from covertune.data_pipeline.dedup.groups import union_groups

NO_LINKS = np.empty((0, 2), dtype=np.int64)


def test_shared_keys_tie():
    keys = [(0, ("isbn:1",)), (1, ("isbn:2", "author:x")), (2, ()), (4, ("author:x", "isbn:1"))]
    assert union_groups(5, keys, NO_LINKS).tolist() == [0, 0, 2, 3, 0]


def test_links_tie():
    assert union_groups(4, [], np.array([[3, 1]])).tolist() == [0, 1, 2, 1]


rows = st.lists(st.tuples(st.integers(0, 9), st.lists(st.sampled_from("abcde")).map(tuple)))


@given(rows, st.randoms())
def test_order_does_not_matter_and_no_key_crosses_groups(keys, random):
    groups = union_groups(10, keys, NO_LINKS)
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert np.array_equal(groups, union_groups(10, shuffled, NO_LINKS))
    for key in "abcde":
        assert len({int(groups[picture]) for picture, of_row in keys if key in of_row}) <= 1
    assert all(groups[group] == group for group in groups)

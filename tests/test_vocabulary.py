"""The words that all share: what is on disk and on the command line depends on them."""

from covertune.vocabulary import CONFLICTS, FITS, SPLITS


def test_words_on_disk_stay():
    assert SPLITS == ("train", "val", "test")
    assert FITS == ("squash", "pad", "crop")
    assert CONFLICTS == ("drop", "first", "keep", "multi")

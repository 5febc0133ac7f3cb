import pickle

import pytest

from covertune.data_pipeline import errors


@pytest.mark.parametrize("name", ["SourceError", "StoreError", "CapacityError", "ImageRejected"])
def test_all_errors_have_one_root(name):
    assert issubclass(getattr(errors, name), errors.DataError)
    assert name in errors.__doc__


def test_rejection_says_reason_and_detail():
    assert str(errors.ImageRejected("empty file")) == "empty file"
    assert str(errors.ImageRejected("damaged image", "bad marker")) == "damaged image: bad marker"


def test_rejection_survives_the_way_between_processes():
    again = pickle.loads(pickle.dumps(errors.ImageRejected("damaged image", "bad marker")))
    assert (again.reason, again.detail) == ("damaged image", "bad marker")

import subprocess
import sys

import pytest

from covertune import data_pipeline


def test_public_names_are_sorted_and_there():
    constants_first = sorted(data_pipeline.__all__, key=lambda n: (not n.isupper(), n.islower(), n))
    assert data_pipeline.__all__ == constants_first
    for name in data_pipeline.__all__:
        assert getattr(data_pipeline, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Batches'"):
        data_pipeline.Batches  # noqa: B018


def test_decoding_workers_do_not_import_torch():
    code = "import sys, covertune.data_pipeline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

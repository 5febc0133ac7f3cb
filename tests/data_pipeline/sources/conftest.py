"""Sources made of empty files: only names matter to finding them."""

from pathlib import Path

import pytest

from covertune.data_pipeline.errors import SourceError
from covertune.data_pipeline.sources import find_sources


@pytest.fixture
def touch(tmp_path):
    """Make empty files below the test's folder, or another."""

    def make(*names, root=tmp_path) -> Path:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        return root

    return make


@pytest.fixture
def error():
    """The one line that finding sources ends with."""

    def fail(source, **options) -> str:
        with pytest.raises(SourceError) as caught:
            find_sources(source, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return fail

import json

import pytest

from covertune.data_pipeline import StoreError, inspect_store


def test_report(store):
    report = inspect_store(store.path)
    assert report.covers == 400
    assert report.fingerprint == store.fingerprint
    assert report.counts["Travel"] == {"train": 28, "val": 6, "test": 6}
    assert report.width_px.model_dump() == {"min": 48, "median": 48.0, "max": 48}
    assert report.height_px.model_dump() == {"min": 64, "median": 64.0, "max": 64}
    assert report.parts == 3
    assert report.bytes == sum(file.stat().st_size for file in store.path.iterdir())
    assert report.settings.seed == 1
    assert json.loads(report.model_dump_json())["schema_version"] == 2


def test_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"a cover store is a folder with a covers\.json"):
        inspect_store(tmp_path)

import pytest
from pydantic import ValidationError

from covertune.data_pipeline.store.schema import PartInfo, PrepareSettings, StoreManifest


@pytest.mark.parametrize("model", [PrepareSettings, PartInfo, StoreManifest])
def test_every_field_is_described(model):
    assert all(field.description for field in model.model_fields.values())


def test_settings_name_all_problems_at_once():
    with pytest.raises(ValidationError) as caught:
        PrepareSettings(max_px=0, val_share=1.5, sede=1)
    assert {problem["loc"][0] for problem in caught.value.errors()} == {
        "max_px",
        "val_share",
        "sede",
    }


def test_shares_leave_something_to_train_on():
    with pytest.raises(ValidationError, match=r"must stay below 1 .*; got 0\.5 \+ 0\.5"):
        PrepareSettings(val_share=0.5, test_share=0.5)


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (128, 1), (129, 2)])
def test_row_groups(rows, groups):
    part = PartInfo(name="p", split="train", rows=rows, group_rows=128, bytes=1)
    assert part.row_groups == groups

import pytest
from pydantic import ValidationError

from covertune.models import UNTUNED, Recipe


def test_the_untuned_recipe_is_plain_adam():
    assert (UNTUNED.epochs, UNTUNED.batch_size, UNTUNED.optimizer) == (2, 32, "adam")
    assert UNTUNED.lr_head == UNTUNED.lr_backbone == 1e-3
    assert (UNTUNED.head_init, UNTUNED.schedule) == ("random", "constant")
    off = (
        "augment_strength",
        "mixup_alpha",
        "cutmix_alpha",
        "label_smoothing",
        "weight_decay",
        "drop_rate",
        "warmup_epochs",
        "frozen_stages",
    )
    assert all(getattr(UNTUNED, name) == 0 for name in off)


def test_round_trip():
    assert Recipe.model_validate_json(UNTUNED.model_dump_json()) == UNTUNED


def test_every_field_is_described():
    assert all(field.description for field in Recipe.model_fields.values())


def test_all_problems_at_once():
    with pytest.raises(ValidationError) as caught:
        Recipe(backbone="small_cnn", image_px=1, epochs=0, lr_head=-1, lr_backbone=1, wings=2)
    assert {error["loc"][0] for error in caught.value.errors()} == {
        "image_px",
        "epochs",
        "lr_head",
        "wings",
    }


def test_warmup_longer_than_the_run():
    with pytest.raises(ValidationError, match=r"warmup_epochs must be at most epochs \(2\), got 3"):
        Recipe(**(UNTUNED.model_dump() | {"warmup_epochs": 3.0}))

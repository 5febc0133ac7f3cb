"""A small classifier that is sure of something, and model folders made of it."""

import numpy as np
import pytest
import torch

from covertune.models import CardData, Recipe, get_backbone, save_model
from covertune.models.backbones.heads import head_of

GENRES = ["crime", "poetry & prose", "romance", "Über|reise"]
FACTS = CardData(
    metrics={
        "test": {
            "n": 48,
            "top1": 0.75,
            "top1_interval": [0.6, 0.85],
            "top3": 1.0,
            "macro_f1": 0.5,
            "ece": float("nan"),
        }
    },
    provenance={
        "run": "first",
        "trial": 3,
        "store": "my-covers",
        "covers": {"train": 96, "val": 48},
    },
)


def noise(px=32, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, px, px, 3), dtype=np.uint8)


def built(name, px, genres=4):
    """A network with random weights whose head tells covers apart."""
    torch.manual_seed(0)
    backbone = get_backbone(name)
    model = backbone.build(genres, image_px=px, weights="none").eval()
    rough = torch.nn.functional.interpolate(torch.rand(32, 3, 4, 3), (px, px), mode="bicubic")
    covers = rough.clamp(0, 1).mul(255).byte().permute(0, 2, 3, 1)
    with torch.no_grad():
        logits = model(backbone.input.normalise(covers))
        head, spread = head_of(model), logits.std(dim=0) / 2
        head.bias.sub_(logits.mean(dim=0)).div_(spread)
        head.weight.div_(spread[:, None])
    return model


@pytest.fixture(scope="session")
def genres():
    return GENRES


@pytest.fixture(scope="session")
def card():
    return FACTS


@pytest.fixture(scope="session")
def recipe_for():
    def recipe(backbone="small_cnn", image_px=32, **settings):
        chosen = {"epochs": 1, "lr_head": 0.1, "lr_backbone": 0.1, "weights": "none"} | settings
        return Recipe(backbone=backbone, image_px=image_px, **chosen)

    return recipe


@pytest.fixture(scope="session")
def save(recipe_for):
    """Write a model folder of a backbone with random weights."""

    def write(out, backbone="small_cnn", image_px=32, *, model=None, **options):
        settings = {
            name: options.pop(name) for name in list(options) if name in Recipe.model_fields
        }
        given = {
            "recipe": recipe_for(backbone, image_px, **settings),
            "genres": GENRES,
            "card": FACTS,
            "check_images_NHWC": noise(image_px),
        }
        given |= options
        return save_model(
            out, model or built(backbone, image_px), backbone=get_backbone(backbone), **given
        )

    return write


@pytest.fixture(scope="session")
def small_cnn():
    return built("small_cnn", 32)


@pytest.fixture(scope="session")
def covers():
    return noise()

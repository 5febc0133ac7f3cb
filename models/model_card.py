"""The README.md of a model folder, with code to copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.backbones import Backbone
from models.input_spec import InputSpec
from models.recipe import Recipe

__all__ = ["licence_of", "write_card"]

_CARD = """\
# Book genre from a cover: {backbone} at {px} px

Tells which of {K} genres a book has by its cover. Fine-tuned with covertune.

Genres: {genres}

## What it is worth

{metrics}
Genres overlap and publishers mix their signs; a cover alone does not settle a genre. The figures
hold for covers like those of the store named below.

## What it takes

One cover as RGB, upright, {fit} {px} x {px} with Pillow's bicubic
filter; pixels divided by 255, then per channel minus {mean}, divided by {std}; laid out as
(batch, 3, {px}, {px}), float32.

## Use it with onnxruntime, numpy and Pillow

```python
import json
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

config = json.load(open("config.json", encoding="utf-8"))
session = onnxruntime.InferenceSession("model.onnx")

def genres_of(path):
    cover = ImageOps.exif_transpose(Image.open(path))
    if cover.mode.startswith("I;16"):  # Pillow clips 16-bit grey instead of scaling it
        cover = Image.fromarray((np.asarray(cover) >> 8).astype(np.uint8))
    if cover.mode in ("RGBA", "LA", "PA") or "transparency" in cover.info:
        cover = cover.convert("RGBA")
        cover = Image.alpha_composite(Image.new("RGBA", cover.size, "white"), cover)
    cover = cover.convert("RGB")
{fit_code}
    pixels = np.asarray(cover, dtype=np.float32) / 255
    pixels = (pixels - np.float32({mean})) / np.float32({std})
    pixel_values = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    probabilities = session.run(["probabilities"], {{"pixel_values": pixel_values}})[0][0]
    return sorted(zip(config["genres"], probabilities.tolist()), key=lambda pair: -pair[1])

print(genres_of("cover.jpg"))
```

## Use it with covertune

```python
from models import load_bundle
from data_pipeline import load_square
from pathlib import Path

classifier = load_bundle(Path("."))
cover = load_square(Path("cover.jpg"), classifier.image_px, classifier.fit)
print(dict(zip(classifier.genres, classifier.probabilities(cover[None])[0])))
```

## Where it comes from

- Backbone: {backbone} ({source}); weights: {weights}
- Licence of the backbone and the weights it started from: {licence}
{provenance}
## Recipe

{recipe}
"""


_FITS = {
    "squash": "squashed (not cropped) to",
    "pad": "in its own shape between two bars of the mean colour of the edges they touch, together",
    "crop": "its middle square, scaled to",
}

# What `data_pipeline.load_square` does, for those who have Pillow and numpy alone.
_FIT_CODE = {
    "squash": """\
    cover = cover.resize(({px}, {px}), Image.Resampling.BICUBIC)""",
    "pad": """\
    width, height = (max(1, round(side * {px} / max(cover.size))) for side in cover.size)
    cover = np.asarray(cover.resize((width, height), Image.Resampling.BICUBIC))
    edges = cover[:, [0, -1]] if width < height else cover[[0, -1]]
    square = np.full(({px}, {px}, 3), np.rint(edges.mean(axis=(0, 1))), dtype=np.uint8)
    top, left = ({px} - height) // 2, ({px} - width) // 2
    square[top : top + height, left : left + width] = cover
    cover = square""",
    "crop": """\
    side = min(cover.size)
    left, top = (cover.width - side) / 2, (cover.height - side) / 2
    middle = (left, top, left + side, top + side)
    cover = cover.resize(({px}, {px}), Image.Resampling.BICUBIC, middle)""",
}

_SEVERAL_GENRES = """\
Some covers have several genres. top1 counts a first guess as right if it is a cover's primary
genre, any_top1 if it is any of its genres.
"""


def write_card(
    backbone: Backbone,
    input_spec: InputSpec,
    genres: list[str],
    recipe: Recipe,
    facts: Mapping[str, Any],
) -> str:
    """The card as Markdown.

    Args:
        backbone: What was fine-tuned.
        input_spec: What the model takes.
        genres: Names, in the order of the logits.
        recipe: How it was trained.
        facts: `metrics` (by split) and `provenance`, both may be missing.
    """
    return _CARD.format(
        backbone=backbone.name,
        px=input_spec.image_px,
        fit=_FITS[recipe.fit],
        fit_code=_FIT_CODE[recipe.fit].format(px=input_spec.image_px),
        K=len(genres),
        genres=", ".join(genres),
        metrics=_metrics_table(facts.get("metrics", {})),
        mean=list(input_spec.mean),
        std=list(input_spec.std),
        source=backbone.source,
        weights=_weights_used(backbone, recipe),
        licence=licence_of(backbone, recipe),
        provenance="".join(
            f"- {name.replace('_', ' ')}: {_plain(value)}\n"
            for name, value in facts.get("provenance", {}).items()
        ),
        recipe=_table("setting", "value", recipe.model_dump()),
    )


def licence_of(backbone: Backbone, recipe: Recipe) -> str:
    """The licence of what was fine-tuned; nobody knows that of a file somebody gave."""
    if recipe.weights in ("default", "none"):
        return backbone.licence
    return "that of the given weights, which is not known to covertune"


def _weights_used(backbone: Backbone, recipe: Recipe) -> str:
    if recipe.weights == "default":
        return backbone.weights
    return "none, trained from scratch" if recipe.weights == "none" else "a local file"


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    parts = []
    several = False
    for split, measured in metrics.items():
        rows = measured if isinstance(measured, Mapping) else {"value": measured}
        parts.append(_table(f"on {split} covers", "value", rows) + "\n")
        several |= "any_top1" in rows
    if several:
        parts.append(_SEVERAL_GENRES)
    return "\n".join(parts) if parts else "No measurement was recorded.\n"


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|"]
    lines += [f"| {name} | {_plain(value)} |" for name, value in rows.items()]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " to ".join(_plain(entry) for entry in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    return "none" if value is None else str(value)

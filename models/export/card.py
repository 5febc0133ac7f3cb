"""The README.md of a model folder, and the program around its ONNX graph.

The card opens with the metadata block of the Hugging Face hub:
https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from covertune.models.backbones import Backbone
from covertune.models.evaluation.calibration import Calibration
from covertune.models.export.config import ModelFolderConfig
from covertune.models.metrics import Metrics, wilson_interval
from covertune.models.training.recipe import Recipe
from covertune.wording import escaped

__all__ = ["licence_of", "write_card", "write_program"]

_FITS = {
    "squash": "squashed (not cropped) to",
    "pad": "in its own shape between two bars of the mean colour of the edges they touch, together",
    "crop": "its middle square, scaled to",
}
_CAVEATS = {
    "squash": "",
    "pad": ", and their bars have another colour",
    "crop": ", and they cut at whole pixels",
}
_MEASURES = Metrics.titles() | {"ece": "calibration error (15 bins)"}
_ENOUGH_COVERS = 500  # for a calibration error of 15 bins that is not mostly noise
_SHARES = ("top1", "any_top1", "top3")
_SPLITS = {"val": "validation"}
# What the hub knows by name: https://huggingface.co/docs/hub/repositories-licenses
_HUB_LICENCES = re.compile(
    r"^(apache-2\.0|mit|bsd-3-clause|bsd-2-clause|bsd|cc-by(-nc)?(-sa|-nd)?-[234]\.0|cc0-1\.0|"
    r"openrail|wtfpl|unlicense|gpl-3\.0|lgpl-3\.0)$"
)


def write_card(config: ModelFolderConfig, backbone: Backbone) -> str:
    """Write the card as Markdown.

    Args:
        config: Of the model folder, as it will be.
        backbone: What was fine-tuned.
    """
    ours = config.covertune
    height, width = ours.preprocessing.size
    store = ours.provenance.get("store")
    title = escaped(f"{backbone.name} fine-tuned on {store or 'covers'}")
    template = _environment().get_template("card.md.j2")
    return template.render(
        metadata=_metadata(config, backbone, title),
        backbone=backbone.name,
        store=store,
        is_demonstration="demonstration" in ours.provenance,
        genres=config.label_names,
        measures=[
            (_SPLITS.get(split, split), rows.get("n"), _rows(rows))
            for split, rows in ours.metrics.items()
            if isinstance(rows, Mapping)
        ],
        several=any(
            "any_top1" in rows for rows in ours.metrics.values() if isinstance(rows, Mapping)
        ),
        by_genre=ours.by_genre,
        calibration=_calibration_in_words(ours.calibration, ours.uncalibrated_because),
        fit_words=_FITS[ours.preprocessing.resize],
        fit_caveat=_CAVEATS[ours.preprocessing.resize],
        height=height,
        width=width,
        mean=list(ours.preprocessing.mean),
        std=list(ours.preprocessing.std),
        onnx=ours.onnx,
        no_onnx_because=ours.no_onnx_because and escaped(ours.no_onnx_because),
        library=ours.loading.library,
        open_cover=_open_cover(config),
        source=backbone.source,
        weights=_weights_used(backbone, ours.recipe),
        licence=ours.licence,
        provenance=[
            (name.replace("_", " "), _plain(value)) for name, value in ours.provenance.items()
        ],
        recipe=[(name, _plain(value)) for name, value in ours.recipe.model_dump().items()],
    )


def write_program(config: ModelFolderConfig) -> str:
    """Write predict.py: from a cover to genres with onnxruntime, numpy and Pillow."""
    prepared = config.covertune.preprocessing
    return (
        _environment()
        .get_template("predict.py.j2")
        .render(
            genres_code=_python_list(config.label_names),
            mean=list(prepared.mean),
            std=list(prepared.std),
            open_cover=_open_cover(config),
        )
    )


def licence_of(backbone: Backbone, recipe: Recipe) -> str:
    """Return the licence of what was fine-tuned; nobody knows that of a file somebody gave."""
    if recipe.weights in ("default", "none"):
        return backbone.licence
    return "that of the given weights, which is not known to covertune"


def _open_cover(config: ModelFolderConfig) -> str:
    prepared = config.covertune.preprocessing
    height, width = prepared.size
    template = _environment().get_template("open_cover.py.j2")
    return template.render(fit=prepared.resize, height=height, width=width).rstrip()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "code": _code,
        "cell": _cell,
        "figure": _figure,
        "interval": _interval,
    }
    environment.filters |= filters
    return environment


def _metadata(config: ModelFolderConfig, backbone: Backbone, title: str) -> str:
    """Return the YAML block of the hub, made by its own library."""
    from huggingface_hub import EvalResult, ModelCardData

    ours = config.covertune
    library = ours.loading.library
    known = _HUB_LICENCES.match(ours.licence.lower())
    test = ours.metrics.get("test")
    results = None
    if isinstance(test, Mapping):
        results = [
            EvalResult(
                task_type="image-classification",
                task_name="Image classification",
                dataset_type="image-classification",
                dataset_name=escaped(ours.provenance.get("store", "covers")),
                dataset_split="test",
                metric_type=kind,
                metric_name=_MEASURES[measure],
                metric_value=round(float(test[measure]), 4),
            )
            for measure, kind in (("top1", "accuracy"), ("macro_f1", "f1"))
            if isinstance(test.get(measure), int | float) and math.isfinite(test[measure])
        ]
    started_from_hub = ours.recipe.weights == "default" and backbone.hub_id is not None
    data = ModelCardData(
        license=ours.licence.lower() if known else "other",
        license_name=None if known else re.sub(r"[^a-z0-9.-]+", "-", ours.licence.lower())[:60],
        library_name=library,
        pipeline_tag="image-classification",
        base_model=backbone.hub_id if started_from_hub else None,
        tags=["image-classification", "covertune", *([] if library == "covertune" else [library])],
        metrics=["accuracy", "f1"],
        model_name=title,
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _rows(measured: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (measure, value, interval) of one split."""
    rows = []
    for measure, name in _MEASURES.items():
        value = measured.get(measure)
        if not isinstance(value, int | float) or not math.isfinite(value):
            continue
        interval = ""
        n = measured.get("n")
        if measure in _SHARES and isinstance(n, int):
            interval = _interval(wilson_interval(round(value * n), n))
        rows.append((name, _figure(value), interval))
    return rows


def _calibration_in_words(calibration: Calibration | None, why_not: str | None) -> str:
    if calibration is None:
        return f"Its probabilities are not calibrated{': ' + escaped(why_not) if why_not else ''}."
    told = calibration
    losses = [f"there {_from_to(told.val_loss_before, told.val_loss_after)}"]
    errors = [f"there {_from_to(told.val_ece_before, told.val_ece_after)}"]
    if told.test_loss_before is not None and told.test_loss_after is not None:
        losses.append(f"on test {_from_to(told.test_loss_before, told.test_loss_after)}")
    if told.test_ece_before is not None and told.test_ece_after is not None:
        errors.append(f"on test {_from_to(told.test_ece_before, told.test_ece_after)}")
    few = ""
    if told.covers < _ENOUGH_COVERS:
        few = " With so few covers read the probabilities as a ranking."
    return (
        f"One temperature, {told.temperature:.3g}, was fitted on {told.covers:,} validation covers "
        "and is part of the weights: the logits are divided by it. The log loss went "
        f"{', '.join(losses)}; the expected calibration error {', '.join(errors)}.{few}"
    )


def _from_to(before: float, after: float) -> str:
    return f"from {before:.3f} to {after:.3f}"


def _weights_used(backbone: Backbone, recipe: Recipe) -> str:
    if recipe.weights == "default":
        return backbone.weights
    return "none, trained from scratch" if recipe.weights == "none" else "a local file"


def _python_list(names: list[str]) -> str:
    return "[\n" + "".join(f"    {name!r},\n" for name in names) + "]"


def _code(name: str) -> str:
    shown = escaped(name).strip() or repr(name)
    return "`" + shown.replace("`", "'") + "`"


def _cell(name: str) -> str:
    """Return a name in a table, where a bar would end the cell even in code."""
    return _code(name).replace("|", "\\|")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.3f} to {high:.3f}"


def _plain(value: Any) -> str:
    """Return a value as one cell of a table, or one line of a list."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(_plain(entry) for entry in value)
    return "none" if value is None else _cell(str(value)).strip("`")

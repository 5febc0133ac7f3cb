"""The classifier as an ONNX graph: written, cleaned and checked against torch.

Input `pixel_values` (batch, 3, px, px) float32, normalised; outputs `logits` and `probabilities`
(batch, K). The file itself says what it takes and tells: labels, preprocessing and version stand in
its metadata.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from covertune.models.errors import GraphError
from covertune.wording import first_line

__all__ = ["INPUT", "OUTPUTS", "TOLERANCE", "check_graph", "write_graph"]

INPUT = "pixel_values"
OUTPUTS = ("logits", "probabilities")
TOLERANCE = 1e-4  # on probabilities

_ONE_FILE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB; larger weights go beside the graph
_LOUD = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def write_graph(
    model: nn.Module, image_px: int, path: Path, metadata: Mapping[str, str] | None = None
) -> int:
    """Export a classifier.

    Args:
        model: Gives (B, K) logits; not changed.
        image_px: Height and width.
        path: The file to write.
        metadata: Properties of the file, which onnxruntime gives as `custom_metadata_map`.

    Returns:
        The opset version.

    Raises:
        GraphError: torch cannot express the model in ONNX.
    """
    import onnx

    exported = _WithProbabilities(copy.deepcopy(model).to("cpu")).eval()
    exported.to(memory_format=torch.contiguous_format)
    size = sum(t.numel() * t.element_size() for t in exported.state_dict().values())
    try:
        with _quiet():
            torch.onnx.export(
                exported,
                (torch.zeros(2, 3, image_px, image_px),),
                path,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
                dynamo=True,
                external_data=size > _ONE_FILE_BYTES,
                verbose=False,
            )
    except Exception as error:  # the exporter raises nearly anything over a network it cannot trace
        if (broken := _os_error(error)) is not None:  # a full disk says nothing of the network
            raise broken from error
        raise GraphError(f"torch cannot write this model as ONNX: {first_line(error)}") from error
    graph = onnx.load(path, load_external_data=False)
    _strip_traces(graph)
    onnx.helper.set_model_props(graph, dict(metadata or {}))
    onnx.save(graph, path)
    return max(
        int(opset.version) for opset in graph.opset_import if opset.domain in ("", "ai.onnx")
    )


def check_graph(path: Path, model: nn.Module, pixel_values: Tensor) -> float:
    """Compare the graph with torch.

    Args:
        path: The graph.
        model: What it was made from, on the CPU.
        pixel_values: (B, 3, px, px) float32, normalised; tried whole and one by one, so that a
            batch size baked into the graph shows.

    Returns:
        The largest difference of a probability.

    Raises:
        GraphError: It is above `TOLERANCE`, or the graph does not run.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it writes an id into the home folder
    import onnxruntime as ort

    with torch.inference_mode():
        wanted = torch.softmax(model.eval()(pixel_values), dim=1).numpy()
    pixels = pixel_values.contiguous().numpy()
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        whole = session.run([OUTPUTS[1]], {INPUT: pixels})[0]
        first = session.run([OUTPUTS[1]], {INPUT: pixels[:1]})[0]
    except Exception as error:  # onnxruntime's own errors share no public root
        raise GraphError(f"the ONNX graph does not run: {first_line(error)}") from error
    worst = max(float(np.abs(whole - wanted).max()), float(np.abs(first - wanted[:1]).max()))
    if not worst <= TOLERANCE:
        raise GraphError(
            f"the ONNX graph must give torch's probabilities within {TOLERANCE}, "
            f"it is {worst:.2g} off"
        )
    return worst


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the error of the system behind one of the exporter's, if there is one."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


class _WithProbabilities(nn.Module):
    """Logits, and their softmax."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        logits_BK = self.model(pixel_values)
        return logits_BK, torch.softmax(logits_BK, dim=1)


def _strip_traces(graph: Any) -> None:
    """Drop the exporter's notes: stack traces tell where on whose disk the code lay."""
    parts = [graph.graph, *graph.functions]
    for part in parts:
        for field in ("node", "input", "output", "value_info", "initializer"):
            for entry in getattr(part, field, ()):
                for noted in ("metadata_props", "doc_string"):
                    if hasattr(entry, noted):
                        entry.ClearField(noted)
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress and advice; errors still raise."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            for category in (UserWarning, FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

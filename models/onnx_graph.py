"""The classifier as an ONNX graph: written, cleaned and checked against torch.

Input `pixel_values` (batch, 3, px, px) float32, normalised; outputs `logits` and `probabilities`
(batch, K).
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import BundleError

__all__ = ["INPUT", "OUTPUTS", "TOLERANCE", "check_graph", "write_graph"]

INPUT = "pixel_values"
OUTPUTS = ("logits", "probabilities")
TOLERANCE = 1e-4  # on probabilities

_ONE_FILE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB; larger weights go beside the graph
_LOUD = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def write_graph(model: nn.Module, image_px: int, path: Path) -> int:
    """Export a classifier.

    Args:
        model: Gives (B, K) logits; not changed.
        image_px: Height and width.
        path: The file to write.

    Returns:
        The opset version.

    Raises:
        BundleError: torch cannot express the model in ONNX.
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
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BundleError(f"torch cannot write this model as ONNX: {reason[:200]}") from error
    graph = onnx.load(path, load_external_data=False)
    _strip_traces(graph)
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
        BundleError: It is above `TOLERANCE`, or the graph does not run.
    """
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
        reason = str(error).strip().splitlines()[0]
        raise BundleError(f"the exported ONNX graph does not run: {reason[:200]}") from error
    worst = max(float(np.abs(whole - wanted).max()), float(np.abs(first - wanted[:1]).max()))
    if not worst <= TOLERANCE:
        raise BundleError(
            f"the ONNX graph must give torch's probabilities within {TOLERANCE}, "
            f"it is {worst:.2g} off; the model was not exported"
        )
    return worst


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

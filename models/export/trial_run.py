"""Whether models of a backbone can leave as a model folder: asked before a search, not after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from covertune.models.errors import GraphError, ModelFolderError
from covertune.models.export.answers import logits_of, same_answers
from covertune.models.export.onnx_graph import check_graph, write_graph
from covertune.models.export.weights import rebuild, state_of, to_safetensors
from covertune.models.training.recipe import Recipe
from covertune.wording import first_line

__all__ = ["require_weights_return", "why_no_graph"]


def require_weights_return(
    model: nn.Module, recipe: Recipe, num_genres: int, pixel_values: Tensor
) -> None:
    """Send a model through the weights of a model folder and back, in memory.

    Args:
        model: Of the recipe's backbone, on the CPU; left in eval mode.
        recipe: How it was trained.
        num_genres: K.
        pixel_values: (B, 3, px, px) float32, normalised covers.

    Raises:
        ModelFolderError: It does not come back, or answers otherwise.
    """
    genres = [str(number) for number in range(num_genres)]
    file = to_safetensors(state_of(model), recipe.backbone, genres)
    try:
        back = rebuild(recipe, num_genres, safetensors.torch.load(file))
    except (RuntimeError, ValueError) as error:
        raise ModelFolderError(
            f"the weights of a {recipe.backbone} must load from a model folder, they do not "
            f"({first_line(error)})"
        ) from error
    if not same_answers(logits_of(back, pixel_values), logits_of(model.eval(), pixel_values)):
        raise ModelFolderError(
            f"a {recipe.backbone} must answer alike before and after a model folder, it does not"
        )


def why_no_graph(model: nn.Module, image_px: int, pixel_values: Tensor) -> str | None:
    """Return what keeps a model folder from having a model.onnx; None if nothing does.

    Args:
        model: On the CPU, in eval mode.
        image_px: H = W.
        pixel_values: (B, 3, H, W) float32, normalised covers.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        try:
            write_graph(model, image_px, graph)
            check_graph(graph, model, pixel_values)
        except GraphError as error:
            return str(error)
    return None

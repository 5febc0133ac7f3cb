"""model.safetensors: weights out of a model, and a model out of weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import safetensors.torch
from torch import Tensor, nn

from covertune.models.backbones import get_backbone
from covertune.models.state import load_state
from covertune.models.training.recipe import Recipe

__all__ = ["WEIGHTS", "rebuild", "state_of", "to_safetensors"]

WEIGHTS = "model.safetensors"


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the entries of a model on the CPU, each with memory of its own.

    Safetensors refuses entries that share memory (tied weights).
    """
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        local = tensor.detach().cpu().contiguous()
        address = local.untyped_storage().data_ptr()
        own[name] = local.clone() if address in seen else local
        seen.add(address)
    return own


def to_safetensors(state: dict[str, Tensor], backbone: str, genres: Sequence[str]) -> bytes:
    """Return the bytes of the file. `format` is what transformers asks for."""
    metadata = {
        "format": "pt",
        "backbone": backbone,
        "label_names": json.dumps(list(genres), ensure_ascii=False),
        "covertune": version("covertune"),
    }
    return _with_sorted_metadata(safetensors.torch.save(state, metadata))


def _with_sorted_metadata(file: bytes) -> bytes:
    """Put the file's metadata in order: safetensors writes it in any, anew each time.

    So the same model is the same bytes, and has the same digest. The format: 8 bytes that say how
    long the header is, the header as JSON, padded with spaces; offsets count from behind it.
    https://huggingface.co/docs/safetensors#format
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[end:]


def rebuild(recipe: Recipe, num_genres: int, state: Mapping[str, Tensor]) -> nn.Module:
    """Rebuild the classifier from its entries, on the CPU: what a loader will see.

    Raises:
        RuntimeError: The entries are not those of the recipe's backbone; torch's own words.
    """
    backbone = get_backbone(recipe.backbone)
    model = backbone.build(num_genres, image_px=recipe.image_px, weights="none")
    load_state(model, state)
    return model.eval()

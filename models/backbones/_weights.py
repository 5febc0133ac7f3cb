"""Pretrained weights: found in a cache, fetched from their hub, or read from a file.

Nothing is unpickled beyond tensors (`weights_only=True`), and no download can hang: the hub must
answer and keep sending within `TIMEOUT_S`. Fetched files lie where torch.hub keeps its own.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from covertune.models.errors import WeightsError
from covertune.whole import whole_file
from covertune.wording import few, first_line

__all__ = ["Adapter", "HubFile", "StateDict", "load_into", "read_state_dict"]

StateDict = dict[str, Tensor]
Adapter = Callable[[StateDict, nn.Module], StateDict]

TIMEOUT_S = 15.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class HubFile:
    """One file on a weights hub.

    Attributes:
        backbone: Whose weights these are; named in errors.
        url: Where it lies.
        filename: Its name in the cache.
        sha256_prefix: Leading hex digits of its SHA-256, where the hub tells them.
    """

    backbone: str
    url: str
    filename: str
    sha256_prefix: str = ""

    @property
    def cached(self) -> Path:
        """Where the file is kept on this machine, whether it is there or not."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.filename

    def path(self) -> Path:
        """Return the file on this machine, fetched if need be.

        Raises:
            WeightsError: The hub cannot be reached, or sends something else.
        """
        if not self.cached.is_file():
            self._fetch()
        return self.cached

    def _fetch(self) -> None:
        remedy = (
            f"put {self.url} at {self.cached} or give the file with "
            f"--weights {self.backbone}=FILE (or weights 'none' to train from scratch)"
        )
        request = urllib.request.Request(self.url, headers={"User-Agent": "covertune"})
        try:
            with (
                urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer,
                whole_file(self.cached) as out,
            ):
                digest = hashlib.sha256()
                while block := answer.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
                expected = answer.headers.get("Content-Length")
                if expected is not None and out.tell() != int(expected):
                    raise WeightsError(
                        f"weights of {self.backbone} must have {expected} bytes, the hub sent "
                        f"{out.tell()} and stopped; try again, or {remedy}"
                    )
                if not digest.hexdigest().startswith(self.sha256_prefix):
                    raise WeightsError(
                        f"weights of {self.backbone} must have a SHA-256 starting with "
                        f"{self.sha256_prefix}, the hub sent {digest.hexdigest()[:8]}…; {remedy}"
                    )
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection, and lives as long as what is raised here
            raise WeightsError(
                f"cannot fetch the weights of {self.backbone}: {_cause(error)}; {remedy}"
            ) from error


def read_state_dict(path: Path) -> StateDict:
    """Read tensors from a `.safetensors` file or a torch file that holds a state dict.

    Raises:
        WeightsError: Missing, unreadable, or holding anything but named tensors.
    """
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}; give a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises nearly anything over some other file
        raise WeightsError(
            f"cannot read weights from {path} ({first_line(error)}); "
            "give a .safetensors file or a state dict saved with torch.save"
        ) from error
    for wrapper in ("state_dict", "model"):  # common habits of training scripts
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(
            f"a weights file must hold a state dict, named tensors only; {path} holds other "
            "things; save model.state_dict() of this backbone"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def load_into(
    model: nn.Module,
    state: StateDict,
    *,
    origin: str,
    head_names: Sequence[str],
    adapters: Sequence[Adapter] = (),
) -> None:
    """Load weights; all of the backbone must be there, a head of other genres is skipped.

    Args:
        model: With its library's own head.
        state: Named tensors.
        origin: Where they come from, for errors.
        head_names: Parameters of the classifier: need not match.
        adapters: Tried in turn where the names or shapes do not fit at once.

    Raises:
        WeightsError: The first tensors that are missing, unknown or of another shape.
    """
    candidate, problems = state, _misfits(model, state, head_names)
    for adapt in adapters:
        if not problems:
            break
        try:
            adapted = adapt(dict(state), model)
        except (KeyError, IndexError, RuntimeError, ValueError, AttributeError, TypeError):
            continue  # made for other weights
        if not (misfits := _misfits(model, adapted, head_names)):
            candidate, problems = adapted, misfits
    if problems:
        raise WeightsError(
            f"weights must fit {type(model).__name__}; {origin} does not: "
            f"{few(problems, separator='; ')}; give weights of this backbone"
        )
    own = model.state_dict()
    fitting = {n: t for n, t in candidate.items() if n in own and t.shape == own[n].shape}
    model.load_state_dict(fitting, strict=False)


def _misfits(model: nn.Module, state: StateDict, head_names: Sequence[str]) -> list[str]:
    own = model.state_dict()
    problems = []
    for name, tensor in own.items():
        if name in head_names or name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            problems.append(f"{name} is missing")
        elif state[name].shape != tensor.shape:
            wanted, came = tuple(tensor.shape), tuple(state[name].shape)
            problems.append(f"{name} must be {wanted}, got {came}")
    unknown = [name for name in state if name not in own and name not in head_names]
    return problems + [f"{name} is unknown" for name in unknown]


def _cause(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the hub answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return first_line(error.reason)
    return first_line(error)


def hf_endpoint() -> str:
    """Return the Hugging Face hub or the mirror set in the environment."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

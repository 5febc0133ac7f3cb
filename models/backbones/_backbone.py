"""What the registry knows about one backbone, and how a classifier is built from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from covertune.models.backbones._weights import Adapter, load_into, read_state_dict
from covertune.models.backbones.heads import replace_head
from covertune.models.backbones.input_spec import InputSpec
from covertune.models.backbones.stages import stages
from covertune.models.errors import ModelError, WeightsError
from covertune.wording import first_line

__all__ = ["Backbone"]


class _ParametersOnMeta(TorchFunctionMode):
    """Puts uninitialised tensors on the meta device, and only these.

    Under `torch.device("meta")` constructors that compute with small tensors (RegNet's widths)
    would fail.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _none(image_px: int) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Backbone:
    """A pretrained (or from-scratch) image model that can be fine-tuned.

    Attributes:
        name: As given on the command line.
        source: "torchvision", "timm" or "built-in".
        input: What it was trained on; other image sizes may be asked for in `build`.
        weights: What the default weights are.
        licence: Of the code and the weights.
        parameters: With the original head; None where it is not known without building.
        gflops: Multiply-adds of one image at `input.image_px`, in 10^9; None where unknown.
        pretrained: Whether there are default weights.
        from_scratch: Whether its default is to start from random weights; anything else without
            default weights has to be told so with "none".
        min_image_px: The smallest image it takes.
        architecture: Builds it for an image size, with its own head and random weights.
        library: That has the architecture; None: covertune alone.
        library_name: What the architecture is called there.
        library_args: What the library's constructor has to be given at an image size.
        hub_id: Of the default weights on the Hugging Face hub, where they are there.
        default_weights: Finds the file of the default weights, fetching it if need be.
        adapters: Turn weights saved in other forms into the architecture's.
    """

    name: str
    source: str
    input: InputSpec
    weights: str
    licence: str
    parameters: int | None
    gflops: float | None
    pretrained: bool
    from_scratch: bool = False
    min_image_px: int = 1
    architecture: Callable[[int], nn.Module] = field(default=nn.Identity, repr=False, compare=False)
    library: Literal["timm", "torchvision"] | None = None
    library_name: str = ""
    library_args: Callable[[int], dict[str, Any]] = field(default=_none, repr=False, compare=False)
    hub_id: str | None = None
    default_weights: Callable[[], Path] | None = field(default=None, repr=False, compare=False)
    adapters: tuple[Adapter, ...] = field(default=(), repr=False, compare=False)

    def build(
        self,
        num_genres: int,
        *,
        image_px: int | None = None,
        weights: str = "default",
        drop_rate: float = 0.0,
    ) -> nn.Module:
        """Build a classifier: this backbone with a fresh head.

        Args:
            num_genres: K, at least 2.
            image_px: Height and width of the covers; the backbone's own size if not given.
            weights: "default" (the published ones), "none" (random), or the path of a file.
            drop_rate: Dropout before the head, in [0, 1).

        Returns:
            Takes (B, 3, image_px, image_px) normalised as `input` says; gives (B, K) logits.

        Raises:
            WeightsError: The weights cannot be had or do not fit.
            ModelError: The backbone does not take this image size, or has no usable classifier.
        """
        if num_genres < 2:
            raise ModelError(f"a classifier needs at least 2 genres, got {num_genres}")
        px = image_px or self.input.image_px
        model = self._architecture(px)
        self._load(model, weights)
        replace_head(model, num_genres, drop_rate=drop_rate)
        if px != self.input.image_px:
            self._try_size(model, px)
        return model

    def skeleton(self, num_genres: int = 2, *, image_px: int | None = None) -> nn.Module:
        """Return the classifier on the meta device: shapes without memory, at no cost."""
        with _ParametersOnMeta():
            model = self._architecture(image_px or self.input.image_px)
            return replace_head(model, num_genres).to("meta")

    def stage_names(self) -> list[str]:
        """Return the names of the stages, stem first; `frozen_stages` may be 0 to their number."""
        return [stage.name for stage in stages(self.skeleton())]

    def _architecture(self, image_px: int) -> nn.Module:
        if image_px < self.min_image_px:
            raise ModelError(
                f"{self.name} takes images of at least {self.min_image_px} px, got {image_px}; "
                "raise image_px or take another backbone"
            )
        return self.architecture(image_px)

    def _try_size(self, model: nn.Module, image_px: int) -> None:
        """Try one cover: not every size that can be built can be run."""
        training = model.training
        try:
            with torch.inference_mode():
                model.eval()(torch.zeros(1, 3, image_px, image_px))
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            raise ModelError(
                f"{self.name} does not take covers of {image_px} px ({first_line(error)}); "
                f"its own size is {self.input.image_px} px"
            ) from error
        finally:
            model.train(training)

    def _load(self, model: nn.Module, weights: str) -> None:
        if weights == "none" or (weights == "default" and self.from_scratch):
            return
        if weights == "default":
            if self.default_weights is None:
                raise WeightsError(
                    f"{self.name} has no published weights; give a file with "
                    f"--weights {self.name}=FILE, or weights 'none' to train from scratch"
                )
            path = self.default_weights()
        else:
            path = Path(weights).expanduser()
            if not path.is_file():
                raise WeightsError(
                    f"weights must be 'default', 'none' or a file, got {weights!r} "
                    f"for {self.name}; there is no such file"
                )
        linears = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
        head = linears[-1] if linears else "classifier.1"  # SqueezeNet's convolution
        load_into(
            model,
            read_state_dict(path),
            origin=str(path),
            head_names=(f"{head}.weight", f"{head}.bias"),
            adapters=self.adapters,
        )

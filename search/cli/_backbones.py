"""`covertune backbones`."""

from __future__ import annotations

from typing import Annotated

import typer

from covertune.search.cli.render.console import console, print_json
from covertune.wording import named

__all__ = ["backbones"]


def backbones(
    pattern: Annotated[
        str | None,
        typer.Argument(help="Shell pattern, e.g. 'resnet*'; 'timm/*nano*' looks into timm."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List what can be fine-tuned: size, cost of one forward pass, input, weights, licence.

    Examples:
      covertune backbones

      covertune backbones 'timm/convnext*'
    """
    from covertune.models import list_backbones
    from covertune.search.cli.render.tables import backbones_table
    from covertune.search.errors import ConfigError

    found = list_backbones(pattern)
    if not found and not json:
        raise ConfigError(
            f"no backbone's name is like {named(pattern or '')}; `covertune backbones` lists those "
            "of torchvision, `covertune backbones 'timm/*'` those of timm"
        )
    if json:
        print_json(
            [
                {
                    "name": backbone.name,
                    "source": backbone.source,
                    "parameters": backbone.parameters,
                    "gflops": backbone.gflops,
                    "image_px": backbone.input.image_px,
                    "weights": backbone.weights,
                    "licence": backbone.licence,
                }
                for backbone in found
            ]
        )
    else:
        console.print(backbones_table(found))

"""What can be fine-tuned: backbones by name, their weights, heads, stages and input contracts.

In: a name such as `resnet18` or `timm/convnext_nano`. Out: a `Backbone`, which builds networks.
"""

from covertune.models.backbones._backbone import Backbone
from covertune.models.backbones.registry import get_backbone, list_backbones

__all__ = ["Backbone", "get_backbone", "list_backbones"]

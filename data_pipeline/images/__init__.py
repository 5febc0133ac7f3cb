"""One cover: decoding, bringing into the store's form, fitting into a model's square.

`load_square` is the way from an encoded cover to a model's pixels: predicting, evaluating and the
test split of a search use it. What is trained on is made the same way, but resized by a faster
library with the same filter, whose roundings are others (decision 0037).

Decoding is Pillow's and always complete: a file that breaks off is refused, never half shown. What
one file may cost is bounded before it is decoded: bytes, pixels, passes over them.

Colour profiles are ignored. Whoever uses an exported model without this package would have to
convert as well, and copies of a cover from which a shop dropped the profile would be other pictures
than the original; nearly all covers are sRGB with or without saying so.
"""

from covertune.data_pipeline.images._decoding import (
    IMAGE_SUFFIXES,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    load_square,
    load_squares,
    read_file,
    reuse_memory,
)
from covertune.data_pipeline.images._kinds import has_image_signature
from covertune.data_pipeline.images._normalised import NormalisedImage, normalise

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "MIN_SIDE_PX",
    "NormalisedImage",
    "has_image_signature",
    "load_square",
    "load_squares",
    "normalise",
    "read_file",
    "reuse_memory",
]

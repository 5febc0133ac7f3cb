"""The markers of a JPEG: where it ends, how often it scans the picture, what in it is no picture.

ITU-T T.81, annex B. A JPEG is a row of segments, each a marker with its length; a start of scan is
followed by coded data up to the next marker that is neither a stuffed zero nor a restart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from covertune.data_pipeline.errors import ImageRejected

__all__ = ["JpegLayout", "read_layout", "with_more_data", "without_metadata"]

# Begins with one byte alone, which is looked for many times faster than a repeated one.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START, _END, _SCAN, _COMMENT, _TEM = 0xD8, 0xD9, 0xDA, 0xFE, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # but tables and a reserved one
_BASELINE = frozenset({0xC0, 0xC1})
_USUAL = frozenset({0xC0, 0xC1, 0xC2})  # with progressive; what any decoder can read
_HUFFMAN = frozenset(range(0xC0, 0xC8))
# All APPn but 0 (JFIF) and 14 (Adobe), which decide how colours are coded.
_METADATA = frozenset(range(0xE1, 0xF0)) - {0xEE} | {_COMMENT}
_MOST_SEGMENTS = 5_000  # the largest file we read is full of such of 64 KB with half as many
_MOST_SCANS = 100  # encoders use up to 64

# Whatever a decoder may wait for: coded data for some blocks, and every restart marker. A fixed
# walk over the bytes 1 to 251, so that none is 0xFF.
_RUBBISH = bytes(1 + 89 * at % 251 for at in range(2000))
_MORE = _RUBBISH + b"".join(bytes([0xFF, 0xD0 + n % 8]) + _RUBBISH[:99] for n in range(16))


@dataclass(frozen=True)
class JpegLayout:
    """What the markers of a whole JPEG tell.

    Attributes:
        frame: Code of the frame's marker (SOFn): how the picture is coded.
        scans: Passes over the picture.
        end: Offset behind the end marker.
        metadata: Where segments begin and end that have nothing to do with the pixels.
    """

    frame: int
    scans: int
    end: int
    metadata: tuple[tuple[int, int], ...]

    @property
    def one_scan(self) -> bool:
        """Whether each block is coded in one place, and the last block last."""
        return self.frame in _BASELINE and self.scans == 1

    @property
    def any_decoder_reads_it(self) -> bool:
        """Whether it is coded the usual way: Huffman codes, no lossless or arithmetic kinds."""
        return self.frame in _USUAL

    @property
    def says_where_it_stops(self) -> bool:
        """Whether coded data that breaks off can be told; arithmetic coding may leave off zeros."""
        return self.frame in _HUFFMAN


def read_layout(data: bytes) -> JpegLayout:
    """Walk from marker to marker.

    Args:
        data: Begins with a start of image.

    Raises:
        ImageRejected: It breaks off before its end marker, or has far too many parts.
    """
    frame = scans = segments = 0
    metadata: list[tuple[int, int]] = []
    position = 2
    while True:
        found = _MARKER.search(data, position)
        if found is None:
            raise ImageRejected("truncated image", "the JPEG has no end marker")
        marker, position = found[0][1], found.end()
        if marker == _END:
            return JpegLayout(frame, scans, position, tuple(metadata))
        if marker in (_START, _TEM):
            continue
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
        segments += 1
        scans += marker == _SCAN
        if marker in _FRAMES and not frame:
            frame = marker
        if marker in _METADATA:
            metadata.append((found.start(), position))
        if scans > _MOST_SCANS:
            raise ImageRejected("too many scans", f"a JPEG of more than {_MOST_SCANS}")
        if segments > _MOST_SEGMENTS:
            raise ImageRejected("too much metadata", f"a JPEG of more than {_MOST_SEGMENTS} parts")


def without_metadata(data: bytes, layout: JpegLayout) -> bytes:
    """Return the same coded pixels without EXIF, profiles, comments and what follows the end."""
    if not layout.metadata and layout.end == len(data):
        return data
    starts = [0, *(end for _, end in layout.metadata)]
    ends = [*(start for start, _ in layout.metadata), layout.end]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))


def with_more_data(data: bytes, layout: JpegLayout) -> bytes:
    """Return the JPEG with more coded data in front of its end marker.

    A decoder that has all its blocks passes over it. One that lacks some decodes it, so the picture
    changes exactly if the file breaks off somewhere and was given an end marker nevertheless.
    """
    return data[: layout.end - 2] + _MORE + b"\xff\xd9"

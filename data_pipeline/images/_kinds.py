"""What a file is, told by its first bytes; names and suffixes lie.

Decoded are the formats that browsers show, and TIFF. Pillow could open some forty more: hardly a
cover comes in one of them, and some are read by other programs (EPS by Ghostscript) or by code few
have tested against hostile files. What is none of ours gets a name, so that a refusal tells more
than "cannot identify".
"""

from __future__ import annotations

from covertune.data_pipeline.errors import ImageRejected

__all__ = ["has_image_signature", "require_decodable"]

# By Pillow's name of the format.
_DECODED = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",  # BigTIFF
    b"MM\x00+": "TIFF",
}
_OTHER_PICTURES = {
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"\x00\x00\x01\x00": "icon",
    b"<svg": "SVG",
}
_NO_PICTURES = {
    b"%PDF": "a PDF document",
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"PK\x03\x04": "a ZIP archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the files with `git lfs pull`",
    b"<?xml": "an XML document",
    b"{": "JSON",
    b"RIFF": "sound or video",
}
_HEAD_BYTES = 1024
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def require_decodable(data: bytes) -> str:
    """Find out which decoder a file is for.

    Args:
        data: The file, or its beginning.

    Returns:
        Pillow's name of the format.

    Raises:
        ImageRejected: It is no picture, or one of a format that is not decoded; says which.
    """
    if not data:
        raise ImageRejected("empty file")
    decoder = _decoder(data)
    if decoder:
        return decoder
    other = _other_picture(data)
    if other:
        raise ImageRejected("unsupported format", f"{other}; save it as JPEG or PNG")
    raise ImageRejected("not an image", _describe(data))


def has_image_signature(data: bytes) -> bool:
    """Tell whether it begins as encoded pictures do; it may be damaged later, or unsupported."""
    return bool(_decoder(data) or _other_picture(data))


def _decoder(data: bytes) -> str | None:
    if data[8:12] == b"WEBP" and data.startswith(b"RIFF"):
        return "WEBP"
    if _brands(data) & _AVIF_BRANDS:
        return "AVIF"
    return _first_match(data, _DECODED)


def _other_picture(data: bytes) -> str | None:
    if _brands(data) & _HEIC_BRANDS:
        return "HEIC"
    text = _as_lower_text(data)
    found = _first_match(data, _OTHER_PICTURES) or _first_match(text, _OTHER_PICTURES)
    # An SVG may begin with a declaration, a document type or a comment.
    is_xml = text.startswith((b"<?xml", b"<!doctype svg", b"<!--"))
    return "SVG" if not found and is_xml and b"<svg" in text else found


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file (AVIF, HEIC, MP4); ISO/IEC 14496-12, 4.3."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), _HEAD_BYTES)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def _describe(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "a video"
    head, text = data[:_HEAD_BYTES], _as_lower_text(data)
    named = _first_match(data, _NO_PICTURES) or _first_match(text, _NO_PICTURES)
    if named:
        return named
    if not any(head):
        return "zero bytes only"
    is_text = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head)
    return "text" if is_text and not any(0x7F <= byte < 0xA0 for byte in head) else "unknown data"


def _first_match(data: bytes, names: dict[bytes, str]) -> str | None:
    return next((name for start, name in names.items() if data.startswith(start)), None)


def _as_lower_text(data: bytes) -> bytes:
    return data[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()

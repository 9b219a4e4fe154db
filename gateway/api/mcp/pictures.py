"""Images that models can look at, told by their first bytes."""

from __future__ import annotations

LARGEST_PICTURE_BYTES = 1024 * 1024
"""As base64 it is a third more; models take up to 5 MB, and their clients less."""

_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def kind_of(first: bytes) -> str | None:
    """The media type of an image, None for anything else."""
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _BEGINNINGS.items() if first.startswith(mark)), None)

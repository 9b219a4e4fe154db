"""The identity of what the sandbox image is made from, to tell when an image is out of date."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "image"

LABEL = "io.sandbox-gateway.image-inputs"
"""On the image: digest of all of FOLDER."""

BASE_LABEL = "io.sandbox-gateway.base-inputs"
"""On the base that build_image.sh makes itself: digest of what decides about its packages."""

_BASE_FILES = ("dpkg.cfg", "packages.txt")


def digest() -> str:
    return _digest(sorted(path.name for path in FOLDER.iterdir() if path.is_file()))


def base_digest() -> str:
    return _digest(_BASE_FILES)


def packages() -> list[str]:
    """The names in packages.txt."""
    lines = (FOLDER / "packages.txt").read_text().splitlines()
    return [name for line in lines if (name := line.split("#")[0].strip())]


def _digest(names: list[str] | tuple[str, ...]) -> str:
    whole = hashlib.sha256()
    for name in names:
        content = (FOLDER / name).read_bytes()
        whole.update(f"{name} {len(content)}\n".encode() + content)
    return whole.hexdigest()[:16]

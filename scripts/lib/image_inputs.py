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


def templates() -> list[str]:
    """Folders in FOLDER. The image of each is called `sandbox-` and its name (gateway.settings)."""
    return sorted(path.parent.name for path in FOLDER.glob("*/packages.txt"))


def context(template: str = "") -> dict[str, bytes]:
    """What the image is built of, by name: the files of FOLDER. Those of a template's folder stand
    in the place of the same names, but its packages are added."""
    found = _files(FOLDER)
    if template:
        own = _files(FOLDER / template)
        own["packages.txt"] = found["packages.txt"] + b"\n" + own["packages.txt"]
        found |= own
    return found


def digest(template: str = "") -> str:
    return _digest(context(template))


def base_digest(template: str = "") -> str:
    found = context(template)
    return _digest({name: found[name] for name in _BASE_FILES})


def packages(template: str = "") -> list[str]:
    """The names in packages.txt, of which a comment may be part of a line."""
    lines = context(template)["packages.txt"].decode("utf-8").splitlines()
    return [name for line in lines if (name := line.split("#")[0].strip())]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _digest(files: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{name} {len(content)}\n".encode() + content)
    return whole.hexdigest()[:16]

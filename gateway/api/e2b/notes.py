"""What is kept with a sandbox of what E2B's clients have said of it, beyond the native options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.api.e2b.backend import SandboxView
from gateway.errors import BadFields
from gateway.schemas.models.labels import MOST_LABEL_BYTES, MOST_LABELS, Labels, checked

SURFACE = "e2b"

_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Labels)


def noted(
    template: str,
    *,
    auto_resume: bool = False,
    keeps_memory: bool = True,
    is_public: bool = True,
    masked_host: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The notes of a new sandbox; what is as usual is left out."""
    notes: dict[str, Any] = {"made_by": SURFACE, "template": template}
    if auto_resume:
        notes["auto_resume"] = True
    if not keeps_memory:
        notes["keeps_memory"] = False
    notes["ports"] = "open" if is_public else "token"
    if masked_host is not None:
        notes["masked_host"] = masked_host
    if metadata:
        notes["metadata"] = dict(metadata)
    return notes


def split_metadata(metadata: Mapping[str, str] | None) -> tuple[dict[str, str], dict[str, str]]:
    """(what can be labels, what cannot): labels have names of few characters, metadata any. Raises
    BadFields where they are too many, or too long."""
    said = metadata or {}
    size = sum(
        len(f"{name}{value}".encode("utf-8", "surrogatepass")) for name, value in said.items()
    )
    if size > MOST_LABEL_BYTES:
        raise _refused(f"more than {MOST_LABEL_BYTES} bytes")
    labels: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in said.items():
        fits = len(labels) < MOST_LABELS and _can_be_label(name, value)
        (labels if fits else others)[name] = value
    return labels, others


def metadata_of(view: SandboxView) -> dict[str, str]:
    """What a client is told that it is: labels that were given natively among them."""
    return {**view.notes.get("metadata", {}), **view.labels}


def is_public(view: SandboxView) -> bool:
    """Whether everybody may reach its ports. One that was made natively has rules of its own."""
    return view.notes.get("ports") != "token"


def template_of(view: SandboxView) -> str:
    """What it was made of, in the words of who made it."""
    return str(view.notes.get("template") or view.snapshot or view.image)


def _can_be_label(name: str, value: str) -> bool:
    try:
        checked(_LABELS.validate_python({name: value}))
    except (ValidationError, ValueError):
        return False
    return True


def _refused(why: str) -> BadFields:
    return BadFields(
        f"metadata: {why}", errors=[{"loc": ["metadata"], "msg": why, "type": "too_long"}]
    )

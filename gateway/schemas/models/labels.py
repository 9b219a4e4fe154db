"""Labels that clients give to sandboxes: what is one, and how much of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from gateway.schemas.models.base import Sliced

RESERVED_LABELS = "io.sandbox-gateway."
"""Beginning of what the gateway itself writes; clients may not."""

MOST_LABELS = 64
MOST_LABEL_BYTES = 32 * 1024

LabelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
NO_OTHER_NAMES = {"additionalProperties": False}
"""Only the names that fit; pydantic's JSON Schema does not say so by itself."""

Labels = Annotated[
    dict[LabelName, LabelValue],
    Sliced,
    Field(max_length=MOST_LABELS, json_schema_extra=NO_OTHER_NAMES),
]


def checked(labels: dict[str, str]) -> dict[str, str]:
    """The labels again. Raises ValueError for those of the gateway, and for too much of them."""
    for name in labels:
        if name.startswith(RESERVED_LABELS):
            raise ValueError(f"labels that begin with {RESERVED_LABELS} are the gateway's own")
    if sum(len(f"{name}{value}".encode()) for name, value in labels.items()) > MOST_LABEL_BYTES:
        raise ValueError(f"more than {MOST_LABEL_BYTES} bytes")
    return labels

"""Labels that clients give to sandboxes: what is one, and how much of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

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


def _one_is_a_list_too(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _have_name_and_value(filters: list[str]) -> list[str]:
    if any("=" not in label for label in filters):
        raise ValueError("must be `name=value`")
    return filters


LabelFilters = Annotated[
    list[str],
    Field(max_length=64),
    AfterValidator(_have_name_and_value),
    BeforeValidator(_one_is_a_list_too),
]
"""What a query may ask for: `name=value`, once or several times."""


def by_name(filters: list[str] | None) -> dict[str, str]:
    """The values that are asked for, by the names of their labels."""
    return dict(label.split("=", 1) for label in filters or [])

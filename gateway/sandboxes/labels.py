"""The labels that tie a container to its gateway and its sandbox."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gateway.models import SANDBOX_ID_PATTERN

INSTANCE = "io.sandbox-gateway.instance"
SANDBOX_ID = "io.sandbox-gateway.sandbox-id"
CREATED_AT = "io.sandbox-gateway.created-at"


def labels_of(instance_id: str, sandbox_id: str, created_at: float) -> dict[str, str]:
    """What a new container carries, enough to find it again without the store."""
    return {
        INSTANCE: instance_id,
        SANDBOX_ID: sandbox_id,
        CREATED_AT: repr(created_at),
    }


@dataclass(frozen=True)
class Origin:
    """What a container's labels say."""

    sandbox_id: str
    created_at: float


def origin_of(labels: dict[str, str]) -> Origin | None:
    """None when the labels are not such as this gateway writes."""
    try:
        origin = Origin(labels[SANDBOX_ID], float(labels[CREATED_AT]))
    except (KeyError, ValueError):
        return None
    possible = re.fullmatch(SANDBOX_ID_PATTERN, origin.sandbox_id)
    return origin if possible and math.isfinite(origin.created_at) else None

"""The labels that tie a container to its gateway and its sandbox."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.schemas.models import SANDBOX_ID_PATTERN
from gateway.settings import SHARED_UID

INSTANCE = "io.sandbox-gateway.instance"
SANDBOX_ID = "io.sandbox-gateway.sandbox-id"
CREATED_AT = "io.sandbox-gateway.created-at"
NOTES = "io.sandbox-gateway.notes"
UID = "io.sandbox-gateway.uid"


def labels_of(
    instance_id: str,
    sandbox_id: str,
    created_at: float,
    notes: str = "{}",
    uid: int = SHARED_UID,
) -> dict[str, str]:
    """What a new container carries, enough to find it again without the store.

    `notes` is a JSON object, `uid` the user that commands run as.
    """
    return {
        INSTANCE: instance_id,
        SANDBOX_ID: sandbox_id,
        CREATED_AT: repr(created_at),
        NOTES: notes,
        UID: str(uid),
    }


def uid_of(labels: Mapping[str, str]) -> int:
    """The user that commands run as; that of earlier versions where the labels do not say."""
    text = labels.get(UID, "")
    return int(text) if re.fullmatch("[1-9][0-9]{3,9}", text) else SHARED_UID


def has_root(labels: Mapping[str, str]) -> bool:
    """Whether the sandbox was made with root."""
    origin = origin_of(labels)
    return origin is not None and origin.notes.get("root") is True


@dataclass(frozen=True)
class Origin:
    """What a container's labels say."""

    sandbox_id: str
    created_at: float
    notes: Mapping[str, Any] = field(default_factory=dict)


def origin_of(labels: Mapping[str, str]) -> Origin | None:
    """None when the labels are not such as this gateway writes."""
    try:
        notes = json.loads(labels.get(NOTES, "{}"))
        origin = Origin(labels[SANDBOX_ID], float(labels[CREATED_AT]), notes)
    except (KeyError, ValueError):
        return None
    possible = re.fullmatch(SANDBOX_ID_PATTERN, origin.sandbox_id)
    if not possible or not math.isfinite(origin.created_at) or not isinstance(notes, dict):
        return None
    return origin

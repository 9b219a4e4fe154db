"""What an `updated` event says: the names of what was changed, and values as far as they are
small. Labels can be large, and a client can change them hundreds of times a second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.errors import TooManyLabels
from gateway.store.allowance import labels_fit

SHOWN_LABELS_BYTES = 1024
"""Labels that are larger, as JSON, are not repeated in the event."""

SHOWN_NAMES = 16

_SHOWN_AS = {"timeout_s": "timeout", "idle_timeout_s": "idle_timeout", "labels": "labels"}
"""Columns that clients can change, by what clients call them."""


def facts_of_change(values: Mapping[str, Any], labels_before: Mapping[str, str]) -> dict[str, Any]:
    """The facts of a change of these columns. `changed` has the fields that the client named;
    `labels_changed` the labels that were added, removed or have another value, SHOWN_NAMES at
    most, and `labels_changed_more` how many others."""
    facts: dict[str, Any] = {
        "changed": sorted(_SHOWN_AS[name] for name in values if name in _SHOWN_AS)
    }
    for name in ("timeout_s", "idle_timeout_s"):
        if name in values:
            facts[name] = values[name]
    if "labels" in values:
        labels = values["labels"]
        names = sorted(
            name
            for name in {*labels, *labels_before}
            if labels.get(name) != labels_before.get(name)
        )
        facts["labels_changed"] = names[:SHOWN_NAMES]
        if len(names) > SHOWN_NAMES:
            facts["labels_changed_more"] = len(names) - SHOWN_NAMES
        if labels_size(labels) <= SHOWN_LABELS_BYTES:
            facts["labels"] = dict(labels)
    return facts


def check_labels(
    connection: Connection, owner: str, sandbox_id: str, labels: Mapping[str, str]
) -> None:
    """Raises TooManyLabels when the labels do not fit beside those of the owner's other
    sandboxes."""
    if not labels_fit(connection, owner, sandbox_id, labels_size(labels)):
        raise TooManyLabels()


def labels_size(labels: Mapping[str, str] | None) -> int:
    """The bytes that labels take, as JSON in UTF-8."""
    if not labels:
        return 0
    return len(json.dumps(labels, ensure_ascii=False).encode("utf-8", "surrogatepass"))

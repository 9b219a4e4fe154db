"""What code shows, as E2B's code interpreter tells it: one JSON object to a line."""

from __future__ import annotations

import time
from typing import Any

from gateway.contexts.records import Began, Failed, Record, Shown, Written

_FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "application/vnd.sandbox.data+json": "data",
    "application/vnd.sandbox.chart+json": "chart",
}
"""By MIME type. What is none of them is in `extra`."""

_QUOTES = ("'", '"')


def message_of(record: Record) -> dict[str, Any]:
    """The object of a line."""
    if isinstance(record, Began):
        return {"type": "number_of_executions", "execution_count": record.execution_count}
    if isinstance(record, Written):
        return {"type": record.stream, "text": record.text, "timestamp": time.time_ns()}
    if isinstance(record, Shown):
        return _result(record)
    return _error(record)


def _result(shown: Shown) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "result", "is_main_result": shown.is_main}
    extra = {}
    for kind, value in shown.data.items():
        field = _FIELDS.get(kind)
        if field is None:
            extra[kind] = value
        elif field == "text" and isinstance(value, str):
            told[field] = _without_quotes(value)
        else:
            told[field] = value
    if extra:
        told["extra"] = extra
    return told


def _without_quotes(text: str) -> str:
    """Those of a string, which Python writes."""
    if len(text) > 1 and text[0] in _QUOTES and text[0] == text[-1]:
        return text[1:-1]
    return text


def _error(failed: Failed) -> dict[str, Any]:
    return {
        "type": "error",
        "name": failed.name,
        "value": failed.value,
        "traceback": failed.traceback,
    }

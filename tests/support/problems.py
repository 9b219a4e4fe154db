"""What every error over HTTP looks like (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

import requests


def problem_of(answer: requests.Response, status: int) -> dict[str, Any]:
    """The problem document in an answer, which must have this status."""
    assert answer.status_code == status, answer.text[:500]
    return check_problem(answer.headers.get("Content-Type"), answer.content, status)


def check_problem(content_type: str | None, body: bytes, status: int) -> dict[str, Any]:
    """Assert that this is a problem document, with all the members that clients rely on."""
    assert content_type == "application/problem+json", content_type
    assert b"Traceback" not in body
    assert b"<html" not in body.lower()
    problem = json.loads(body)
    for name in ("type", "title", "detail", "code", "message"):
        assert isinstance(problem[name], str), name
        assert problem[name], name
    assert problem["status"] == status
    return problem

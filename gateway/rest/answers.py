"""JSON answers, written by the models themselves: UTF-8, fields in the order of the model."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response
from pydantic import BaseModel


def one(model: BaseModel, status: int = 200) -> Response:
    """An object."""
    return _json(model.model_dump_json(), status)


def many(models: Sequence[BaseModel]) -> Response:
    """A bare array."""
    return _json(f"[{','.join(model.model_dump_json() for model in models)}]", 200)


def _json(text: str, status: int) -> Response:
    return Response(text, status, content_type="application/json")

"""Reading the query of a request: what it may say is a model, and nothing else may be in it."""

from __future__ import annotations

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from gateway.api.asking.json_bodies import refused

Query = TypeVar("Query", bound=BaseModel)


def read_query(model: type[Query]) -> Query:
    """The query of the current request. Raises BadFields."""
    values = request.args.to_dict(flat=False)
    try:
        # One that is given twice stays a list, which no field takes.
        return model.model_validate({n: v[0] if len(v) == 1 else v for n, v in values.items()})
    except ValidationError as refusal:
        raise refused(refusal) from None

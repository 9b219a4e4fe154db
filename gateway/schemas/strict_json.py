"""JSON texts that mean one thing only: I-JSON (RFC 7493), as every surface takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from gateway.errors import BadRequest

_LONGEST_REASON = 200

_COUNTED = 100
"""An object of more members is not looked through for the name that it has twice."""


class NameTwice(BadRequest):
    """An object has a member of the same `name` twice: readers differ on which one counts. "" where
    it is not known."""

    def __init__(self, name: str) -> None:
        super().__init__("the text is not JSON: an object has the same name twice")
        self.name = name


def read(text: str) -> Any:
    """The value of a JSON text.

    Raises NameTwice, and BadRequest for what is no JSON, numbers that JSON does not have, lone
    surrogates, and nesting that goes too deep.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeEncodeError:
        raise BadRequest("the JSON text has a lone surrogate") from None
    except ValueError as error:
        raise BadRequest(f"the text is not JSON: {error}"[:_LONGEST_REASON]) from None
    except RecursionError:
        raise BadRequest("the JSON text is nested too deeply") from None


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise NameTwice(max(names, key=names.count) if len(names) < _COUNTED else "")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")

"""The steps that calls are made of, and what the one who carries them out answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from ..api_error import ApiError

SILENCE_S = 90.0
"""A gateway that says nothing for so long has gone; in streams it says something every 15 s."""

T = TypeVar("T")
E = TypeVar("E")


@dataclass(frozen=True)
class Body:
    """The content of a request. `chunks` begins anew each time that it is called: a request may
    have to be sent again, unless it is read from where it can be read once only (`is_once`).
    `size_bytes` is None where it is not known before."""

    chunks: Callable[[], Iterator[bytes]]
    size_bytes: int | None = None
    content_type: str = "application/octet-stream"
    is_once: bool = False


@dataclass(frozen=True)
class Request:
    """Send this. Answered by an `Answer`.

    `path` begins with a slash and is encoded. Of an answer that `is_streamed` only the head is
    awaited; `Read` brings what follows. One that `is_repeatable` may be sent again when it is not
    known whether it arrived.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_streamed: bool = False
    is_repeatable: bool = True
    silence_s: float | None = SILENCE_S

    @property
    def target(self) -> str:
        """Path and query, as they are sent. What is None is left out; lists are repeated."""
        pairs = [(name, _shown(value)) for name, value in self.query.items() if value is not None]
        if not pairs:
            return self.path
        return f"{self.path}?{urlencode(pairs, doseq=True, quote_via=quote, safe='/')}"

    @property
    def content(self) -> Body | None:
        """What is sent, if anything is."""
        if self.json is None:
            return self.body
        data = json.dumps(self.json, ensure_ascii=False).encode("utf-8", "surrogateescape")
        return Body(lambda: iter([data]), len(data), "application/json")


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


@dataclass(frozen=True)
class Pause:
    """Wait for so long."""

    seconds: float


@dataclass(frozen=True)
class Read:
    """The next bytes of the answer that was streamed last; empty at its end."""


@dataclass(frozen=True)
class Told(Generic[E]):
    """Not to be carried out, but handed to whoever follows the story."""

    event: E


Step = Request | Pause | Read
Call = Generator[Step, Any, T]
"""A call: its steps, and what it returns."""

Story = Generator[Step | Told[E], Any, None]
"""Something that is followed: its steps, and what it tells meanwhile."""


_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are in lower case. `body` is empty where it is streamed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body. Raises ApiError for what is no JSON: somebody else has answered."""
        try:
            return json.loads(self.body)
        except ValueError:
            message = "what answers there is no Sandbox Gateway"
            raise ApiError({"code": "no_json", "message": message}, status=self.status) from None

    @property
    def next_page(self) -> str | None:
        """Where the list goes on (RFC 8288)."""
        found = _NEXT.search(self.headers.get("link", ""))
        return found[1] if found else None


class Broken(Exception):
    """Thrown into a call by whoever carries out its steps: the connection broke. `may_have_arrived`
    says whether the gateway may have got the request."""

    def __init__(self, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived


def segment(text: str) -> str:
    """As a part of a path."""
    return quote(text, safe="")

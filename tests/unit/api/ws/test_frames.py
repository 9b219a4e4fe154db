"""Requests from text, results to text, and the framing of RFC 6455."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.ws.frames import (
    TEXT,
    UnreadableRequest,
    frame_header,
    parse_message,
)
from gateway.commands.command_spec import request_id_of
from gateway.schemas.event_encoder import encode_message
from gateway.schemas.models import CommandRequest, SocketError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["command", "request_id", "type"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("frame", "request_id"),
    [
        ('{"command": "a", "command": "b", "request_id": "r"}', "r"),
        ('{"request_id": "r", "command": "true", "env": {"A": "", "A": ""}}', "r"),
        ('{"type": "signal", "signal": "INT", "signal": "KILL", "request_id": "r"}', "r"),
        ('{"command": "a", "request_id": "r", "request_id": "s"}', None),
        ('{"command": "a", "\\u0063ommand": "b"}', None),
        ('{"command": "a", "command": "b", "timeout": NaN, "request_id": "r"}', None),
    ],
)
def test_a_name_that_is_there_twice_is_refused(frame: str, request_id: str | None) -> None:
    """As over REST: readers of JSON differ on which one counts, and so may what checks a request
    and what runs it. The answer names the request where it has one name only."""
    with pytest.raises(UnreadableRequest) as refused:
        parse_message(frame)
    assert refused.value.request_id == request_id


@given(message=st.text() | st.binary() | JSON.map(json.dumps))
def test_any_frame_is_a_request_or_unreadable(message: str | bytes) -> None:
    """Nothing else may come out of a client's bytes, and the error can be sent as it is."""
    try:
        request = parse_message(message)
    except UnreadableRequest as error:
        encode_message(
            SocketError(
                type="error",
                code=error.code,
                message="m",
                detail=error.detail,
                request_id=error.request_id,
            )
        )
        return
    if isinstance(request, CommandRequest):
        assert isinstance(request.command, str)
        assert isinstance(request_id_of(request.request_id), str)


@given(
    command=st.text().filter(lambda text: "\0" not in text),
    request_id=st.text(min_size=1, max_size=256),
)
def test_a_request_is_read_as_it_was_written(command: str, request_id: str) -> None:
    """Command and id are the client's own words."""
    text = json.dumps({"command": command, "request_id": request_id})

    request = parse_message(text)

    assert isinstance(request, CommandRequest)
    assert (request_id_of(request.request_id), request.command) == (request_id, command)


def test_a_generated_id_is_a_uuid4() -> None:
    """Section 1 of the contract."""
    request = parse_message('{"command": "true"}')

    assert isinstance(request, CommandRequest)
    assert uuid.UUID(request_id_of(request.request_id)).version == 4


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ('{"request_id": "a"}', "a"),
        ('{"request_id": "a", "command": 1}', "a"),
        ('{"request_id": 1, "command": "true"}', None),
        ('{"request_id": "' + "x" * 257 + '"}', None),
        ('["a"]', None),
        ("{", None),
    ],
)
def test_the_id_of_a_bad_request_is_found_where_there_is_one(
    text: str, request_id: str | None
) -> None:
    """So that the client knows which of its requests it was."""
    with pytest.raises(UnreadableRequest) as raised:
        parse_message(text)

    assert raised.value.request_id == request_id


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f" + (65536).to_bytes(8, "big")),
        (2**40, b"\x81\x7f" + (2**40).to_bytes(8, "big")),
    ],
)
def test_headers_are_those_of_the_rfc(length: int, header: bytes) -> None:
    """Section 5.2: the shortest form of the length, unmasked, final."""
    assert frame_header(TEXT, length) == header


def test_what_is_none_is_not_sent() -> None:
    """An error without a request has no `request_id` instead of null."""
    message = SocketError(type="error", code="c", message="m")

    assert "request_id" not in json.loads(encode_message(message))


@pytest.mark.parametrize(
    "message",
    [
        {"command": "true", "env": {f"{n}x": "" for n in range(80_000)}},
        {"command": "true", **{f"f{n}": "" for n in range(80_000)}},
        {"type": "ping", **{f"f{n}": "" for n in range(80_000)}},
    ],
    ids=["variables", "fields", "of a ping"],
)
def test_tens_of_thousands_of_wrong_names_cost_little(message: dict[str, object]) -> None:
    """Of which one is told; all of them were looked for."""
    frame = json.dumps(message)
    begun = time.process_time()

    with pytest.raises(UnreadableRequest):
        parse_message(frame)

    assert time.process_time() - begun < 0.3

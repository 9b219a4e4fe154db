"""What happens to a command, as messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.exited import Exited
from gateway.link.follower import Gap, Output, Started
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.event_encoder import EncodedEvent, EventEncoder, encode_message
from gateway.schemas.models import CommandResult, OutputGap, OutputPiece, Truncated

STARTED = Started(42, {"encoding": "utf-8"})
EXITED = Exited(0, None, False, False, (0, 0))


def _tell(*events: CommandEvent, **given: object) -> list[EncodedEvent]:
    return list(EventEncoder("r1", **{"encoding": None} | given).encode(events))


def _read(told: EncodedEvent) -> dict[str, object]:
    message = json.loads(told.payload)
    assert message["type"] == told.kind
    assert message["request_id"] == "r1"
    return message


def test_messages_are_as_their_models_say() -> None:
    """They are not written by way of them."""
    _, piece, gap = _tell(STARTED, Output(1, 0, b"x"), Gap(2, 3, 7))

    assert OutputPiece.model_validate_json(piece.payload, strict=True).data == "x"
    assert OutputGap.model_validate_json(gap.payload, strict=True).to == 7


def test_what_is_none_is_no_part_of_a_message() -> None:
    """Clients of the core expect exactly seven fields."""
    result = CommandResult(
        request_id="r1",
        command="x",
        success=True,
        output="",
        error="",
        returncode=0,
        timestamp="2023-03-27T12:34:56.789",
    )

    assert len(json.loads(encode_message(result))) == 7
    cut = result.model_copy(update={"truncated": Truncated(output_bytes=9, error_bytes=0)})
    assert json.loads(encode_message(cut))["truncated"] == {"output_bytes": 9, "error_bytes": 0}


def test_one_that_was_never_started_has_no_pid_to_tell() -> None:
    """Its result says why."""
    assert _tell(Started(None, {}), EXITED) == []


def test_the_commands_own_encoding_is_the_default() -> None:
    """Noted when it was started, perhaps by somebody else."""
    told = _tell(Started(1, {"encoding": "base64"}), Output(1, 0, b"\xff"))
    assert _read(told[1])["data"] == "/w=="
    told = _tell(Started(1, {"encoding": "base64"}), Output(1, 0, b"a"), encoding="utf-8")
    assert _read(told[1])["data"] == "a"


def test_only_one_stream_may_be_told() -> None:
    """Its gaps, too; the offset of the other stays where the client has it."""
    told = _tell(
        Output(1, 4, b"x"), Gap(1, 5, 9), Output(2, 7, b"y"), Gap(2, 8, 9), offsets=(4, 7), only=2
    )

    assert [(one.kind, one.offsets) for one in told] == [("stderr", (4, 8)), ("gap", (4, 9))]


def test_a_gap_ends_a_character() -> None:
    """Its first bytes came, its last ones are lost."""
    told = _tell(Output(1, 0, b"a\xe6\xb2"), Gap(1, 3, 10), Output(1, 10, b"b"))

    assert [_read(one).get("data") for one in told] == ["a", "\N{REPLACEMENT CHARACTER}", None, "b"]
    assert [one.offsets[0] for one in told] == [1, 3, 10, 11]


@given(st.binary(max_size=60), st.lists(st.integers(1, 7), min_size=60, max_size=60), st.data())
def test_whoever_goes_on_from_an_offset_misses_nothing(
    written: bytes, sizes: list[int], data: st.DataObject
) -> None:
    """For any bytes, split anywhere: what was told up to an offset and what is told from there on
    is together what is told without a break."""

    def events(start: int) -> Iterator[CommandEvent]:
        at = start
        for size in sizes:
            if at < len(written):
                yield Output(1, at, written[at : at + size])
            at += size
        yield EXITED

    whole = list(EventEncoder("r1", "utf-8").encode(events(0)))
    text = "".join(str(_read(one)["data"]) for one in whole)
    assert text == written.decode("utf-8", "replace")
    if not whole:
        return
    last = data.draw(st.integers(0, len(whole) - 1))
    offset = whole[last].offsets[0]
    rest = EventEncoder("r1", "utf-8", (offset, 0)).encode(events(offset))
    seen = "".join(str(_read(one)["data"]) for one in whole[: last + 1])
    assert seen + "".join(str(_read(one)["data"]) for one in rest) == text


def test_following_ends_with_the_telling() -> None:
    """At once, and not when the garbage collector comes by."""
    ended = []

    def events() -> Iterator[CommandEvent]:
        try:
            yield STARTED
            yield EXITED
        finally:
            ended.append(True)

    encoder = EventEncoder("r1", None).encode(events())
    next(encoder)
    encoder.close()

    assert ended == [True]


@pytest.mark.parametrize("kind", ["result", "anything"])
def test_other_messages_have_a_place_in_the_story(kind: str) -> None:
    """The result comes from elsewhere, at the end."""
    encoder = EventEncoder("r1", None, (3, 4))
    list(encoder.encode([Output(2, 4, b"xy")]))

    assert encoder.encoded(kind, b"{}") == EncodedEvent(kind, b"{}", (3, 6))

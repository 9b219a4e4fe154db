"""From bytes to the result: cutting at borders of characters, head and tail, true sizes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.exited import Exited
from gateway.schemas.command_result import HeadAndTail, Outcome, result_of, text_of
from gateway.schemas.event_encoder import encode_message


def _outcome(
    returncode: int, sizes: tuple[int, int], pieces, failure: str | None = None
) -> Outcome:
    return Outcome(Exited(returncode, failure, False, False, sizes), pieces)


TEXT = st.text(alphabet="aé沙\U0001f40d", max_size=60)


@given(text=TEXT, head=st.integers(0, 240), gap=st.integers(0, 240))
def test_a_cut_text_is_a_beginning_and_an_end_of_the_text(text: str, head: int, gap: int) -> None:
    """Wherever the bytes are cut: whole characters only, at most three bytes lost per cut."""
    data = text.encode()
    pieces = [data[:head], data[head + gap :]]

    cut = text_of(pieces)

    assert "\ufffd" not in cut
    assert len(cut.encode()) >= sum(map(len, pieces)) - 6
    assert any(cut == text[:a] + text[b:] for a in range(len(text) + 1) for b in _ends(text, a))


def _ends(text: str, start: int) -> range:
    return range(start, len(text) + 1)


@given(data=st.binary(max_size=60), at=st.integers(0, 60))
def test_any_bytes_become_text(data: bytes, at: int) -> None:
    """Output is not always text; nothing may raise, and uncut bytes decode as Python does."""
    assert text_of([data]) == data.decode("utf-8", "replace")
    assert isinstance(text_of([data[:at], data[at:]]), str)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"caf\xc3", b"\xa9 au lait"], "caf au lait"),
        ([b"\xe6\xb2", b"\x99x"], "x"),
        ([b"\xf0\x9f\x90", b"\x8dx"], "x"),
        ([b"\xc3\xa9", b"\xc3\xa9"], "éé"),
        ([b"", b""], ""),
        ([b"\x80\x80\x80\x80", b"x"], "\ufffd\ufffd\ufffd\ufffdx"),
    ],
)
def test_cuts_at_each_kind_of_border(pieces: list[bytes], text: str) -> None:
    """Characters of two, three and four bytes, and bytes that were no text before the cut."""
    assert text_of(pieces) == text


@given(cap=st.integers(2, 50), written=st.lists(st.binary(max_size=40), max_size=20))
def test_head_and_tail_keep_the_first_and_last_bytes(cap: int, written: list[bytes]) -> None:
    """Against a model that keeps everything."""
    kept = HeadAndTail(cap)
    for piece in written:
        kept.append(piece)
    model = b"".join(written)

    assert kept.size == len(model)
    if len(model) <= cap:
        assert kept.pieces() == [model]
    else:
        assert kept.pieces() == [model[: cap // 2], model[-(cap - cap // 2) :]]


def test_head_and_tail_hold_no_more_than_twice_the_tail() -> None:
    """Gigabytes pass through it."""
    kept = HeadAndTail(1000)
    for _ in range(10_000):
        kept.append(b"x" * 97)
        assert len(kept._head) + len(kept._tail) <= 500 + 2 * 500 + 97


def test_truncated_is_there_only_when_something_was_dropped() -> None:
    """Seven keys for existing clients; the eighth says the true sizes."""
    whole = result_of("c", "r", _outcome(0, (3, 0), ([b"abc"], [b""])))
    cut = result_of("c", "r", _outcome(0, (9, 1), ([b"ab", b"yz"], [b"e"])))

    assert whole.truncated is None
    assert set(json.loads(encode_message(whole))) == {
        *("request_id", "command", "success", "output", "error", "returncode", "timestamp"),
    }
    assert json.loads(encode_message(cut))["truncated"] == {"output_bytes": 9, "error_bytes": 1}


def test_why_a_command_could_not_be_run_is_its_error() -> None:
    """`error` is stderr or, when the command could not be run, why."""
    result = result_of("c", "r", _outcome(127, (0, 0), ([b""], [b""]), failure="no shell"))

    assert (result.error, result.returncode, result.success) == ("no shell", 127, False)


def test_the_timestamp_is_local_iso_8601_with_milliseconds() -> None:
    """Existing clients parse it."""
    result = result_of("c", "r", _outcome(0, (0, 0), ([b""], [b""])))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", result.timestamp)

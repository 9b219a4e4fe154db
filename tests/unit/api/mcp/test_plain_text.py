"""Escape sequences are left out, and each character knows where its bytes stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.mcp.plain_text import PlainText


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;a title\x07x\x1b]8;;http://a\x1b\\link", "xlink"),
        (b"\x1b(B\x1b7a\x1b8\x1b=b\x1bc", "ab"),
        (b"\x1bP1$r0m\x1b\\x", "x"),
        ("\x9b1mbold".encode(), "bold"),
        (b"a\x1b", "a"),
        (b"\xff\xc3\xa8\xe4", "\ufffdè\ufffd"),
        (b"50%\r100%\n", "50%\r100%\n"),
    ],
)
def test_what_a_terminal_would_not_show_is_left_out(raw: bytes, text: str) -> None:
    """A model reads text; colours cost it, and say nothing."""
    assert PlainText(raw).text == text


@pytest.mark.parametrize("cut", [b"\xc3", b"\xe4\xbd", b"\x1b", b"\x1b[3", b"\x1b]0;tit"])
def test_what_is_not_complete_waits_for_its_rest(cut: bytes) -> None:
    """Else half a character, or half a colour, would be shown by both answers."""
    plain = PlainText(b"ab" + cut, is_end=False)

    assert (plain.text, plain.bytes_before(2)) == ("ab", 2)
    assert PlainText(cut, is_end=False).bytes_before(9) == len(
        cut
    )  # alone it is given all the same


@given(st.binary(max_size=60), st.integers(0, 60))
def test_reading_on_where_a_text_ends_loses_no_byte(raw: bytes, at: int) -> None:
    """Whatever the bytes are: what stands before a character, and from it on, is all."""
    plain = PlainText(raw)
    split = plain.bytes_before(min(at, len(plain.text)))

    assert 0 <= split <= len(raw)
    assert plain.bytes_before(len(plain.text)) == len(raw)
    assert (
        split == len(raw) or PlainText(raw[split:]).text == plain.text[min(at, len(plain.text)) :]
    )

"""Results in pieces: the same JSON as in one, of known size, and never held as a whole."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.exited import Exited
from gateway.schemas import command_result_json as message_module
from gateway.schemas.command_effects import CommandEffects
from gateway.schemas.command_result import Outcome, result_of
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.event_encoder import encode_message

STREAM = st.binary(max_size=60) | st.text(alphabet='a"\\\n\0é沙\U0001f40d', max_size=60).map(
    str.encode
)
PIECES = st.lists(STREAM, max_size=2)


def _outcome(stdout: list[bytes], stderr: list[bytes], failure: str | None = None) -> Outcome:
    sizes = sum(map(len, stdout)) + len(stdout) // 2, sum(map(len, stderr))
    return Outcome(Exited(3, failure, True, False, sizes, 1.0), (stdout, stderr))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few bytes are many pieces, and characters are split by them."""
    monkeypatch.setattr(message_module, "PIECE_BYTES", 3)


@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
@given(stdout=PIECES, stderr=PIECES, failure=st.none() | st.just('no "shell"'))
def test_pieces_are_the_message(
    encoding: str, stdout: list[bytes], stderr: list[bytes], failure: str | None
) -> None:
    """Whatever was written, wherever it was cut, and in whatever pieces it goes out."""
    outcome = _outcome(stdout, stderr, failure)
    message = ResultMessage('a "command"', "r", outcome, encoding, with_type=True)

    written = b"".join(message.pieces())

    whole = json.loads(encode_message(result_of('a "command"', "r", outcome, encoding, "result")))
    assert json.loads(written) == whole
    assert list(json.loads(written)) == list(whole)
    assert message.size == len(written)
    untyped = message.untyped()
    read = json.loads(b"".join(untyped.pieces()))
    assert read == {name: value for name, value in whole.items() if name != "type"}
    assert untyped.size == sum(map(len, untyped.pieces()))


def test_no_piece_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """NULs take six times their room in JSON: written at once, 16 MiB of them would be 96."""
    monkeypatch.setattr(message_module, "PIECE_BYTES", 30_000)
    outcome = _outcome([bytes(1_000_000)], [b"x" * 1_000_000])
    message = ResultMessage("c", "r", outcome)

    assert max(map(len, message.pieces())) <= 6 * 30_000 + 200
    assert message.size > 7_000_000


def test_base64_is_of_head_and_tail_as_one() -> None:
    """Clients decode one string."""
    outcome = _outcome([b"abcd", b"yz"], [b""])

    output = json.loads(b"".join(ResultMessage("c", "r", outcome, "base64").pieces()))["output"]

    assert base64.b64decode(output, validate=True) == b"abcdyz"


@pytest.mark.parametrize("size", [2, 1000])
def test_what_is_told_of_files_is_part_of_it(size: int) -> None:
    """Of a result that is written at once, and of one that is written in pieces."""
    changes = {"added": ["/\ufffd"], "modified": [], "deleted": [], "truncated": False}
    outcome = Outcome(Exited(0, None, False, False, (size, 0)), ([b"x" * size], []))
    effects = CommandEffects("c" * 32, changes, None)
    message = ResultMessage("c", "r", outcome, effects=effects)

    told = json.loads(b"".join(message.pieces()))
    assert (told["checkpoint"], told["changes"]) == ("c" * 32, changes)
    assert "changes_missing" not in told
    assert message.size == len(b"".join(message.pieces()))
    assert told["output"] == "x" * size

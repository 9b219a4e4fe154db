"""Messages of `process.Process` as proto3's JSON allows them, and whatever else is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.e2b import process_events, process_messages
from gateway.api.e2b.process_messages import (
    OfProcess,
    Selector,
    SendInput,
    SendSignal,
    Sent,
    Start,
    StreamedInput,
    Update,
    read,
)
from gateway.api.e2b.rpc_errors import RpcError
from gateway.commands.command_name import Pid, Tag
from gateway.link.exited import Exited
from gateway.schemas.command_event import Output

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "process",
                    "cmd",
                    "args",
                    "envs",
                    "cwd",
                    "pid",
                    "tag",
                    "pty",
                    "size",
                    "cols",
                    "rows",
                    "stdin",
                    "input",
                    "signal",
                    "start",
                    "data",
                    "keepalive",
                    "other",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", [Start, OfProcess, SendInput, SendSignal, StreamedInput, Update])
@given(message=st.dictionaries(st.text(max_size=6), JSON, max_size=3) | JSON)
def test_whatever_is_sent_is_read_or_refused(kind: type[Sent], message: Any) -> None:
    """With one error, whose text says where."""
    refused = _refusal_of(kind, message if isinstance(message, dict) else {"process": message})
    assert refused is None or refused.code == "invalid_argument"
    assert refused is None or len(refused.message) <= 300


def _refusal_of(kind: type[Sent], message: dict[str, Any]) -> RpcError | None:
    try:
        found = read(kind, message)
        for name in ("which", "name"):
            getattr(found, name, None)
        found.model_dump()
    except RpcError as refused:
        return refused
    return None


def test_what_is_missing_is_zero_and_what_is_unknown_is_passed_over() -> None:
    """Numbers may be strings, null stands for a missing value; no `stdin` means that there is."""
    asked = read(Start, {"process": {"cmd": "a", "cwd": None, "new": 1}, "tag": None, "more": {}})
    assert (asked.process.args, asked.process.cwd, asked.stdin, asked.pty) == ([], "", True, None)
    assert read(Start, {"stdin": False}).stdin is False
    assert read(Start, {"pty": {}}).pty is not None
    assert read(Update, {"pty": {"size": {"cols": "90", "rows": 0}}}).pty.size.sides == (90, 24)
    assert Selector(pid="7").which == Pid(7)  # type: ignore[arg-type]
    assert read(OfProcess, {"process": {"tag": "t"}}).which == Tag("t")


@pytest.mark.parametrize(
    ("sent", "data"),
    [("aGk=", b"hi"), ("aGk", b"hi"), ("_-8=", b"\xff\xef"), ("/+8=", b"\xff\xef"), ("", b"")],
)
def test_bytes_are_base64_of_either_alphabet(sent: str, data: bytes) -> None:
    """proto3's JSON takes both, with padding or without."""
    message = {"process": {"pid": 1}, "input": {"stdin": sent}}
    assert read(SendInput, message).input.data == (data, False)


def test_output_is_cut_and_never_decoded() -> None:
    """Half a character in each of two messages is joined by clients."""
    data = "é".encode() * process_events.PIECE_BYTES
    told = process_events.output(Output(1, 5, data), on_terminal=False)
    assert [up_to for _, up_to in told] == [
        5 + process_events.PIECE_BYTES,
        5 + 2 * process_events.PIECE_BYTES,
    ]


@pytest.mark.parametrize(
    ("signal", "status"),
    [(9, "signal: killed"), (15, "signal: terminated"), (64, "signal: signal 64")],
)
def test_signals_have_the_names_of_gos_runtime(signal: int, status: str) -> None:
    """Programs compare them."""
    exited = Exited(128 + signal, None, False, False, (0, 0), None, signal)
    assert process_events.ended(exited)["event"]["end"] == {
        "exitCode": -1,
        "exited": False,
        "status": status,
        "error": status,
    }


def test_signals_may_be_numbers() -> None:
    """Enums of proto3's JSON are names or numbers."""
    assert {read(SendSignal, {"signal": one}).name for one in ("SIGNAL_SIGKILL", 9)} == {"KILL"}
    assert process_messages.LONGEST_TAG >= 256

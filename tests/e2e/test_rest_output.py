"""What commands write, over REST: raw bytes from an offset."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest

from tests.support.events import EventStream
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import in_background, read_all, result_of

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared_gateway(offline_gateway: GatewayProcess) -> GatewayProcess:
    """Nothing here is about a network."""
    return offline_gateway


@pytest.mark.parametrize("limit", [MIB, 100_001])
def test_every_byte_arrives_once(gateway: GatewayProcess, sandbox: str, limit: int) -> None:
    """Random ones, of both streams, while they are being written."""
    command = "for i in 1 2 3 4 5 6; do head -c 500000 /dev/urandom | tee -a out; sleep 0.1; done"
    address = in_background(gateway, sandbox, f"({command}) ; head -c 9 out >&2", "r")

    read = read_all(gateway, address, limit=limit)

    wanted = result_of(gateway, sandbox, "sha256sum < out")["output"].split()[0]
    assert len(read) == 3_000_000
    assert hashlib.sha256(read).hexdigest() == wanted
    assert read_all(gateway, address, "&stream=stderr") == read[:9]


def test_a_long_poll_is_answered_when_something_comes(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Not before, not much later, and not longer than it was told to wait."""
    address = in_background(gateway, module_sandbox, "sleep 1; echo now; sleep 2", "p")

    started = time.monotonic()
    assert gateway.get(address + "/output?wait=0.2").content == b""
    assert 0.2 <= time.monotonic() - started < 0.9
    assert gateway.get(address + "/output?wait=20").content == b"now\n"
    assert 0.9 <= time.monotonic() - started < 2
    last = gateway.get(address + "/output?wait=20&offset=4")
    assert (last.content, last.headers["X-Output-Complete"]) == (b"", "true")
    assert 2.5 <= time.monotonic() - started < 5


def test_a_poll_of_one_stream_does_not_hold_back_the_other(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """A command that floods one while somebody waits for the other still comes to its end."""
    address = in_background(gateway, sandbox, "head -c 60000000 /dev/zero >&2; echo end", "f")

    assert gateway.get(address + "/output?wait=30").content == b"end\n"


def test_an_offset_beyond_the_end_is_416(gateway: GatewayProcess, module_sandbox: str) -> None:
    """As bytes and as events."""
    result_of(gateway, module_sandbox, "echo 123", request_id="o")
    address = f"/sandboxes/{module_sandbox}/commands/o/output"

    assert gateway.get(address + "?offset=4").headers["X-Output-Complete"] == "true"
    assert problem_of(gateway.get(address + "?offset=5"), 416)["code"] == "bad_offset"
    events = {"Accept": "text/event-stream"}
    for query in ("?stdout=5", "?stderr=1", "?stream=stderr&offset=1"):
        problem_of(gateway.get(address + query, headers=events), 416)


@pytest.mark.parametrize(("stream", "offset"), [("stdout", 4), ("stdout", 2), ("stderr", 4)])
def test_an_offset_that_is_not_there_yet_is_waited_for(
    gateway: GatewayProcess, module_sandbox: str, stream: str, offset: int
) -> None:
    """The README asks for the third line of a command that has written none."""
    to = ">&2" if stream == "stderr" else ""
    command = f"for n in 1 2 3; do sleep 0.3; echo $n {to}; done; sleep 5"
    address = in_background(gateway, module_sandbox, command, f"later-{stream}-{offset}")

    answer = gateway.get(f"{address}/output?stream={stream}&offset={offset}&wait=10")

    assert answer.status_code == 200
    assert answer.headers["X-Output-Offset"] == str(offset)
    assert b"123"[offset // 2 :].startswith(answer.content.replace(b"\n", b""))
    assert answer.content


def test_what_is_not_kept_is_reported(own_gateway: Any) -> None:
    """As an offset larger than asked for, and as a `gap` among events; head and tail are there."""
    gateway = own_gateway(retain_output_mb="1").start_ready()
    sandbox_id = gateway.create()
    result_of(gateway, sandbox_id, "yes 1234567 | head -c 40000000", request_id="g")
    address = f"/sandboxes/{sandbox_id}/commands/g/output"

    offset, gaps, bytes_read, complete = 0, [], 0, "false"
    while complete == "false":
        answer = gateway.get(f"{address}?offset={offset}")
        at, complete = int(answer.headers["X-Output-Offset"]), answer.headers["X-Output-Complete"]
        if at > offset:
            gaps.append((offset, at))
        assert answer.content == (b"1234567\n" * (MIB // 8 + 1))[at % 8 :][: len(answer.content)]
        bytes_read += len(answer.content)
        offset = int(answer.headers["X-Output-Next"])
    assert offset == 40_000_000
    assert sum(to - start for start, to in gaps) == offset - bytes_read > 0

    with EventStream(gateway, "GET", address) as stream:
        events = list(stream)
    told = [event.message for event in events if event.kind == "gap"]
    assert [(gap["from"], gap["to"]) for gap in told] == gaps
    assert all(gap["stream"] == "stdout" for gap in told)

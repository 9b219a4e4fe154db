"""What commands write, over REST: server-sent events."""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.events import EventStream
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import in_background, read_all, result_of

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared_gateway(offline_gateway: GatewayProcess) -> GatewayProcess:
    """Nothing here is about a network."""
    return offline_gateway


@pytest.fixture(scope="module", autouse=True)
def silent(shared_gateway: GatewayProcess) -> Iterator[Future[tuple[list[str], int]]]:
    """What comes of a command that says nothing for 17 s, and how many comments: followed in a
    sandbox of its own while the other tests here go on."""
    sandbox_id = shared_gateway.create()
    address = in_background(shared_gateway, sandbox_id, "sleep 17", "z") + "/output"

    def follow() -> tuple[list[str], int]:
        with EventStream(shared_gateway, "GET", address) as stream:
            return [event.kind for event in stream], stream.comments

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(follow)
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_command_can_be_streamed(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Each line as it is written."""
    path = f"/sandboxes/{module_sandbox}/commands"
    body = {"command": "for i in 1 2 3; do echo 箱$i; sleep 0.4; done; exit 2", "request_id": "s"}
    times = []
    with EventStream(gateway, "POST", path, json=body) as stream:
        events = []
        for event in stream:
            times.append(time.monotonic())
            events.append(event)

    assert [event.kind for event in events] == ["started", "stdout", "stdout", "stdout", "result"]
    assert [event.message["data"] for event in events[1:4]] == ["箱1\n", "箱2\n", "箱3\n"]
    assert [event.id for event in events] == ["0-0", "5-0", "10-0", "15-0", "end"]
    assert (events[-1].message["returncode"], events[-1].message["request_id"]) == (2, "s")
    assert times[2] - times[1] > 0.2
    assert times[-1] - times[0] > 1


def test_an_event_stream_is_resumed_after_any_break(gateway: GatewayProcess, sandbox: str) -> None:
    """Each time on whichever worker, every byte once, to the result."""
    command = "for i in $(seq 1 60); do head -c 70000 /dev/urandom; sleep 0.02; done | tee all"
    address = in_background(gateway, sandbox, command, "e", encoding="base64") + "/output"
    read, last_id, breaks, result = b"", None, 0, None
    while result is None:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        with EventStream(gateway, "GET", address, headers=headers) as stream:
            for number, event in enumerate(stream):
                last_id = event.id
                if event.kind == "stdout":
                    assert event.message["offset"] == len(read)
                    read += base64.b64decode(event.message["data"])
                elif event.kind == "result":
                    result = event.message
                if number == 7:
                    breaks += 1
                    break

    assert breaks >= 3
    assert len(read) == 60 * 70_000
    wanted = result_of(gateway, sandbox, "sha256sum < all")["output"].split()[0]
    assert hashlib.sha256(read).hexdigest() == wanted
    headers = {"Last-Event-ID": "end", "Accept": "text/event-stream"}
    assert gateway.get(address, headers=headers).status_code == 204


def test_one_stream_of_two(gateway: GatewayProcess, module_sandbox: str) -> None:
    """From an offset."""
    result_of(gateway, module_sandbox, "echo out; echo error >&2", request_id="t")
    address = f"/sandboxes/{module_sandbox}/commands/t/output?stream=stderr&offset=2"
    with EventStream(gateway, "GET", address) as stream:
        events = list(stream)

    assert [(event.kind, event.id) for event in events] == [
        ("started", "4-2"),
        ("stderr", "4-6"),
        ("result", "end"),
    ]
    assert events[1].message["data"] == "ror\n"


def test_a_viewer_that_leaves_ends_nothing(gateway: GatewayProcess, sandbox: str) -> None:
    """Neither one that started the command nor one that came later."""
    path = f"/sandboxes/{sandbox}/commands"
    body = {"command": "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done", "request_id": "v"}
    with EventStream(gateway, "POST", path, json=body) as stream:
        assert next(iter(stream)).kind == "started"
    with EventStream(gateway, "GET", f"{path}/v/output") as stream:
        assert next(iter(stream)).kind == "started"

    assert gateway.status_of(sandbox) == "connected"
    assert read_all(gateway, f"{path}/v") == b"1\n2\n3\n4\n5\n6\n"
    eventually(lambda: gateway.status_of(sandbox) == "idle")


@pytest.mark.parametrize("own", [True, False])
def test_deleting_the_sandbox_ends_the_stream(gateway: GatewayProcess, own: bool) -> None:
    """With the reason, as on the WebSocket."""
    sandbox_id = gateway.create()
    path = f"/sandboxes/{sandbox_id}/commands"
    body = {"command": "echo hi; sleep 1000", "request_id": "d"}
    with EventStream(gateway, "POST", path, json=body) as stream:
        events = iter(stream)
        assert [next(events).kind, next(events).kind] == ["started", "stdout"]
        if own:
            gateway.delete(f"/sandboxes/{sandbox_id}")
        else:
            gateway.engine.remove(sandbox_id)
        [last] = list(events)

    # A container that somebody else removes is seen to have exited, or not to be there any more.
    reasons = {"deleted"} if own else {"exited", "engine_lost"}
    assert (last.kind, last.id) == ("ended", None)
    assert last.message["reason"] in reasons


def test_a_gateway_that_stops_ends_its_streams_and_the_next_goes_on(own_gateway: Any) -> None:
    """By the id of the last event."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    path = f"/sandboxes/{sandbox_id}/commands"
    body = {"command": "for i in $(seq 1 40); do echo $i; sleep 0.1; done", "request_id": "s"}
    with EventStream(gateway, "POST", path, json=body) as stream:
        events = iter(stream)
        seen = [next(events) for _ in range(5)]
        started = time.monotonic()
        gateway.signal(15)
        seen += list(events)
    gateway.wait_stopped()
    assert time.monotonic() - started < 6
    assert (seen[-1].kind, seen[-1].message["code"]) == ("error", "gateway_stopping")

    gateway.start_ready()
    headers = {"Last-Event-ID": stream.last_id or ""}
    with EventStream(gateway, "GET", f"{path}/s/output", headers=headers) as again:
        seen += list(again)
    text = "".join(event.message["data"] for event in seen if event.kind == "stdout")
    assert text.split() == [str(number) for number in range(1, 41)]
    assert seen[-1].kind == "result"


def test_a_viewer_that_does_not_read_costs_no_memory(gateway: GatewayProcess, sandbox: str) -> None:
    """The command is held back; others go on as before."""
    address = in_background(gateway, sandbox, "yes", "y")
    before = gateway.memory()
    slow = []
    for _ in range(5):
        one = socket.create_connection(("127.0.0.1", gateway.port))
        request = f"GET {address}/output HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream"
        one.sendall(request.encode() + b"\r\n\r\n")
        slow.append(one)
    time.sleep(3)

    started = time.monotonic()
    assert result_of(gateway, sandbox, "echo hi")["output"] == "hi\n"
    assert time.monotonic() - started < 3
    assert gateway.memory() < before + 60 * MIB
    for one in slow:
        one.close()
    gateway.post(address + "/signal", json={"signal": "KILL"})


def test_a_silent_stream_is_kept_alive(silent: Future[tuple[list[str], int]]) -> None:
    """Headers come at once, and a comment every quarter of a minute."""
    kinds, comments = silent.result(timeout=30)

    assert kinds == ["started", "result"]
    assert comments == 1

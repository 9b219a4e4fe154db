"""Clients that break RFC 6455 or take too much: a close code, bounded memory, others served."""

from __future__ import annotations

import json
import time
import zlib

import pytest

from tests.support.clients import Closed, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawWebSocket,
    frame,
)

MIB = 1024 * 1024

REQUEST = b'{"command": "echo x", "request_id": "r"}'


@pytest.mark.parametrize(
    "broken",
    [
        frame(TEXT, REQUEST, masked=False),
        frame(TEXT, REQUEST, reserved=4),
        frame(TEXT, REQUEST, reserved=2),
        frame(TEXT, REQUEST, reserved=1),
        frame(0x3, REQUEST),
        frame(0x7, REQUEST),
        frame(0xB, b""),
        frame(0xF, b""),
        frame(CONTINUATION, REQUEST),
        frame(TEXT, REQUEST, fin=False) + frame(TEXT, REQUEST),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(CLOSE, b"x"),
        frame(CLOSE, (999).to_bytes(2, "big")),
        frame(CLOSE, (1005).to_bytes(2, "big")),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff" * 64,
    ],
    ids=[
        *("unmasked", "reserved bit 1", "reserved bit 2", "reserved bit 3"),
        *("opcode 3", "opcode 7", "opcode 11", "opcode 15", "continuation of nothing"),
        *("message in a message", "ping too long", "fragmented ping", "close code of one byte"),
        *("close code 999", "close code 1005", "http", "noise"),
    ],
)
def test_a_broken_frame_is_closed_with_1002(
    gateway: GatewayProcess, module_sandbox: str, broken: bytes
) -> None:
    """Protocol error, said by the code the RFC has for it, and nothing is run."""
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.socket.sendall(broken)

        assert raw.close_code(within_s=10) == 1002


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfe", b'{"command": "\xc3"}', b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"],
)
def test_text_that_is_no_utf8_is_closed_with_1007(
    gateway: GatewayProcess, module_sandbox: str, payload: bytes
) -> None:
    """RFC 6455, 8.1."""
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.send(TEXT, payload)

        assert raw.close_code(within_s=10) == 1007


def test_a_message_over_the_limit_is_closed_with_1009(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The close frame reaches the client although it is still sending: closing a socket with
    unread bytes would reset the connection, and the code would be lost."""
    for size in (1 * MIB + 1, 3 * MIB):
        with connect(gateway, module_sandbox) as client:
            client.client.send_text(json.dumps({"command": "#" + "x" * size}))
            with pytest.raises(Closed) as closed:
                client.receive(within_s=10)
            assert closed.value.code == 1009


def test_a_message_just_below_the_limit_is_taken(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """A limit of a mebibyte means that a message of almost that size gets an answer of its own
    (the kernel takes no such command: 126)."""
    with connect(gateway, module_sandbox) as client:
        result = client.run("#" + "x" * (MIB - 1000))

        assert result.get("returncode") in (0, 126), result
        assert client.output_of("echo next") == "next\n"


def test_fragments_without_end_are_closed_with_1009(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Each fragment is small, their sum is not."""
    before = gateway.memory()
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.socket.sendall(frame(TEXT, b"x" * 1000, fin=False))
        piece = frame(CONTINUATION, b"x" * 1000, fin=False) * 64
        try:
            for _ in range(1000):
                raw.socket.sendall(piece)
        except OSError:
            pass  # it has been closed while we were sending
        try:
            code = raw.close_code(within_s=10)
        except ConnectionResetError:
            code = 1009  # 64 MB were on their way: the reset may overtake the close frame

    assert code == 1009
    assert gateway.memory() - before < 24 * MIB


def test_a_header_that_announces_exabytes_costs_nothing(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The length is the client's word; nothing is allocated for it."""
    before = gateway.memory()
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.socket.sendall(b"\x81\xff" + (2**62).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 1000)
        # What exactly happens is left open: refused by its length, or when too much has come.
        try:
            for _ in range(100):
                raw.socket.sendall(b"x" * 100_000)
        except OSError:
            pass
        try:
            assert raw.close_code(within_s=10) in (1002, 1009)
        except ConnectionResetError:
            pass
    assert gateway.memory() - before < 24 * MIB


def test_compressed_frames_are_a_protocol_error(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """A deflate bomb: compression was not negotiated, so nothing is ever inflated."""
    squeezed = zlib.compress(b"x" * 50_000_000)
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.socket.sendall(frame(TEXT, squeezed[2:-4], reserved=4))

        assert raw.close_code(within_s=10) == 1002


def test_a_flood_of_messages_while_a_command_runs_stays_bounded(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """300 MB of requests, sent as fast as the socket takes them: the gateway stops reading, or
    answers and drops; it never piles them up. The other clients are served."""
    message = frame(TEXT, json.dumps({"command": "sleep 30 #" + "x" * 60_000}).encode())
    with connect(gateway, module_sandbox) as other, RawWebSocket(gateway, module_sandbox) as raw:
        other.run("true")
        before = gateway.memory()
        raw.send(TEXT, b'{"command": "sleep 30"}')
        raw.socket.settimeout(3)
        sent, peak = 0, 0
        deadline = time.monotonic() + 20
        try:
            while sent < 300 * MIB and time.monotonic() < deadline:
                raw.socket.sendall(message)
                sent += len(message)
                if sent // len(message) % 100 == 0:
                    peak = max(peak, gateway.memory())
        except TimeoutError:
            pass  # it does not read on: that is one right answer
        assert other.run("echo served", within_s=10)["output"] == "served\n"
        peak = max(peak, gateway.memory())
        raw.reset()

    assert peak - before < 96 * MIB, f"grew by {(peak - before) / MIB:.0f} MiB"
    with connect(gateway, module_sandbox) as other:
        other.run("pkill -f '^sleep 30' ; pkill sleep")
    eventually(lambda: gateway.status_of(module_sandbox) == "idle")


def test_a_flood_of_bad_frames_with_nobody_reading_stays_bounded(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Each is answered, and nobody takes the answers: neither side may pile them up."""
    before = gateway.memory()
    piece = frame(TEXT, b"{}") * 1000
    with RawWebSocket(gateway, module_sandbox, receive_buffer=4096) as raw:
        raw.socket.settimeout(2)
        try:
            for _ in range(300):
                raw.socket.sendall(piece)
        except TimeoutError:
            pass
        assert gateway.memory() - before < 32 * MIB
        with connect(gateway, module_sandbox) as other:
            assert other.output_of("echo served") == "served\n"
        raw.reset()


def test_pings_are_answered_with_their_payload(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """RFC 6455, 5.5.3; also while a command runs."""
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.send(TEXT, b'{"command": "sleep 1"}')
        for payload in (b"", b"x", b"y" * 125):
            raw.send(PING, payload)
            assert raw.receive(within_s=5) == (PONG, payload)


def test_a_fragmented_request_is_one_request(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Split within a character, with a ping in between: RFC 6455, 5.4."""
    request = '{"command": "echo 沙箱", "request_id": "f"}'.encode()
    at = request.index("沙".encode()) + 1
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.socket.sendall(
            frame(TEXT, request[:at], fin=False)
            + frame(PING, b"between")
            + frame(CONTINUATION, request[at:])
        )
        assert raw.receive() == (PONG, b"between")
        opcode, payload = raw.receive()

    assert opcode == TEXT
    assert json.loads(payload)["output"] == "沙箱\n"


def test_byte_by_byte_is_fine(gateway: GatewayProcess, module_sandbox: str) -> None:
    """TCP promises bytes, not frames."""
    with RawWebSocket(gateway, module_sandbox) as raw:
        for byte in frame(TEXT, REQUEST):
            raw.socket.sendall(bytes([byte]))
        opcode, payload = raw.receive()

    assert (opcode, json.loads(payload)["output"]) == (TEXT, "x\n")


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [(b"", {None, 1000, 1005}), ((1000).to_bytes(2, "big"), {1000}), (b"\x0f\xa0bye", {4000})],
    ids=["none", "normal", "private"],
)
def test_a_close_is_answered_with_a_close(
    gateway: GatewayProcess, module_sandbox: str, sent: bytes, echoed: set[int | None]
) -> None:
    """RFC 6455, 5.5.1: typically the code that was received; then the connection ends."""
    with RawWebSocket(gateway, module_sandbox) as raw:
        raw.send(CLOSE, sent)
        assert raw.close_code(within_s=5) in echoed
        assert raw.receive(within_s=5) is None


def test_abuse_of_every_kind_leaves_nothing_behind(gateway: GatewayProcess, sandbox: str) -> None:
    """Connections that end in a bad way free their descriptors, leases and links too."""

    def abuse(rounds: int) -> None:
        for _ in range(rounds):
            for broken in (frame(TEXT, REQUEST, masked=False), frame(BINARY, b"x", reserved=7)):
                with RawWebSocket(gateway, sandbox) as raw:
                    raw.send(TEXT, REQUEST)
                    raw.socket.sendall(broken)
                    raw.close_code(within_s=10)
            raw = RawWebSocket(gateway, sandbox)
            raw.send(TEXT, REQUEST)
            raw.reset()
            raw = RawWebSocket(gateway, sandbox)
            raw.socket.sendall(frame(TEXT, b"x" * 10_000)[:5000])
            raw.reset()

    abuse(3)
    eventually(lambda: gateway.status_of(sandbox) == "idle")
    with leak_oracle(gateway):
        abuse(20)
        eventually(lambda: gateway.status_of(sandbox) == "idle")

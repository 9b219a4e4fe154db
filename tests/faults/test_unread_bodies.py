"""Bodies that nobody reads: the connection ends, and nothing that is sent stops the others."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import pytest

from gateway.server.request_reading import REQUEST_LINE_BYTES
from tests.support.gateway_process import ROOT, GatewayProcess
from tests.support.keys import ALICE, INLINE, bearer
from tests.support.plain_http import answer_of, exchange, opened

MIB = 1024 * 1024

HEALTHY_S = 0.25
FLOOD_S = 1.0
"""A worker that is stopped answers nothing at all before the flood ends, however short that is."""

ENDLESS_LENGTH = b"Content-Length: 99999999999999\r\n\r\n"
ENDLESS_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One worker, so that whatever stops it stops `/healthz`."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("keyed"), workers="1", api_keys=INLINE, network="none"
    )
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def _head(gateway: GatewayProcess, line: str, *fields: str) -> bytes:
    lines = (f"{line} HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}", *fields)
    return "".join(f"{text}\r\n" for text in lines).encode()


@contextmanager
def _flood(gateway: GatewayProcess, head: bytes, piece: bytes, connections: int) -> Iterator[None]:
    """Connections that send `head` and then `piece` again and again, as fast as it is taken, from
    a process of its own: this one shall measure."""
    arguments = [str(gateway.port), head.hex(), piece.hex(), str(connections)]
    flooder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "tests.support.flooder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert flooder.stdin is not None
    assert flooder.stdout is not None
    try:
        flooder.stdin.write("\n".join([*arguments, ""]).encode())
        flooder.stdin.flush()
        assert flooder.stdout.readline() == b"pouring\n"
        yield
    finally:
        flooder.kill()
        flooder.wait()
        flooder.stdin.close()
        flooder.stdout.close()


def _answers_meanwhile(gateway: GatewayProcess) -> None:
    """Answers of `/healthz` come in time, and none takes seconds: this machine's other work may
    hold one up, a worker that is stopped holds up all of them."""
    took_s = []
    deadline = time.monotonic() + FLOOD_S
    while time.monotonic() < deadline:
        begun = time.monotonic()
        assert gateway.get("/healthz", timeout=10).status_code == 200
        took_s.append(time.monotonic() - begun)
    assert median(took_s) < HEALTHY_S, took_s
    assert max(took_s) < 8 * HEALTHY_S, took_s


FLOODS = {
    "no key, length": (("POST /sandboxes",), ENDLESS_LENGTH, b"x" * 65536),
    "no key, chunks": (("POST /sandboxes",), ENDLESS_CHUNKS, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "no key, tiny chunks": (("POST /sandboxes",), ENDLESS_CHUNKS, b"1\r\nx\r\n" * 2000),
    "foreign origin": (
        ("POST /sandboxes", "Origin: http://evil.example", f"X-API-Key: {ALICE}"),
        ENDLESS_LENGTH,
        b"x" * 65536,
    ),
    "health with a body": (("GET /healthz",), ENDLESS_LENGTH, b"x" * 65536),
    "a key, read in tiny chunks": (
        ("POST /sandboxes", "Content-Type: application/json", f"X-API-Key: {ALICE}"),
        ENDLESS_CHUNKS,
        b"1\r\n \r\n" * 2000,
    ),
    "a key, read and too large": (
        ("POST /sandboxes", "Content-Type: application/json", f"X-API-Key: {ALICE}"),
        ENDLESS_CHUNKS,
        b"10000\r\n" + b" " * 65536 + b"\r\n",
    ),
    "trailers": (
        ("POST /sandboxes", "Content-Type: application/json", f"X-API-Key: {ALICE}"),
        ENDLESS_CHUNKS + b"0\r\n",
        b"X-More: x\r\n" * 1000,
    ),
    "chunk extensions": (
        ("POST /sandboxes", "Content-Type: application/json", f"X-API-Key: {ALICE}"),
        ENDLESS_CHUNKS,
        (b"1;" + b"a=b;" * 1000 + b"a\r\n \r\n") * 10,
    ),
    "header fields": (("GET /healthz",), b"", b"X-More: x\r\n" * 1000),
    "pipelined requests": (("GET /healthz",), b"\r\n", b""),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_any_kind_leaves_the_others_served(keyed: GatewayProcess, name: str) -> None:
    """Three connections, some without a key, were enough to stop a worker as long as they sent."""
    (line, *fields), end, piece = FLOODS[name]
    head = _head(keyed, line, *fields) + end
    with _flood(keyed, head, piece or head * 100, connections=3):
        _answers_meanwhile(keyed)


def test_two_workers_are_no_easier_to_stop(gateway: GatewayProcess) -> None:
    """With as many connections for each."""
    head = _head(gateway, "POST /sandboxes", "Origin: http://evil.example") + ENDLESS_LENGTH
    with _flood(gateway, head, b"x" * 65536, connections=6):
        _answers_meanwhile(gateway)


UNREAD = {
    "no key": ("POST /sandboxes", 401),
    "wrong method": ("POST /healthz", 401),
    "open, and no body is wanted": ("GET /healthz", 200),
    "no such address": ("PUT /nothing", 401),
}

UNREAD_WITH_KEY = {
    "a list": ("GET /sandboxes", 200),
    "no such sandbox": ("DELETE /sandboxes/nothing", 404),
    "an impossible id": ("DELETE /sandboxes/A.B", 404),
    "no such address": ("PUT /nothing", 404),
    "wrong method": ("PUT /sandboxes", 405),
    "no type": ("POST /sandboxes/nothing/commands", 404),
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("name", [*UNREAD, *(f"key: {name}" for name in UNREAD_WITH_KEY)])
def test_an_answer_whose_body_was_not_read_ends_the_connection(
    keyed: GatewayProcess, name: str, framing: str
) -> None:
    """And says so: what follows on the connection is a body, and never another request."""
    has_key = name.startswith("key: ")
    line, status = UNREAD_WITH_KEY[name[5:]] if has_key else UNREAD[name]
    fields = [f"X-API-Key: {ALICE}"] if has_key else []
    smuggled = _head(keyed, "GET /healthz") + b"\r\n"
    if framing == "length":
        sent = _head(keyed, line, *fields, f"Content-Length: {len(smuggled)}") + b"\r\n" + smuggled
    else:
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
        sent = _head(keyed, line, *fields, "Transfer-Encoding: chunked") + b"\r\n" + chunk

    answers = exchange(keyed, sent)

    assert answers.count(b"HTTP/1.1 ") == 1, answers
    answer = answer_of(answers)
    assert answer.status == status
    assert answer.headers["connection"] == "close"


def test_a_body_that_was_read_keeps_the_connection(keyed: GatewayProcess) -> None:
    """Clients that do all right lose nothing, by length and by chunks."""
    fields = (f"X-API-Key: {ALICE}", "Content-Type: application/json")
    by_length = _head(keyed, "POST /sandboxes", *fields, "Content-Length: 9") + b'\r\n{"cpu":1}'
    by_chunks = (
        _head(keyed, "POST /sandboxes", *fields, "Transfer-Encoding: chunked")
        + b'\r\n9\r\n{"cpu":1}\r\n0\r\nX-Trailer: x\r\n\r\n'
    )
    last = _head(keyed, "GET /healthz", "Connection: close") + b"\r\n"

    answers = exchange(keyed, by_length + by_chunks + last)

    assert answers.count(b"HTTP/1.1 422") == 2, answers
    assert answers.count(b"HTTP/1.1 200") == 1, answers


def test_a_refusal_reaches_a_client_that_sends_first(keyed: GatewayProcess) -> None:
    """Four megabytes that are not wanted: closing at once would reset the connection, and the
    client would never see why."""
    for path, headers, status in (
        ("/sandboxes", {"X-API-Key": "wrong"}, 401),
        ("/sandboxes", {"Content-Type": "application/json"}, 413),
        ("/nothing", {}, 404),
    ):
        answer = keyed.post(path, data=b" " * (4 * MIB), headers=headers)
        assert answer.status_code == status


EXPECTING = ("Expect: 100-continue", "Content-Type: application/json", "Content-Length: 9")

NOT_ASKED_FOR: dict[str, tuple[str, tuple[str, ...], int]] = {
    "no key": ("POST /sandboxes", EXPECTING, 401),
    "no key, chunked": (
        "POST /sandboxes",
        ("Expect: 100-continue", "Transfer-Encoding: chunked"),
        401,
    ),
    "foreign host": ("POST /sandboxes", ("Host: evil.example", *EXPECTING), 403),
    "no such sandbox": (
        "POST /sandboxes/nothing/commands",
        (f"X-API-Key: {ALICE}", *EXPECTING),
        404,
    ),
    "wrong method": ("PUT /sandboxes", (f"X-API-Key: {ALICE}", *EXPECTING), 405),
    "too large": (
        "POST /sandboxes",
        (f"X-API-Key: {ALICE}", *EXPECTING[:2], f"Content-Length: {2 * MIB}"),
        413,
    ),
    "no JSON": (
        "POST /sandboxes",
        (f"X-API-Key: {ALICE}", EXPECTING[0], "Content-Type: text/plain", EXPECTING[2]),
        415,
    ),
    "none is wanted": ("GET /healthz", EXPECTING, 200),
}


@pytest.mark.parametrize("name", NOT_ASKED_FOR)
def test_a_body_is_not_asked_for_when_the_head_decides(keyed: GatewayProcess, name: str) -> None:
    """A client that expects `100 Continue` has waited in order not to send it for nothing."""
    line, fields, status = NOT_ASKED_FOR[name]
    head = f"{line} HTTP/1.1\r\n".encode() if fields[0].startswith("Host") else _head(keyed, line)

    received = exchange(keyed, head + "".join(f"{one}\r\n" for one in fields).encode() + b"\r\n")

    assert answer_of(received).status == status
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("waits", [True, False])
def test_a_body_that_is_read_is_asked_for_once(
    keyed: GatewayProcess, framing: str, waits: bool
) -> None:
    """Before the answer, and only then. A client that does not wait for it may send at once; the
    connection stays good either way."""
    is_chunked = framing == "chunked"
    how = "Transfer-Encoding: chunked" if is_chunked else "Content-Length: 9"
    body = b'9\r\n{"cpu":1}\r\n0\r\n\r\n' if is_chunked else b'{"cpu":1}'
    last = _head(keyed, "GET /healthz", "Connection: close") + b"\r\n"
    head = _head(keyed, "POST /sandboxes", f"X-API-Key: {ALICE}", *EXPECTING[:2], how) + b"\r\n"
    received = b""
    with opened(keyed) as client:
        if waits:
            client.sendall(head)
            received = client.recv(1000)
            assert received == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body + last)
        else:
            client.sendall(head + body + last)
        while piece := client.recv(65536):
            received += piece

    assert received.count(b"HTTP/1.1 100 ") == int(waits)
    assert received.count(b"HTTP/1.1 422 ") == 1
    assert received.count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_handshake_with_a_body_is_refused(gateway: GatewayProcess, framing: str) -> None:
    """Its bytes would be taken for frames, or for none."""
    sandbox_id = gateway.create()
    head = _head(
        gateway,
        f"GET /ws/{sandbox_id}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        framing,
    )

    answer = answer_of(exchange(gateway, head + b"\r\nhello"))

    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert gateway.status_of(sandbox_id) == "idle"
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200


TOO_MUCH: dict[str, tuple[Callable[[GatewayProcess], bytes], int]] = {
    "an address that is too long": (
        lambda g: _head(g, f"GET /healthz?{'x' * REQUEST_LINE_BYTES}") + b"\r\n",
        414,
    ),
    "an address without end": (lambda g: b"GET /" + b"x" * 60_000, 414),
    "header fields that are too large together": (
        lambda g: _head(g, "GET /healthz", *(f"X-{n}: {'x' * 4000}" for n in range(40))) + b"\r\n",
        431,
    ),
    "chunks of one byte": (
        lambda g: (
            _head(g, "POST /sandboxes", f"X-API-Key: {ALICE}", "Content-Type: application/json")
            + ENDLESS_CHUNKS
            + b"1\r\n \r\n" * 50_000
        ),
        400,
    ),
    "trailers without end": (
        lambda g: (
            _head(g, "POST /sandboxes", f"X-API-Key: {ALICE}", "Content-Type: application/json")
            + ENDLESS_CHUNKS
            + b"0\r\n"
            + b"X-More: x\r\n" * 5000
        ),
        400,
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_is_refused(keyed: GatewayProcess, name: str) -> None:
    """With a status of its own, and the connection ends."""
    make, status = TOO_MUCH[name]

    answer = answer_of(exchange(keyed, make(keyed)))

    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "encoded", ["%2F" * 4096, "a" * 4096, f"{'%F0%9F%99%82' * 1024}&after={'%20' * 4096}"]
)
def test_the_longest_path_fits_into_an_address(keyed: GatewayProcess, encoded: str) -> None:
    """Paths have up to 4,096 bytes, and a client may percent-encode each of them."""
    line = f"GET /sandboxes/nothing?path={encoded}"
    sent = _head(keyed, line, f"X-API-Key: {ALICE}", "Connection: close") + b"\r\n"

    answer = answer_of(exchange(keyed, sent))

    assert answer.status == 404
    assert b"sandbox_not_found" in answer.body


def test_a_request_byte_by_byte_is_fine(keyed: GatewayProcess) -> None:
    """TCP promises bytes, not requests; a body of two megabytes of chunks of 16 is no abuse."""
    with opened(keyed) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _head(keyed, "GET /healthz", "Connection: close") + b"\r\n":
            client.sendall(bytes([byte]))
        assert client.recv(12) == b"HTTP/1.1 200"
    fields = (f"X-API-Key: {ALICE}", "Content-Type: application/json", "Connection: close")
    chunks = b"10\r\n" + b" " * 16 + b"\r\n"
    body = chunks * 30_000 + b"2\r\n{}\r\n0\r\n\r\n"
    head = _head(keyed, "POST /sandboxes/nothing/token", *fields, "Transfer-Encoding: chunked")

    assert answer_of(exchange(keyed, head + b"\r\n" + body)).status == 404

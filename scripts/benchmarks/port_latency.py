"""`ports`: a server in a sandbox through the gateway, against a connection of one's own to it.

The direct one goes to the container's address on its bridge: the same server, without the gateway.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import requests

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

MIB = 1024 * 1024
BODY_BYTES = 200 * MIB
PORT = 8000

TARGETS = (
    # What the gateway adds to the first byte, in milliseconds.
    Target("added", None, "at most", 3.0),
    Target("added", "baseline_added"),
    # Durations: 0.5 of the throughput is the direct one's time divided by the gateway's.
    Target("direct_body", "gateway_body", "at least", 0.5),
)

# Threads, keep-alive and Nagle off: nothing of the server's own is to be measured.
SERVER = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    def do_GET(self):
        size = int(self.path[1:] or 0)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        block = bytes({MIB})
        while size:
            self.wfile.write(block[:size])
            size -= min(size, len(block))
        self.wfile.flush()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", {PORT}), Handler).serve_forever()
"""


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure the first byte `samples` times per round and way, and a large body once.

    Raises BenchmarkFailed.
    """
    url = gateways.measured
    with sandbox(url) as sandbox_id, _served(url, sandbox_id) as address:
        gateway = urlsplit(url).netloc
        below = f"/sandboxes/{sandbox_id}/ports/{PORT}/"

        def added(count: int) -> list[float]:
            """Pairs, one right after the other: both meet the machine as it is at that moment."""
            return [_first_byte(gateway, below) - _first_byte(address, "/") for _ in range(count)]

        about = "GET on a connection of its own, to the first byte of the answer"
        size = f"{BODY_BYTES // MIB} MiB with a length"
        subjects = [
            Subject(
                "direct",
                f"{about}, to the container's address",
                lambda count: [_first_byte(address, "/") for _ in range(count)],
                samples,
            ),
            Subject(
                "gateway",
                f"{about}, through the gateway",
                lambda count: [_first_byte(gateway, below) for _ in range(count)],
                samples,
            ),
            Subject("added", "the difference of two that follow each other", added, samples),
            Subject(
                "direct_body",
                f"{size}, from the container's address",
                lambda _count: [_body(address, f"/{BODY_BYTES}")],
                1,
            ),
            Subject(
                "gateway_body",
                f"{size}, through the gateway",
                lambda _count: [_body(gateway, f"{below}{BODY_BYTES}")],
                1,
            ),
        ]
        with ExitStack() as held:
            if gateways.baseline is not None:
                subjects.append(_baseline(gateways.baseline, held, samples))
            return measure(subjects, rounds, say)


def _baseline(url: str, held: ExitStack, samples: int) -> Subject:
    """Of a server in a sandbox of its own."""
    sandbox_id = held.enter_context(sandbox(url))
    address = held.enter_context(_served(url, sandbox_id))
    gateway, below = urlsplit(url).netloc, f"/sandboxes/{sandbox_id}/ports/{PORT}/"

    def added(count: int) -> list[float]:
        return [_first_byte(gateway, below) - _first_byte(address, "/") for _ in range(count)]

    about = "the same difference, the gateway of the other clone"
    return Subject("baseline_added", about, added, samples)


@contextmanager
def _served(url: str, sandbox_id: str) -> Iterator[str]:
    """The address of the server in the sandbox, as this machine reaches it."""
    host = requests.get(f"{url}/sandboxes/{sandbox_id}", timeout=TIMEOUT_S).json()["ip_address"]
    if not host:
        raise BenchmarkFailed("the sandbox has no network, so that nothing can be compared")
    with closing(CommandSocket(url, sandbox_id)) as commands:
        commands.run(f"cat > server.py <<'SERVER'\n{SERVER}\nSERVER")
        commands.run("setsid -f python3 server.py > server.log 2>&1 < /dev/null")
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            _first_byte(f"{host}:{PORT}", "/")
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"the server is not reached: {error}") from error
            time.sleep(0.1)
    yield f"{host}:{PORT}"


def _first_byte(host: str, path: str) -> float:
    """Seconds."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        took = time.perf_counter() - started
        answer.read()
        if answer.status != http.client.OK:
            raise BenchmarkFailed(f"{path} was answered with {answer.status}")
        return took
    finally:
        connection.close()


def _body(host: str, path: str) -> float:
    """Seconds until all of it is there."""
    buffer = bytearray(MIB)
    started = time.perf_counter()
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        received = 0
        while count := answer.readinto(buffer):
            received += count
        if received != BODY_BYTES:
            raise BenchmarkFailed(f"{received} bytes came in the place of {BODY_BYTES}")
        return time.perf_counter() - started
    finally:
        connection.close()

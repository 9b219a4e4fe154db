"""The egress proxy between sandboxes: slots, turns, and heads that do not come.

Its process is a worker in a gateway: what stops it stops that one for everybody.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]

_PROXY = """
from gevent import monkey
monkey.patch_all()
import gevent
from gevent import socket
from gateway.host import egress_proxy
from gateway.host.egress_proxy import EgressProxy
egress_proxy.HEAD_LIMIT_S = 3
def resolve(host):
    if host.startswith("slow"):
        monkey.get_original("time", "sleep")(1.0)
    raise OSError("no such name")
with socket.create_server(("127.0.0.1", 0)) as found:
    port = found.getsockname()[1]
proxy = EgressProxy(("*.test",), resolve=resolve)
proxy.start("127.0.0.1", port)
print(port, flush=True)
gevent.sleep(600)
"""

_RELAY = """
from gevent import monkey
monkey.patch_all()
import subprocess, time, gevent
from gevent import socket
from gateway.host.proxy_relay import Relay
from gateway.host.proxy_shares import Share
share = Share()
children = []
for _ in range(4):
    from_client, client = socket.socketpair()
    to_server, server = socket.socketpair()
    children.append(subprocess.Popen(["cat", "/dev/zero"], stdout=from_client.fileno()))
    children.append(subprocess.Popen(["cat"], stdin=to_server.fileno(), stdout=subprocess.DEVNULL))
    gevent.spawn(Relay(client, server, share).run, None)
here, there = socket.socketpair()
echo = subprocess.Popen(["cat"], stdin=there.fileno(), stdout=there.fileno())
gevent.sleep(0.2)
longest, end = 0.0, time.monotonic() + 2
while time.monotonic() < end:
    begun = time.monotonic()
    here.sendall(b"x")
    here.recv(1)
    longest = max(longest, time.monotonic() - begun)
    gevent.sleep(0.01)
for child in [*children, echo]:
    child.kill()
print(longest, flush=True)
import os
os._exit(0)
"""


class Proxy:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROXY], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def connect(self, sandbox: int) -> socket.socket:
        """From an address of its own, as sandboxes have."""
        return socket.create_connection(
            ("127.0.0.1", self.port), 5, source_address=(f"127.0.1.{sandbox}", 0)
        )

    def ask(self, sandbox: int, text: bytes) -> bytes:
        with self.connect(sandbox) as client:
            client.sendall(text)
            return client.recv(1000)

    def close(self) -> None:
        with self._process:
            self._process.kill()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


def test_eight_do_not_take_all_of_it(proxy: Proxy) -> None:
    """Each with as many connections as it gets, on which nothing is said."""
    with ExitStack() as stack:
        for sandbox in range(1, 9):
            for _ in range(80):
                stack.enter_context(proxy.connect(sandbox))

        began = time.monotonic()
        assert proxy.ask(99, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert time.monotonic() - began < 1


def test_who_has_too_many_is_told(proxy: Proxy) -> None:
    """At once, so that programs try again."""
    with ExitStack() as stack:
        held = [stack.enter_context(proxy.connect(30)) for _ in range(70)]

        assert held[-1].recv(100).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After:")
    eventually(lambda: proxy.ask(30, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 "))


def test_a_head_that_drips_has_a_deadline(proxy: Proxy) -> None:
    """A byte at a time, for ever: each would start the wait anew if only silence counted."""
    with proxy.connect(40) as client:
        began = time.monotonic()
        client.settimeout(0.1)
        while time.monotonic() - began < 10:
            try:
                client.sendall(b"A")
                if client.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - began < 8


def test_an_endless_head_ends(proxy: Proxy) -> None:
    """As fast as the proxy reads it: after 16 KiB."""
    with proxy.connect(41) as client:
        try:
            for _ in range(1000):
                client.sendall(b"A" * 65536)
            told = client.recv(1000)
        except OSError:
            told = b""
        assert told == b"" or told.startswith(b"HTTP/1.1 431 ")
    assert proxy.ask(41, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_slow_names_of_one_hold_up_no_other(proxy: Proxy) -> None:
    """Twenty at once, a second each, of a server that belongs to whoever asks."""
    with ExitStack() as stack:
        for number in range(20):
            client = stack.enter_context(proxy.connect(50))
            client.sendall(f"CONNECT slow{number}.test:443 HTTP/1.1\r\n\r\n".encode())
        began = time.monotonic()

        told = proxy.ask(51, b"CONNECT quick.test:443 HTTP/1.1\r\n\r\n")

        assert told.startswith(b"HTTP/1.1 502 ")
        assert time.monotonic() - began < 1


def test_what_flows_lets_others_run() -> None:
    """Four that send as fast as they can, to servers that read as fast."""
    done = subprocess.run(
        [sys.executable, "-c", _RELAY], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert float(done.stdout) < 0.25, done.stderr

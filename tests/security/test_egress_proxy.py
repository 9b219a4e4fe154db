"""With SANDBOX_EGRESS_DOMAINS a sandbox reaches the proxy, and by it the listed domains."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.host import packet_filter
from gateway.host.packet_filter_rules import Policy
from tests.security.test_network import PRIVATE, PUBLIC, Playground
from tests.support.other_hosts import PORT

ROOT = Path(__file__).resolve().parents[2]

_PROXY = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from gateway.host.egress_proxy import EgressProxy
names = {"good.test": ["93.184.216.34"], "rebound.test": ["10.77.3.4"],
         "mixed.test": ["10.77.3.4", "93.184.216.34"], "own.test": [sys.argv[1]]}
def resolve(host):
    if host not in names:
        raise OSError("no such name")
    return names[host]
domains, ports = tuple(sys.argv[4].split(",")), frozenset({int(sys.argv[3])})
proxy = EgressProxy(domains, ports=ports, resolve=resolve)
proxy.start(sys.argv[1], int(sys.argv[2]))
proxy.start(sys.argv[1], int(sys.argv[2]))
print("ready", flush=True)
gevent.sleep(600)
"""

PROXY_PORT = 38128

_ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.settimeout(10)
for text in sys.argv[3:]:
    s.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
    print(s.recv(65536).decode(), end="")
while data := s.recv(65536):
    print(data.decode(), end="")
"""


class Proxied:
    def __init__(self, playground: Playground) -> None:
        self.playground = playground
        self.address = playground.host_address
        playground.policy = Policy("none", proxy=(ip_address(self.address), PROXY_PORT))
        playground.filter.apply()
        domains = "good.test,rebound.test,mixed.test,own.test,missing.test"
        arguments = [self.address, str(PROXY_PORT), str(PORT), domains]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROXY, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, *texts: str) -> str:
        """What the proxy answers to a sandbox that sends these texts, one after each answer."""
        sandbox = self.playground.sandboxes[0]
        return sandbox.run("python3", "-c", _ASK, self.address, str(PROXY_PORT), *texts)

    def close(self) -> None:
        with self._process:
            self._process.kill()
        packet_filter.remove(self.playground.interface)


@pytest.fixture(scope="module")
def proxied() -> Iterator[Proxied]:
    playground = Playground()
    try:
        made = Proxied(playground)
        yield made
        made.close()
    finally:
        playground.close()


def test_nothing_is_reached_past_the_proxy(proxied: Proxied) -> None:
    """Otherwise the list would be a recommendation."""
    sandbox = proxied.playground.sandboxes[0]

    assert sandbox.reaches(*PUBLIC, *PRIVATE) == set()
    assert sandbox.reaches(proxied.address, port=PROXY_PORT) == {proxied.address}
    assert proxied.playground.filter.check()[0] is True
    assert str(PROXY_PORT) in proxied.playground.filter.check()[1]


def test_a_tunnel_to_a_listed_domain(proxied: Proxied) -> None:
    """Bytes pass as they are."""
    told = proxied.ask(f"CONNECT good.test:{PORT} HTTP/1.1\\r\\n\\r\\n", "hello")

    assert told.startswith("HTTP/1.1 200 Connection established\r\n\r\n")
    assert told.endswith("\r\n\r\nhello")


def test_a_plain_request_to_a_listed_domain(proxied: Proxied) -> None:
    """The server sees the host that was checked."""
    told = proxied.ask(
        f"GET http://good.test:{PORT}/x HTTP/1.1\\r\\nHost: evil.test\\r\\nAccept: */*\\r\\n\\r\\n"
    )

    assert told.startswith("HTTP/1.1 200 OK")
    assert told.endswith(
        f"GET /x HTTP/1.1\r\nHost: good.test:{PORT}\r\nConnection: close\r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        (f"evil.test:{PORT}", "403"),
        ("good.test:22", "403"),
        (f"rebound.test:{PORT}", "403"),
        (f"10.77.3.4:{PORT}", "403"),
        (f"own.test:{PORT}", "403"),
        (f"missing.test:{PORT}", "502"),
    ],
)
def test_all_else_is_refused(proxied: Proxied, target: str, answer: str) -> None:
    """Other domains and ports, listed domains that stand for private addresses or this host."""
    told = proxied.ask(f"CONNECT {target} HTTP/1.1\\r\\n\\r\\n")

    assert told.startswith(f"HTTP/1.1 {answer} ")


def test_of_several_addresses_a_public_one_is_taken(proxied: Proxied) -> None:
    """And never the private one."""
    told = proxied.ask(f"CONNECT mixed.test:{PORT} HTTP/1.1\\r\\n\\r\\n", "hello")

    assert told.startswith("HTTP/1.1 200 ")
    assert told.endswith("hello")


def test_nonsense_is_answered(proxied: Proxied) -> None:
    """And the proxy goes on."""
    assert proxied.ask("nonsense\\r\\n\\r\\n").startswith("HTTP/1.1 400 ")
    assert proxied.ask("A" * 20000).startswith("HTTP/1.1 431 ")
    assert proxied.ask("\\xff\\x00\\r\\n\\r\\n").startswith("HTTP/1.1 400 ")
    assert proxied.ask(f"CONNECT good.test:{PORT} HTTP/1.1\\r\\n\\r\\n", "x").endswith("x")

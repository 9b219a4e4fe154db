"""Hosts that a sandbox might reach: a network namespace that carries their addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

PORT = 8475

_SERVER = """
import socket, sys, threading
def tell(kind, port, address="0.0.0.0"):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen(50)
        while True:
            threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
    while True:
        query, asker = s.recvfrom(512)
        # Answers every question for an address with 93.184.216.34 (RFC 1035, section 4.1).
        end = query.index(0, 12) + 5
        name, kind_of_question = query[12:end], query[end - 4:end - 2]
        count = 1 if kind_of_question == bytes([0, 1]) else 0
        head = query[:2] + bytes([0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0])
        record = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34]) * count
        s.sendto(head + name + record, asker)
def echo(connection):
    # An HTTP answer whose body is what came first.
    with connection:
        asked = connection.recv(65536)
        if asked:
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + asked)
for port in (PORT, 53):
    threading.Thread(target=tell, args=(socket.SOCK_STREAM, port), daemon=True).start()
for address in sys.argv[1:]:
    # One socket each, so that answers come from the address that was asked.
    ask = (socket.SOCK_DGRAM, 53, address)
    threading.Thread(target=tell, args=ask, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


def sh(*argv: str) -> str:
    """Run a program that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


class OtherHosts:
    """Servers at the given IPv4 addresses, on TCP `PORT` and as name servers on port 53.

    Routes for exactly these addresses lead there from this host, and nothing leaves it.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._name = f"sgwt{os.getpid()}"
        self._server: subprocess.Popen[str] | None = None
        here, there = f"{self._name}h", f"{self._name}n"
        sh("ip", "netns", "add", self._name)
        try:
            sh("ip", "link", "add", here, "type", "veth", "peer", there, "netns", self._name)
            # A link of its own, from the range for benchmarks (RFC 2544).
            sh("ip", "address", "add", "198.18.77.1/30", "dev", here)
            sh("ip", "link", "set", here, "up")
            inside = ["ip", "-n", self._name]
            sh(*inside, "link", "set", "lo", "up")
            sh(*inside, "address", "add", "198.18.77.2/30", "dev", there)
            sh(*inside, "link", "set", there, "up")
            sh(*inside, "route", "add", "default", "via", "198.18.77.1")
            for address in addresses:
                sh(*inside, "address", "add", f"{address}/32", "dev", "lo")
                sh("ip", "route", "add", f"{address}/32", "via", "198.18.77.2", "dev", here)
            self._server = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self._name, sys.executable, "-c"),
                    _SERVER.replace("PORT", str(PORT)),
                    *addresses,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._server.stdout is not None
            assert self._server.stdout.readline() == "ready\n"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take all of it away; the link and its routes go with the namespace."""
        if self._server is not None:
            with self._server:
                self._server.kill()
            self._server = None
        sh("ip", "netns", "delete", self._name)

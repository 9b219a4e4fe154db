"""Connections that are made in another network namespace, by a thread that enters it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.agent.ports.listening import listeners
from gateway.ports.connection import SocketConnection
from gateway.ports.namespace_sockets import NamespaceSockets, NamespaceUnreachable

ANY_CONTAINER = "/"
"""It is in what /proc says of any process's control groups, where the container's id is looked for.
"""

SERVER = """
import socket, subprocess, sys, pathlib
for one in ("all", "lo"):
    try:
        pathlib.Path(f"/proc/sys/net/ipv6/conf/{one}/disable_ipv6").write_text("0")
    except OSError:
        pass
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
listener.bind((sys.argv[1], 8000))
listener.listen()
print("up", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(sys.argv[1].encode())
    connection.close()
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="entering a namespace takes root")


@contextmanager
def server(address: str) -> Iterator[int]:
    """The pid of a process that listens on port 8000 in a namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-c", SERVER, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def sockets() -> Iterator[NamespaceSockets]:
    made = NamespaceSockets()
    yield made
    made.close()


def read(connection: SocketConnection) -> bytes:
    buffer = memoryview(bytearray(100))
    try:
        return bytes(buffer[: connection.receive_into(buffer)])
    finally:
        connection.close()


@needs_root
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_server_on_any_localhost_is_reached(sockets: NamespaceSockets, address: str) -> None:
    """Node.js listens on ::1 where `localhost` is that, python on 127.0.0.1."""
    with server(address) as pid:
        connection = sockets.connect(ANY_CONTAINER, pid, 8000)

        assert connection is not None
        assert read(connection) == address.encode()
        assert [(port, shown) for port, shown, _ in listeners(f"/proc/{pid}/net")] == [
            (8000, address)
        ]


@needs_root
def test_where_nothing_listens_there_is_no_connection(sockets: NamespaceSockets) -> None:
    with server("127.0.0.1") as pid:
        assert sockets.connect(ANY_CONTAINER, pid, 8001) is None


@pytest.mark.parametrize("container_id", ["f" * 64, ANY_CONTAINER])
def test_no_other_network_is_entered(sockets: NamespaceSockets, container_id: str) -> None:
    """A pid may have been given to another process; the gateway's own network is no sandbox's."""
    with pytest.raises(NamespaceUnreachable):
        sockets.connect(container_id, os.getpid(), 1)

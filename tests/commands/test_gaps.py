"""Output that is not kept any more is reported, byte for byte."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture(scope="module")
def small_retention(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that keeps 1 MiB of a stream's end, and a quarter of that of its beginning."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("small-retention"), network="none", retain_output_mb="1"
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.mark.parametrize("held", [0, 1000, 256 * KIB, 2 * MIB, 5 * MIB - 10])
def test_what_fell_out_is_reported_with_exact_offsets(
    small_retention: GatewayProcess, held: int
) -> None:
    """A client can tell what it has not seen, and never takes two ends for neighbours."""
    size = 5 * MIB
    with connect(small_retention, small_retention.create()) as connection:
        program = f"print(''.join('%07d\\\\n' % n for n in range({size} // 8)), end='')"
        command = f'python3 -c "{program}"'
        connection.ask(f"sleep 0.5; {command}", request_id="gap", stream=True)
        assert connection.receive()["type"] == "started"
        connection.client.socket.sock.shutdown(socket.SHUT_RDWR)
    whole = b"".join(b"%07d\n" % number for number in range(size // 8))
    sandbox = next(iter(small_retention.listed()))
    with connect(small_retention, sandbox) as connection:
        eventually(lambda: _status(connection, "gap") == "finished")
        story = Story("gap")
        story.next["stdout"] = held
        story.attach(connection)
    small_retention.delete(f"/sandboxes/{sandbox}")
    assert story.result["returncode"] == 0
    assert story.next["stdout"] == size
    if held >= 4 * MIB:
        assert not story.gaps
        assert story.stdout == whole[held:]
    else:
        ((stream, start, end),) = story.gaps
        assert (stream, start) == ("stdout", max(held, 256 * KIB))
        assert 4 * MIB - 128 * KIB <= end <= 4 * MIB
        assert story.stdout == whole[held:start] + whole[end:]


def _status(connection: Connection, request_id: str) -> str | None:
    connection.send({"type": "list"})
    listed = connection.receive()["commands"]
    return next((one["status"] for one in listed if one["request_id"] == request_id), None)

"""The gateway as it runs: its sandboxes are held off the host and to their disks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.host.loop_device import mounted_from
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle

Make = Callable[..., GatewayProcess]


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "images"
    yield path
    eventually(lambda: mounted_from(path) == [])


def test_a_full_sandbox_hurts_only_itself(images: Path, own_gateway: Make) -> None:
    """By bytes, then by files; deleting takes seconds and leaves nothing."""
    gateway = own_gateway(disk_mb="64", disk_dir=str(images)).start_ready()
    other_id = gateway.create()
    with leak_oracle(gateway):
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as client, connect(gateway, other_id) as other:
            result = client.run("head -c 300M /dev/zero > /tmp/x", within_s=60)
            assert "No space left" in result["error"]
            assert other.output_of("head -c 20M /dev/zero > ~/x; echo well") == "well\n"
            result = client.run("rm /tmp/x; cd; for i in $(seq 9999); do : > $i; done", within_s=60)
            assert "No space left" in result["error"]
        assert len(mounted_from(images)) == 2
        assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=10).status_code == 200
    assert len(mounted_from(images)) == 1


def test_a_killed_gateways_disks_are_found_again(images: Path, own_gateway: Make) -> None:
    """What was written is still there, limited, and goes with the sandbox."""
    gateway = own_gateway(disk_mb="64", disk_dir=str(images)).start_ready()
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("echo kept > ~/x")
    gateway.kill()
    gateway.start_ready()

    with connect(gateway, sandbox_id) as client:
        assert client.output_of("cat ~/x") == "kept\n"
        assert client.run("head -c 300M /dev/zero > /tmp/x", within_s=60)["returncode"] != 0
    assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=10).status_code == 200
    eventually(lambda: mounted_from(images) == [])


def test_nothing_is_created_below_the_floor(images: Path, own_gateway: Make) -> None:
    """A typed answer that says when to come again."""
    free_mb = os.statvfs("/var/lib/docker").f_bavail * 4096 >> 20
    gateway = own_gateway(disk_floor_mb=str(free_mb), disk_dir=str(images)).start()

    answer = gateway.post("/sandboxes")

    assert answer.status_code == 503
    assert answer.json()["code"] == "disk_full"
    assert "Retry-After" in answer.headers
    assert gateway.engine.containers() == {}


def test_the_gateway_itself_is_not_reached(own_gateway: Make) -> None:
    """Also when it listens on all addresses."""
    gateway = own_gateway(host="0.0.0.0", insecure="1").start_ready()
    sandbox_id = gateway.create()
    probe = 'python3 -c \'import socket; socket.create_connection(("%s", %d), 3); print("open")\''
    network = gateway.engine.api.inspect_network("sandbox-gateway")
    bridge = network["IPAM"]["Config"][0]["Gateway"]
    with connect(gateway, sandbox_id) as client:
        result = client.run(probe % (bridge, gateway.port), within_s=20)

    assert result["output"] == ""
    assert "refused" in result["error"]

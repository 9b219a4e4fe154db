"""Addresses, names and disk space run out: a typed answer, nothing half made; then all works."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import shown, stored_state
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

pytestmark = pytest.mark.engine

MakeGateway = Callable[..., GatewayProcess]

STORE_MB = 8


@pytest.fixture
def narrow_network(own_gateway: MakeGateway) -> Iterator[str]:
    """Of eight addresses three are the network's own and the bridge's: five sandboxes fit."""
    api = own_gateway().engine.api
    name = f"narrow-{secrets.token_hex(4)}"
    pool = {"Subnet": "10.213.77.0/29"}
    made = api.create_network(
        name,
        driver="bridge",
        ipam={"Driver": "default", "Config": [pool]},
        options={"com.docker.network.bridge.enable_icc": "false"},
    )
    yield name

    def is_empty() -> bool:
        # The gateway may be removing one of them just now: the engine refuses to, then.
        left = api.inspect_network(made["Id"])["Containers"]
        for container in left:
            with contextlib.suppress(APIError):
                api.remove_container(container, force=True)
        return not left

    eventually(is_empty, within_s=30)
    api.remove_network(made["Id"])


def test_more_sandboxes_than_addresses(own_gateway: MakeGateway, narrow_network: str) -> None:
    """The one that has no address is refused, without a container left over; the next one that
    ends makes its address free."""
    gateway = own_gateway(network=narrow_network).start_ready()
    made: set[str] = set()
    while (answer := gateway.post("/sandboxes")).status_code == 201:
        made.add(answer.json()["sandbox_id"])
        assert len(made) < 8

    assert problem_of(answer, 503)["code"] == "engine_failed"
    assert len(made) >= 5
    assert gateway.listed() == set(gateway.engine.containers()) == made
    for _ in range(2):
        assert gateway.post("/sandboxes").status_code == 503
    assert set(gateway.engine.containers()) == made
    gateway.delete(f"/sandboxes/{made.pop()}")
    sandbox_id = gateway.create()
    assert result_of(gateway, sandbox_id, "echo well")["output"] == "well\n"
    for one in {*made, sandbox_id}:
        gateway.delete(f"/sandboxes/{one}")


def test_somebody_else_has_the_name(own_gateway: MakeGateway) -> None:
    """A foreign container is called what earlier versions would have called a pooled one when it is
    taken: it is not touched, and the sandbox is one all the same."""
    gateway = own_gateway(pool_size="1").start_ready()

    def standing() -> str | None:
        pooled = gateway.engine.pooled()
        return next((one for one in pooled if stored_state(gateway, one) == "pooled"), None)

    taken = eventually(standing, within_s=60)
    api = gateway.engine.api
    image = gateway.engine.inspect(taken)["Image"]
    foreign = api.create_container(image, "true", name=f"sandbox-{taken}")
    try:
        assert gateway.create() == taken
        with connect(gateway, taken) as client:
            assert client.output_of("echo well") == "well\n"
        assert gateway.get("/readyz").status_code == 200
        assert shown(gateway, taken)["status"] == "idle"
        assert gateway.delete(f"/sandboxes/{taken}").status_code == 200
        assert taken not in gateway.engine.containers()
        assert api.inspect_container(foreign["Id"])["State"]["Status"] == "created"
    finally:
        api.remove_container(foreign["Id"], force=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={STORE_MB}m", "tmpfs", str(path)], check=True
    )
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_the_stores_disk_is_full(own_gateway: MakeGateway, small_disk: Path) -> None:
    """What must be noted first is refused with a code, and leaves nothing; who is connected goes
    on. With space again all works, without a restart."""
    gateway = own_gateway(data_dir=str(small_disk)).start_ready()
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo before") == "before\n"
        with (small_disk / "filler").open("wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while filler.write(b"x" * 4096):
                    pass
            refused = [gateway.post("/sandboxes") for _ in range(20)]
            assert {answer.status_code for answer in refused} <= {201, 503}
            problems = [answer for answer in refused if answer.status_code == 503]
            # Some may still find room in the journal's last page.
            assert len(problems) >= 15
            assert {problem_of(one, 503)["code"] for one in problems} == {"store_unavailable"}
            assert gateway.get("/healthz").status_code == 200
            assert client.output_of("echo meanwhile") == "meanwhile\n"
        (small_disk / "filler").unlink()

        eventually(lambda: gateway.post("/sandboxes").status_code == 201, within_s=15)
        assert client.output_of("echo after") == "after\n"
    assert shown(gateway, sandbox_id)["sandbox_id"] == sandbox_id
    eventually(lambda: set(gateway.engine.containers()) == gateway.listed(), within_s=20)

"""Restores at which the engine fails: the sandbox is what it was, or restored, or has ended and
says so; never something between."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from tests.support.clients import connect
from tests.support.engine_proxy import EngineProxy
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import HostRemains, same_snapshots
from tests.support.lifecycle import certificate_of, kinds_of, shown
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProxy]:
    with EngineProxy(tmp_path_factory.mktemp("proxy") / "engine.sock") as made:
        made.open()
        yield made


@pytest.fixture(scope="module")
def image() -> Iterator[tuple[str, Path]]:
    """The name of an image with a layer of its own, and the link by which overlay2 finds that."""
    api = docker.APIClient(version="auto", timeout=120)
    name = f"sandbox-gateway-test:{secrets.token_hex(4)}"
    base = "sandbox-websocket-image"
    made = api.create_container(base, ["true"], labels={"sandbox-test": name})
    try:
        api.start(made)
        api.wait(made)
        repository, tag = name.split(":")
        api.commit(made["Id"], repository, tag, conf=api.inspect_image(base)["Config"])
        data = api.inspect_image(name)["GraphDriver"]["Data"]
        layer = Path(data["UpperDir"]).parent
        yield name, layer.parent / "l" / (layer / "link").read_text()
    finally:
        api.remove_container(made, force=True)
        api.remove_image(name, force=True)
        api.close()


@pytest.fixture(scope="module")
def shared_gateway(
    tmp_path_factory: pytest.TempPathFactory, proxy: EngineProxy, image: tuple[str, Path]
) -> Iterator[GatewayProcess]:
    made = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        engine_url=proxy.url,
        network="none",
        image=image[0],
    )
    try:
        yield made.start_ready()
    finally:
        proxy.heal()
        made.close()


@pytest.fixture
def box(gateway: GatewayProcess, proxy: EngineProxy) -> Iterator[str]:
    """A sandbox with an old file in a snapshot `old`, and a new one in its place."""
    host = HostRemains(gateway.engine.api)
    made = gateway.create(disk_mb=64)
    _output(gateway, made, "echo old > ~/f")
    taken = gateway.post(f"/sandboxes/{made}/snapshots", json={"name": "old"})
    assert taken.status_code == 201, taken.text
    _output(gateway, made, "echo new > ~/f")
    yield made
    proxy.heal()
    gateway.delete(f"/sandboxes/{made}")
    gateway.delete("/snapshots/old")
    eventually(lambda: same_snapshots(gateway))
    eventually(host.nothing_new_is_left, within_s=15, every_s=0.3)


def _output(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    result = result_of(gateway, sandbox_id, command)
    assert result["returncode"] == 0, result
    return str(result["output"]).strip()


def _restore(gateway: GatewayProcess, box: str) -> requests.Response:
    return gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": "old"})


def test_one_that_cannot_be_stopped_goes_on(
    gateway: GatewayProcess, proxy: EngineProxy, box: str
) -> None:
    """With its files and its commands."""
    running = in_background(gateway, box, "while ! test -e ~/go; do sleep 0.05; done; echo on", "r")
    proxy.fail(r"POST \S+/containers/\S+/stop", times=1)

    assert problem_of(_restore(gateway, box), 503)["code"] == "engine_failed"

    assert shown(gateway, box)["status"] in ("idle", "connected")
    assert _output(gateway, box, "cat ~/f; touch ~/go") == "new"
    assert eventually(lambda: finished(gateway, running))["result"]["output"] == "on\n"
    assert "restored" not in kinds_of(gateway, box)
    assert _restore(gateway, box).status_code == 200
    assert _output(gateway, box, "cat ~/f") == "old"


def test_one_that_starts_at_the_second_try_is_restored(
    gateway: GatewayProcess, proxy: EngineProxy, box: str
) -> None:
    """The disks were exchanged: what it would go on with are the snapshot's files, and its clients
    are told."""
    with connect(gateway, box) as client:
        proxy.fail(r"POST \S+/containers/\S+/start", times=1)
        answer = _restore(gateway, box)
        assert answer.status_code == 200, answer.text
        assert client.receive()["type"] == "restored"
        assert client.output_of("cat ~/f") == "old\n"
    assert kinds_of(gateway, box).count("restored") == 1


def test_one_that_does_not_start_any_more_ends(
    gateway: GatewayProcess, proxy: EngineProxy, box: str
) -> None:
    """And its end record says why. The snapshot is there for another."""
    proxy.fail(r"POST \S+/containers/\S+/start")
    assert problem_of(_restore(gateway, box), 503)["code"] == "engine_failed"
    proxy.heal()

    ended = certificate_of(gateway, box)
    assert ended["reason"] == "exited"
    assert "could not be restored" in ended["detail"]
    assert box not in gateway.engine.containers()
    another = gateway.create(snapshot="old")
    assert _output(gateway, another, "cat ~/f") == "old"
    gateway.delete(f"/sandboxes/{another}")


def test_an_image_whose_layers_are_damaged_stops_nothing(
    gateway: GatewayProcess, image: tuple[str, Path], box: str
) -> None:
    """A container that runs does so without; it would not start again."""
    _, link = image
    moved = link.with_name(f"{link.name}-moved")
    pid = gateway.engine.inspect(box)["State"]["Pid"]
    link.rename(moved)
    try:
        assert problem_of(_restore(gateway, box), 503)["code"] == "engine_failed"
        refused = gateway.post("/sandboxes", json={"snapshot": "old"})
        assert refused.status_code >= 400, refused.text
    finally:
        moved.rename(link)
    assert gateway.engine.inspect(box)["State"]["Pid"] == pid
    assert _output(gateway, box, "cat ~/f") == "new"
    assert _restore(gateway, box).status_code == 200
    assert _output(gateway, box, "cat ~/f") == "old"

"""Snapshots where sandboxes have no disks of their own: images of the engine's. The engine is
reached by TCP here, as one on another host is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import docker
import pytest
import requests

from gateway.sandboxes.snapshots.as_images import NAME, REPOSITORY
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.remote_engine import RemoteEngine
from tests.support.rest_commands import result_of

LOSSES = ["user_xattrs", "sockets", "whiteout_names", "holes"]

WITHIN_S = 40.0
"""The housekeeper compares images and store every ten seconds."""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with RemoteEngine() as engine:
        engine.open()
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("remote"), engine_url=engine.url, network="none"
        )
        try:
            yield gateway.start_ready()
        finally:
            gateway.close()
            for image in images_of(gateway):
                gateway_engine().remove_image(image, force=True)


def gateway_engine() -> docker.APIClient:
    return docker.APIClient(version="auto")


def images_of(gateway: GatewayProcess) -> dict[str, str]:
    """The engine's images of a gateway's snapshots: snapshot id by image id."""
    names = SnapshotNames(gateway.instance)
    api = gateway_engine()
    try:
        found = api.images(filters={"label": [NAME]})
        labelled = {one["Id"]: one["Labels"][NAME] for one in found}
    finally:
        api.close()
    return {
        image: snapshot_id
        for image, name in labelled.items()
        for snapshot_id in names.ids_among({name})
    }


def output(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    result = result_of(gateway, sandbox_id, command)
    assert result["returncode"] == 0, result
    return str(result["output"]).strip()


def test_readiness_says_which_way_it_is(remote: GatewayProcess) -> None:
    """An operator sees it before anybody asks for a snapshot."""
    check = remote.get("/readyz").json()["posture"]["snapshots"]
    assert (check["ok"], check["level"]) == (False, "notice")
    assert check["detail"].startswith("commit: ")


def test_readiness_of_a_host_with_disks(gateway: GatewayProcess) -> None:
    """By reference or by copying, as its file system has it."""
    check = gateway.get("/readyz").json()["posture"]["snapshots"]
    assert check["ok"]
    assert check["detail"].partition(":")[0] in ("reflink", "copy")


def test_an_image_is_made_and_its_losses_are_told(remote: GatewayProcess) -> None:
    """A new sandbox has the files, their modes and links; what it lacks stands in the answer, and
    what the first one was given as environment does not come along."""
    box = remote.create(disk_mb=64, env={"SECRET": "hush"}, name="first")
    furnish = (
        "echo one > ~/kept; chmod 600 ~/kept; ln ~/kept ~/hard; mkfifo ~/fifo; rm ~/.bashrc; "
        "touch ~/.wh.x; python3 -c 'import os, socket; "
        'os.setxattr(os.path.expanduser("~/kept"), "user.a", b"b"); '
        'socket.socket(socket.AF_UNIX).bind(os.path.expanduser("~/socket"))\'; echo'
    )
    output(remote, box, furnish)
    answer = remote.post("/sandboxes/first/snapshots", json={"name": "base"})
    assert answer.status_code == 201, answer.text
    snapshot = answer.json()
    assert snapshot["losses"] == LOSSES
    assert snapshot["size_bytes"] > 0
    assert remote.get("/snapshots/base").json() == snapshot
    output(remote, box, "echo two > ~/kept")

    copy = remote.create(snapshot="base")
    look = "cat ~/kept; stat -c '%a %h %U' ~/hard; whoami; ls -A ~; echo [$SECRET]"
    assert output(remote, copy, look).split("\n") == [
        "one",
        "600 2 user",
        "user",
        *sorted(output(remote, copy, "ls -A ~").split("\n")),
        "[]",
    ]
    there = set(output(remote, copy, "ls -A ~").split())
    assert {"kept", "hard", "fifo"} <= there
    assert not {"socket", ".wh.x", ".bashrc"} & there
    assert "hush" not in str(remote.engine.inspect(copy)["Config"])

    # The image stays as long as a sandbox needs it, and no longer.
    assert remote.delete("/snapshots/base").status_code == 204
    assert output(remote, copy, "cat ~/kept") == "one"
    assert problem_of(remote.post("/sandboxes", json={"snapshot": "base"}), 404)
    for one in (box, copy):
        remote.delete(f"/sandboxes/{one}")
    eventually(lambda: images_of(remote) == {}, within_s=WITHIN_S)


def test_forks_are_of_one_moment_and_leave_no_image(remote: GatewayProcess) -> None:
    """Forks of forks as well: layers lie upon each other, and go with their sandboxes."""
    box = remote.create(disk_mb=64)
    output(remote, box, "date +%N > ~/f; sha256sum ~/f > ~/sum")
    answer = remote.post(f"/sandboxes/{box}/fork", json={"count": 2})
    assert answer.status_code == 201, answer.text
    copies = [one["sandbox_id"] for one in answer.json()]
    for copy in copies:
        assert output(remote, copy, "cd; sha256sum -c sum") == f"{homes(remote, box)}/f: OK"
    [again] = [
        one["sandbox_id"] for one in remote.post(f"/sandboxes/{copies[0]}/fork", json={}).json()
    ]
    for one in (box, *copies):
        remote.delete(f"/sandboxes/{one}")
    assert output(remote, again, "cd; sha256sum -c sum") == f"{homes(remote, again)}/f: OK"
    assert remote.get("/snapshots").json() == []
    remote.delete(f"/sandboxes/{again}")
    eventually(lambda: images_of(remote) == {}, within_s=WITHIN_S)


def homes(gateway: GatewayProcess, sandbox_id: str) -> str:
    return output(gateway, sandbox_id, "cd; pwd")


@pytest.mark.parametrize("length_mb", [65, 900])
def test_what_would_be_longer_than_its_disk_is_refused(
    remote: GatewayProcess, length_mb: int
) -> None:
    """Holes are written out to the host's disk: a file of nothing but holes counts in full. The
    sandbox goes on, and nothing is left of it."""
    box = remote.create(disk_mb=64)
    output(remote, box, f"truncate -s {length_mb}M ~/sparse")
    for path in ("snapshots", "fork"):
        answer = remote.post(f"/sandboxes/{box}/{path}", json={})
        problem = problem_of(answer, 422)
        assert problem["code"] == "snapshot_too_large"
        assert "holes included" in problem["detail"]
    assert output(remote, box, "rm ~/sparse; echo well") == "well"
    assert images_of(remote) == {}
    remote.delete(f"/sandboxes/{box}")


def test_there_is_no_restore_of_an_image(remote: GatewayProcess) -> None:
    """It would need another container: the client is told so, and its sandbox is left alone."""
    box = remote.create(disk_mb=64)
    taken = remote.post(f"/sandboxes/{box}/snapshots").json()
    body = {"snapshot": taken["snapshot_id"]}
    problem = problem_of(remote.post(f"/sandboxes/{box}/restore", json=body), 422)
    assert problem["code"] == "feature_missing"
    assert output(remote, box, "echo well") == "well"
    assert remote.delete(f"/snapshots/{taken['snapshot_id']}").status_code == 204
    remote.delete(f"/sandboxes/{box}")


def test_a_killed_gateway_leaves_whole_images_or_none(remote: GatewayProcess) -> None:
    """After each `kill -9` in the middle: what the engine has is what is listed, and the sandbox
    goes on."""
    box = remote.create(disk_mb=64)
    output(remote, box, "head -c 20M /dev/urandom > ~/f; sha256sum ~/f > ~/sum; sync")

    def ask() -> None:
        try:
            remote.post(f"/sandboxes/{box}/snapshots")
        except requests.RequestException:
            return  # it was killed

    def is_whole() -> bool:
        listed = {one["snapshot_id"] for one in remote.get("/snapshots").json()}
        return set(images_of(remote).values()) == listed

    for delay_s in (0.05, 0.2, 0.5):
        asking = threading.Thread(target=ask)
        asking.start()
        until = time.monotonic() + delay_s
        eventually(lambda at=until: time.monotonic() > at, every_s=0.01)
        remote.kill()
        asking.join()
        remote.start_ready()
        eventually(is_whole, within_s=WITHIN_S)
        assert output(remote, box, "sha256sum -c ~/sum").endswith("OK")
    for one in remote.get("/snapshots").json():
        copy = remote.create(snapshot=one["snapshot_id"])
        assert output(remote, copy, "sha256sum -c ~/sum").endswith("OK")
        remote.delete(f"/sandboxes/{copy}")
        remote.delete(f"/snapshots/{one['snapshot_id']}")
    remote.delete(f"/sandboxes/{box}")
    eventually(lambda: images_of(remote) == {}, within_s=WITHIN_S)
    assert REPOSITORY not in str(gateway_engine().images(REPOSITORY))

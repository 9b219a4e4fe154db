"""Snapshots where the host has little: no room, or not the image any more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.image_tag import ImageTag
from tests.support.leak_oracle import HostRemains, snapshot_files
from tests.support.lifecycle import shown
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

MIB = 1024 * 1024
DISK_MB, FLOOR_MB, WRITTEN_MB = 520, 120, 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which has no room for three times what a sandbox writes."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_MB * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_at_the_hosts_floor_nothing_is_copied(
    own_gateway: Callable[..., GatewayProcess], small_disk: Path
) -> None:
    """Neither a snapshot, nor a fork, nor a sandbox of one, nor a restore, which would take as much
    of the host as the sandbox has written: each is refused as a whole, and nothing is left. The
    sandbox goes on, with its commands."""
    gateway = own_gateway(
        disk_dir=str(small_disk), disk_floor_mb=str(FLOOR_MB), network="none"
    ).start_ready()
    host = HostRemains(gateway.engine.api)
    box = gateway.create(disk_mb=2 * WRITTEN_MB)
    first = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "empty"})
    assert first.status_code == 201, first.text
    _write(gateway, box, WRITTEN_MB)
    second = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "large"})
    assert second.status_code == 201, second.text
    assert second.json()["size_bytes"] >= WRITTEN_MB * MIB
    third = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "larger"})
    assert third.status_code == 201, third.text
    pid = gateway.engine.inspect(box)["State"]["Pid"]

    for path, body in (
        (f"/sandboxes/{box}/snapshots", {}),
        (f"/sandboxes/{box}/fork", {"count": 2}),
        (f"/sandboxes/{box}/restore", {"snapshot": "large"}),
        ("/sandboxes", {"snapshot": "large"}),
    ):
        told = problem_of(gateway.post(path, json=body), 503)
        assert told["code"] == "disk_full", path

    assert gateway.listed() == {box}
    assert {one["name"] for one in gateway.get("/snapshots").json()} == {"empty", "large", "larger"}
    assert len(snapshot_files(gateway, small_disk)) == 3
    eventually(host.nothing_new_is_left, within_s=15, every_s=0.3)
    assert shown(gateway, box)["status"] == "idle"
    assert gateway.engine.inspect(box)["State"]["Pid"] == pid
    # What is small still fits, and what was deleted makes room.
    assert gateway.post("/sandboxes", json={"snapshot": "empty"}).status_code == 201
    assert gateway.delete("/snapshots/larger").status_code == 204
    restored = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": "large"})
    assert restored.status_code == 200, restored.text


def _write(gateway: GatewayProcess, sandbox_id: str, count_mb: int) -> None:
    written = result_of(gateway, sandbox_id, f"head -c {count_mb}M /dev/urandom > ~/f; sync")
    assert written["returncode"] == 0, written


def test_the_image_that_a_snapshot_needs_is_kept_until_it_is_deleted(
    own_gateway: Callable[..., GatewayProcess], image: ImageTag
) -> None:
    """Built anew, its older version has no name: `docker image prune` leaves it as long as a
    snapshot needs it, and it goes with the last. A sandbox of the newer one cannot go back to the
    older one's files; where an operator removes it in spite of all, the code that there is for it
    says so."""
    older = image.point_to(1)
    gateway = own_gateway(network="none", images=image.name).start_ready()
    api, look = gateway.engine.api, "echo $GENERATION; cat ~/f"
    box = gateway.create(image=image.name, disk_mb=64)
    assert result_of(gateway, box, "echo x > ~/f")["returncode"] == 0
    for name in ("one", "two"):
        taken = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": name})
        assert taken.status_code == 201, taken.text
    gateway.delete(f"/sandboxes/{box}")
    image.point_to(2)
    [kept] = eventually(lambda: api.inspect_image(older)["RepoTags"], within_s=20)
    assert f":{gateway.instance}." in kept
    api.prune_images({"label": [f"sandbox-test={image.name}"]})

    newer = gateway.create(image=image.name, disk_mb=64)
    refused = gateway.post(f"/sandboxes/{newer}/restore", json={"snapshot": "one"})
    assert problem_of(refused, 409)["code"] == "base_image_changed"
    assert result_of(gateway, newer, look)["output"].startswith("2\n")
    made = gateway.create(snapshot="one")
    assert result_of(gateway, made, look)["output"] == "1\nx\n"
    gateway.delete(f"/sandboxes/{made}")

    taken = gateway.post(f"/sandboxes/{newer}/snapshots", json={"name": "of-newer"})
    assert taken.status_code == 201, taken.text
    for name in ("one", "two"):
        assert gateway.delete(f"/snapshots/{name}").status_code == 204
    eventually(lambda: not api.images(name=kept), within_s=20)
    eventually(lambda: len(api.inspect_image(image.name)["RepoTags"]) == 2, within_s=20)
    for name in api.inspect_image(image.name)["RepoTags"]:
        gateway.delete(f"/sandboxes/{newer}")
        api.remove_image(name)
    refused = gateway.post("/sandboxes", json={"snapshot": "of-newer"})
    assert problem_of(refused, 409)["code"] == "base_image_changed"
    assert gateway.listed() == set(gateway.engine.containers()) == set()
    gateway.delete("/snapshots/of-newer")


@pytest.fixture
def image() -> Iterator[ImageTag]:
    """A name that may be given to another image."""
    tag = ImageTag()
    yield tag
    tag.close()

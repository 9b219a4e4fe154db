"""Snapshots, forks and restores while other things happen to the sandbox: each answer is one of
those that the API names, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import HostRemains, same_snapshots, snapshot_files
from tests.support.lifecycle import shown, stored_state
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of
from tests.support.rounds import rounds

WRITTEN_MB = rounds(192, 1024)
ROUNDS = rounds(3, 20)


@pytest.fixture
def made(gateway: GatewayProcess) -> Iterator[list[str]]:
    """Ids of sandboxes that the test makes: they are removed, and all snapshots. Nothing of the
    test's is left on the host then."""
    host = HostRemains(gateway.engine.api)
    ids: list[str] = []
    yield ids
    for sandbox_id in ids:
        gateway.delete(f"/sandboxes/{sandbox_id}")
    for one in gateway.get("/snapshots").json():
        assert gateway.delete(f"/snapshots/{one['snapshot_id']}").status_code == 204
    eventually(lambda: snapshot_files(gateway) == set())
    eventually(lambda: set(gateway.engine.containers()) == gateway.listed(), within_s=15)
    eventually(host.nothing_new_is_left, within_s=15, every_s=0.3)


@pytest.fixture
def make(gateway: GatewayProcess, made: list[str]) -> Callable[..., str]:
    """Creates sandboxes."""

    def make(**wanted: object) -> str:
        made.append(gateway.create(**wanted))
        return made[-1]

    return make


def _output(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    result = result_of(gateway, sandbox_id, command)
    assert result["returncode"] == 0, result
    return str(result["output"]).strip()


def _at_once(*asks: Callable[[], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(asks)) as threads:
        return [one.result() for one in [threads.submit(ask) for ask in asks]]


def _code(answer: requests.Response) -> str:
    return str(answer.status_code) if answer.ok else str(answer.json()["code"])


def test_while_a_lot_is_written(gateway: GatewayProcess, make: Callable[..., str]) -> None:
    """Each snapshot is whole, what it has of the file is what was written, and the writer notices
    nothing."""
    box = make(disk_mb=2 * WRITTEN_MB + 64)
    line = "0123456789abcdef" * 64
    writing = in_background(
        gateway,
        box,
        f"yes {line} | head -c {WRITTEN_MB}M > ~/large; echo $? $(stat -c %s ~/large)",
        "w",
    )
    size = "stat -c %s ~/large 2>/dev/null || echo 0"
    eventually(lambda: int(_output(gateway, box, size)) > 1 << 20, within_s=10)
    snapshots = []
    for _ in range(2):
        answer = gateway.post(f"/sandboxes/{box}/snapshots")
        assert answer.status_code == 201, answer.text
        snapshots.append(answer.json()["snapshot_id"])
    ended = eventually(lambda: finished(gateway, writing), within_s=120)
    assert ended["result"]["output"].split() == ["0", str(WRITTEN_MB << 20)]

    sizes = []
    for snapshot_id in snapshots:
        copy = make(snapshot=snapshot_id)
        sizes.append(int(_output(gateway, copy, size)))
        # Nothing in it but what was written, and nothing left out in the middle.
        _output(gateway, copy, f"yes {line} | head -c {sizes[-1]} | cmp - ~/large")
    assert 1 << 20 < sizes[0] <= sizes[1] <= WRITTEN_MB << 20


@pytest.mark.parametrize(
    "fill",
    [
        "head -c 300M /dev/zero > ~/large; i=0; while head -c 4096 /dev/zero > ~/small$i; do "
        "i=$((i+1)); done; true",
        "mkdir ~/d; cd ~/d; i=0; while : > $i; do i=$((i+1)); done; true",
    ],
    ids=["of bytes", "of files"],
)
def test_of_a_full_disk(gateway: GatewayProcess, make: Callable[..., str], fill: str) -> None:
    """It can be taken, made into others, and restored, to the last byte and the last file: nothing
    that the gateway notes on the disk takes room that the tenant has had."""
    box = make(disk_mb=64)
    _output(gateway, box, f"({fill}) 2>/dev/null")
    assert result_of(gateway, box, "echo more > ~/more")["returncode"] != 0
    digest = _output(gateway, box, "ls -R ~ | sha256sum")
    taken = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "full"})
    assert taken.status_code == 201, taken.text

    copies = gateway.post(f"/sandboxes/{box}/fork", json={"count": 2}).json()
    copies = [one["sandbox_id"] for one in copies]
    restored = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": "full"})
    assert restored.status_code == 200, restored.text
    for one in (make(snapshot="full"), *copies, box):
        assert _output(gateway, one, "ls -R ~ | sha256sum") == digest
        _output(gateway, one, "rm -r ~/*; echo more > ~/more")
        gateway.delete(f"/sandboxes/{one}")


def test_while_the_sandbox_is_deleted(gateway: GatewayProcess, made: list[str]) -> None:
    """Whoever comes too late is told that there is none; a snapshot that was taken stays."""
    for number in range(ROUNDS):
        box = gateway.create(disk_mb=64)
        made.append(box)
        _output(gateway, box, "head -c 8M /dev/urandom > ~/f")
        base = gateway.post(f"/sandboxes/{box}/snapshots").json()["snapshot_id"]
        path = f"/sandboxes/{box}"
        asks = [
            partial(gateway.post, f"{path}/snapshots"),
            partial(gateway.post, f"{path}/restore", json={"snapshot": base}),
            partial(gateway.post, f"{path}/fork", json={"count": 1}),
        ]
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(asks[number % 3])
            if number % 2:
                eventually(lambda p=path: gateway.get(p).json().get("status") != "idle" or True)
            deleted = gateway.delete(path)
            answer = asked.result()
        assert deleted.status_code == 200, deleted.text
        assert _code(answer) in ("200", "201", "sandbox_not_found"), answer.text
        if number % 3 == 2 and answer.ok:
            made.extend(one["sandbox_id"] for one in answer.json() if "sandbox_id" in one)
        problem_of(gateway.get(path), 404)
        eventually(lambda: same_snapshots(gateway), within_s=15)
    disk = gateway.get("/readyz").json()["posture"]["disk"]
    assert disk["ok"], disk


def test_while_it_is_paused_resumed_and_restored(
    gateway: GatewayProcess, make: Callable[..., str]
) -> None:
    """Whatever comes first, each is done whole or refused as busy, and the sandbox works."""
    box = make(disk_mb=64)
    _output(gateway, box, "echo old > ~/f")
    assert gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "old"}).status_code == 201
    path = f"/sandboxes/{box}"
    asks = [
        partial(gateway.post, f"{path}/pause"),
        partial(gateway.post, f"{path}/restore", json={"snapshot": "old"}),
        partial(gateway.post, f"{path}/snapshots"),
        partial(gateway.post, f"{path}/resume"),
        partial(gateway.post, f"{path}/restore", json={"snapshot": "old"}),
    ]
    for number in range(ROUNDS):
        _output(gateway, box, "echo new > ~/f")
        answers = _at_once(*asks[number % 5 :], *asks[: number % 5])
        codes = {_code(answer) for answer in answers}
        assert codes <= {"200", "201", "sandbox_busy"}, [answer.text for answer in answers]
        restored = [a for a in answers if a.request.path_url.endswith("/restore")]
        assert any(answer.ok for answer in restored)
        assert _output(gateway, box, "cat ~/f") == "old"
        assert shown(gateway, box)["status"] in ("idle", "connected")


def test_a_second_restore_meanwhile_is_refused(
    gateway: GatewayProcess, make: Callable[..., str]
) -> None:
    """It does not wait for the first, whichever worker is asked; what else comes waits."""
    box = make(disk_mb=256)
    _output(gateway, box, "head -c 150M /dev/zero | tr '\\0' x > ~/large; echo old > ~/f; sync")
    assert gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "large"}).status_code == 201
    restore = partial(gateway.post, f"/sandboxes/{box}/restore", json={"snapshot": "large"})
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(restore)
        eventually(lambda: stored_state(gateway, box) == "held", within_s=5, every_s=0.002)
        second = restore()
        command = threads.submit(_output, gateway, box, "cat ~/f")
        assert problem_of(second, 409)["code"] == "sandbox_busy"
        assert first.result().status_code == 200
        assert command.result() == "old"


def test_of_one_that_is_paused(gateway: GatewayProcess, make: Callable[..., str]) -> None:
    """It is forked, and stays paused; a restore lets it run."""
    box = make(disk_mb=64)
    _output(gateway, box, "echo old > ~/f")
    assert gateway.post(f"/sandboxes/{box}/pause").status_code == 200
    [copy] = gateway.post(f"/sandboxes/{box}/fork", json={"count": 1}).json()
    assert shown(gateway, box)["status"] == "paused"
    assert _output(gateway, copy["sandbox_id"], "cat ~/f") == "old"
    gateway.delete(f"/sandboxes/{copy['sandbox_id']}")
    snapshot = gateway.post(f"/sandboxes/{box}/snapshots").json()["snapshot_id"]
    assert shown(gateway, box)["status"] == "paused"
    restored = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": snapshot})
    assert restored.json()["status"] == "idle"
    assert not gateway.engine.inspect(box)["State"]["Paused"]
    assert _output(gateway, box, "cat ~/f") == "old"


def test_of_snapshots_with_the_same_name_exactly_one_is_made(
    gateway: GatewayProcess, make: Callable[..., str]
) -> None:
    """Also by two sandboxes, and two workers, at once."""
    boxes = [make(disk_mb=64), make(disk_mb=64)]
    ask = [
        partial(gateway.post, f"/sandboxes/{one}/snapshots", json={"name": "same"})
        for one in boxes * 3
    ]
    answers = _at_once(*ask)
    assert sorted(map(_code, answers)) == ["201", *["name_taken"] * 5]
    [won] = [answer.json() for answer in answers if answer.ok]
    assert gateway.get("/snapshots").json() == [won]
    assert same_snapshots(gateway)


def _damage(gateway: GatewayProcess, snapshot_id: str, how: str) -> None:
    places = Path(gateway.engine.api.info()["DockerRootDir"]) / "sandbox-gateway" / "snapshots"
    [file] = places.glob(f"*-{snapshot_id}.ext4")
    if how == "removed":
        file.unlink()
    else:
        with file.open("r+b") as damaged:
            damaged.write(bytes(1 << 16))


@pytest.mark.parametrize(
    ("how", "code"), [("removed", "snapshot_not_found"), ("overwritten", "host_tool_failed")]
)
def test_a_restore_that_fails_leaves_the_sandbox_as_it_was(
    gateway: GatewayProcess, make: Callable[..., str], how: str, code: str
) -> None:
    """Its files, its commands, its clients: what the snapshot's file is shows before anything is
    stopped. Creates of it are refused in the same way."""
    box = make(disk_mb=64)
    taken = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": f"bad-{how}"}).json()
    _output(gateway, box, "echo new > ~/f")
    running = in_background(gateway, box, "while ! test -e ~/go; do sleep 0.05; done; echo on", "r")
    began = shown(gateway, box)
    pid = gateway.engine.inspect(box)["State"]["Pid"]
    _damage(gateway, taken["snapshot_id"], how)

    for path, body in (
        (f"/sandboxes/{box}/restore", {"snapshot": taken["snapshot_id"]}),
        ("/sandboxes", {"snapshot": taken["snapshot_id"]}),
    ):
        answer = gateway.post(path, json=body)
        assert _code(answer) == code, answer.text

    assert shown(gateway, box)["status"] == began["status"]
    assert gateway.engine.inspect(box)["State"]["Pid"] == pid
    assert _output(gateway, box, "cat ~/f; touch ~/go") == "new"
    assert eventually(lambda: finished(gateway, running))["result"]["output"] == "on\n"
    again = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": f"good-{how}"})
    assert again.status_code == 201, again.text
    restored = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": f"good-{how}"})
    assert restored.status_code == 200, restored.text


def test_a_file_system_in_a_file_of_the_sandbox_stays_a_file(
    gateway: GatewayProcess, make: Callable[..., str]
) -> None:
    """A tenant can neither mount one, nor reach the disk below its own files, nor make a device or
    a loop over it: so what the host mounts for a fork was written by the host's kernel alone."""
    box = make(disk_mb=64)
    _output(
        gateway,
        box,
        "head -c 4M /dev/urandom > ~/image; printf '\\123\\357' | dd of=~/image bs=1 seek=1080 "
        "conv=notrunc 2>/dev/null; sha256sum ~/image > ~/sum",
    )
    attempts = [
        "mount -t ext4 ~/image ~/m",
        "mount --bind / ~/m",
        "unshare -rm mount -t tmpfs none ~/m",
        "mknod ~/dev b 7 0",
        "cat /dev/loop0",
        "cat /dev/loop-control",
        "chattr +i ~/image",
    ]
    tried = "; ".join(f"({one}) 2>/dev/null; echo $?" for one in attempts)
    assert "0" not in _output(gateway, box, f"mkdir ~/m; {tried}").split()
    assert _output(gateway, box, "ls -A ~/m; ls /dev | grep -c loop || true") == "0"
    [copy] = gateway.post(f"/sandboxes/{box}/fork", json={"count": 1}).json()
    assert _output(gateway, copy["sandbox_id"], "sha256sum -c ~/sum").endswith("OK")
    for one in (box, copy["sandbox_id"]):
        layer = gateway.engine.inspect(one)["GraphDriver"]["Data"]["UpperDir"].removesuffix("/diff")
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        [options] = [line.split()[5] for line in mounts if line.split()[4] == layer]
        assert {"nosuid", "nodev"} <= set(options.split(","))
    gateway.delete(f"/sandboxes/{copy['sandbox_id']}")

"""What happens to files is told as it does, over a WebSocket and as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.clients import connect
from tests.support.events import EventStream
from tests.support.eventually import always, eventually
from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess

HOME = "/home/user"


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


class Watch:
    """A watch that is armed."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        assert receive() == {"type": "watching"}

    def until(self, path: str, kind: str = "removed") -> list[tuple[str, ...]]:
        """(event, path, to) of all that is told before this one."""
        told = []
        while True:
            event = self._receive()
            if event.get("path") == path and event["event"] == kind:
                return told
            ends = [event[name] for name in ("path", "to") if name in event]
            told.append((event.get("event", event["type"]), *ends))


@contextmanager
def watching(files: SandboxFiles, path: str, recursive: bool = False) -> Iterator[Watch]:
    query = f"watch?path={path}&recursive={str(recursive).lower()}"
    with connect(files.gateway, f"{files.sandbox_id}/{query}") as connection:
        yield Watch(lambda: json.loads(connection.client.receive_text()))


def test_a_new_file_is_created_then_written(files: SandboxFiles) -> None:
    """In order, as the contract says, and each of the other kinds."""
    base = f"{HOME}/w1"
    files.shell("mkdir -p w1; touch w1/end")
    with watching(files, "w1") as watch:
        files.shell(
            "cd w1; echo 1 > a; chmod 600 a; mv a b; rm b; mkdir d; echo 2 > d/unseen; "
            "mv d /tmp/d-out; mv /tmp/d-out d; rm end"
        )
        told = watch.until(f"{base}/end")

    assert told == [
        ("created", f"{base}/a"),
        ("written", f"{base}/a"),
        ("attributes", f"{base}/a"),
        ("renamed", f"{base}/a", f"{base}/b"),
        ("removed", f"{base}/b"),
        ("created", f"{base}/d"),
        ("removed", f"{base}/d"),
        ("created", f"{base}/d"),
    ]


def test_the_gateways_own_writes_have_no_temporary_names(files: SandboxFiles) -> None:
    """Whoever watches sees files, small and large, new and replaced, and unpacked ones."""
    base = f"{HOME}/w2"
    files.put("w2/old", b"1")
    files.put("w2/end", b"1")
    with watching(files, "w2", recursive=True) as watch:
        files.put("w2/new", b"1")
        files.put("w2/old", b"2")
        files.put("w2/large", bytes(1_000_000))
        files.put("w2/sub/below", b"3")
        files.post("copy", **{"from": "w2/sub", "to": "w2/copied"})
        files.delete("w2/end")
        told = watch.until(f"{base}/end")

    kinds = {path: [event[0] for event in told if event[1] == path] for _, path, *_ in told}
    assert set(kinds) >= {f"{base}/{n}" for n in ("new", "old", "large", "sub", "sub/below")}
    assert not [path for path in kinds if ".sgw" in path or "#" in path]
    assert kinds[f"{base}/new"][0] == "created"
    assert kinds[f"{base}/old"] == ["written"]
    assert f"{base}/copied" in kinds


def test_new_directories_are_watched_too(files: SandboxFiles) -> None:
    """What is in them before the watch sees them is told all the same, and names follow moves."""
    base = f"{HOME}/w3"
    files.shell("mkdir -p w3; touch w3/end")
    with watching(files, "w3", recursive=True) as watch:
        files.shell(
            "cd w3; mkdir -p a/b/c; for i in $(seq 50); do echo $i > a/b/c/$i; done; mv a z; "
            "sleep 0.2; echo x > z/b/c/last; rm end"
        )
        told = watch.until(f"{base}/end")

    # Which came before the directory was moved and which after depends on who was faster.
    created = {event[1].replace("/z/", "/a/") for event in told if event[0] == "created"}
    assert {f"{base}/a/b/c/{n}" for n in range(1, 51)} <= created
    assert ("renamed", f"{base}/a", f"{base}/z") in told
    assert told[-2:] == [("created", f"{base}/z/b/c/last"), ("written", f"{base}/z/b/c/last")]


def test_of_10_000_files_none_is_lost(files: SandboxFiles) -> None:
    """Or it is told that some were."""
    files.shell(
        "mkdir -p w4; cd w4; for d in $(seq 100); do mkdir $d; (cd $d; seq 100 | xargs touch); "
        "done; touch end"
    )
    with watching(files, "w4", recursive=True) as watch:
        files.shell("for f in w4/*/*; do echo x > $f; done; rm w4/end")
        told = watch.until(f"{HOME}/w4/end")

    written = {event[1] for event in told if event[0] == "written"}
    assert len(written) == 10_000 or ("overflow",) in told
    assert len(written) > 1000
    files.delete("w4", recursive="true")


def test_a_watch_stands_through_a_pause(files: SandboxFiles) -> None:
    """It does not resume the sandbox, and goes on with it: nothing is lost or told as lost."""
    files.post("mkdir", path="w7", parents=True)
    with watching(files, "w7") as watch:
        files.shell("touch w7/before")
        assert files.gateway.post(f"/sandboxes/{files.sandbox_id}/pause").status_code == 200
        always(lambda: files.gateway.status_of(files.sandbox_id) == "paused", for_s=2.5)
        files.shell("touch w7/after; rm w7/after")
        told = watch.until(f"{HOME}/w7/after")

    created = [event[1] for event in told if event[0] == "created"]
    assert created == [f"{HOME}/w7/before", f"{HOME}/w7/after"]


def test_one_file_is_watched(files: SandboxFiles) -> None:
    """Also when it is replaced by another one, as editors do."""
    path = f"{HOME}/w5/file"
    files.put(path, b"1")
    with watching(files, "w5/file") as watch:
        files.shell("cd w5; echo other > other; echo 2 >> file; mv other file; rm file")
        told = watch.until(path)

    assert told == [("written", path), ("renamed", f"{HOME}/w5/other", path)]


def test_the_same_as_server_sent_events(files: SandboxFiles) -> None:
    """For clients without WebSockets, with the facts of the file."""
    files.post("mkdir", path="w6", parents=True)
    with EventStream(files.gateway, "GET", files.address("w6", "/watch")) as stream:
        events = iter(stream)
        assert next(events).kind == "watching"
        files.put("w6/a", b"123")
        event = next(events)

    assert event.kind == "file_event"
    assert (event.message["event"], event.message["path"]) == ("created", f"{HOME}/w6/a")
    assert event.message["stat"]["size"] == 3


def test_a_watch_that_cannot_be_is_refused(files: SandboxFiles) -> None:
    """By a status, as everything else."""
    assert code_of(files.get("not-there", "/watch"), 404) == "path_not_found"
    assert code_of(files.get("", "/watch"), 422) == "bad_path"
    assert code_of(files.get(".", "/watch", query={"recursive": "x"}), 422) == "invalid_fields"


def test_watches_of_a_sandbox_are_bounded(files: SandboxFiles) -> None:
    """Instances of inotify are shared by all users' programs on a host. Closed ones are free."""
    open_ones: list[EventStream] = []
    try:
        while len(open_ones) < 17:
            one = EventStream(files.gateway, "GET", files.address(".", "/watch"))
            if one.answer.status_code != 200:
                break
            open_ones.append(one)
        assert code_of(one.answer, 429) == "too_many_watches"
        assert len(open_ones) >= 8
    finally:
        for one in open_ones:
            one.answer.close()
    eventually(lambda: _can_watch(files), within_s=10)


def _can_watch(files: SandboxFiles) -> bool:
    stream = EventStream(files.gateway, "GET", files.address(".", "/watch"))
    stream.answer.close()
    return stream.answer.status_code == 200

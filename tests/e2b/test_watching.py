"""E2B's watches on the wire: as a stream, and asked for what they have seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.support.e2b_envd import Envd, enveloped, messages_of
from tests.support.eventually import eventually
from tests.support.files import SandboxFiles
from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def envd(shared_gateway: GatewayProcess, module_sandbox: str) -> Envd:
    return Envd(shared_gateway, module_sandbox)


@pytest.fixture(scope="module")
def inside(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def seen(envd: Envd, name: str) -> list[tuple[str, str]]:
    events = envd.said("GetWatcherEvents", watcherId=name)["events"]
    return [(one["name"], one["type"].removeprefix("EVENT_TYPE_")) for one in events]


@contextmanager
def watching(envd: Envd, path: str, **asked: Any) -> Iterator[Iterator[Any]]:
    """The messages of a stream after its start."""
    headers = {**envd.headers, "Content-Type": "application/connect+json"}
    headers |= asked.pop("headers", {})
    with envd.gateway.post(
        "/filesystem.Filesystem/WatchDir",
        data=enveloped({"path": path, **asked}),
        headers=headers,
        stream=True,
        timeout=30,
    ) as answer:
        assert answer.headers["Content-Type"] == "application/connect+json"
        messages = messages_of(answer)
        assert next(messages) == (0, {"start": {}})
        yield messages


def test_a_watcher_is_asked_at_any_worker(envd: Envd, inside: SandboxFiles) -> None:
    """Right after an upload it has seen exactly that; each event is told once. The gateway has two
    workers, and each question takes a connection of its own."""
    envd.said("MakeDir", path="kept/d")
    name = envd.said("CreateWatcher", path="kept", recursive=True)["watcherId"]
    assert seen(envd, name) == []

    for number in range(4):
        envd.put(f"kept/{number}", b"1", **({"X-Metadata-a": "b"} if number else {}))
        assert seen(envd, name) == [
            (str(number), "CREATE"),
            (str(number), "CHMOD"),
            (str(number), "WRITE"),
        ]
    envd.put("kept/0", b"2")
    envd.put("kept/d/e", b"3")
    assert seen(envd, name) == [
        *[("0", "WRITE"), ("0", "CHMOD"), ("0", "WRITE")],
        *[("d/e", "CREATE"), ("d/e", "CHMOD"), ("d/e", "WRITE")],
    ]
    envd.said("Move", source="kept/0", destination="kept/moved")
    envd.said("Remove", path="kept/d")
    assert seen(envd, name) == [
        *[("0", "RENAME"), ("moved", "CREATE"), ("d/e", "REMOVE"), ("d", "REMOVE")]
    ]

    assert envd.said("RemoveWatcher", watcherId=name) == {}
    assert envd.refused("GetWatcherEvents", watcherId=name) == (404, "not_found")
    assert envd.refused("RemoveWatcher", watcherId=name) == (404, "not_found")


def test_entries_come_where_they_are_asked_for(envd: Envd) -> None:
    """And with what is there only."""
    envd.said("MakeDir", path="entries")
    name = envd.said("CreateWatcher", path="entries", includeEntry=True)["watcherId"]
    envd.put("entries/f", b"12345")
    events = envd.said("GetWatcherEvents", watcherId=name)["events"]
    envd.said("Remove", path="entries/f")
    [removed] = envd.said("GetWatcherEvents", watcherId=name)["events"]

    assert events[-1]["entry"]["path"] == "/home/user/entries/f"
    assert events[-1]["entry"]["size"] == "5"
    assert removed == {"name": "f", "type": "EVENT_TYPE_REMOVE"}
    envd.said("RemoveWatcher", watcherId=name)


def test_a_stream_tells_as_it_happens(envd: Envd, inside: SandboxFiles) -> None:
    """Recursive or not; each in an envelope of its own."""
    envd.said("MakeDir", path="stream/d")
    with watching(envd, "stream") as flat, watching(envd, "stream", recursive=True) as deep:
        envd.put("stream/new", b"1")
        for messages in (flat, deep):
            for kind in ("CREATE", "CHMOD", "WRITE"):
                told = {"name": "new", "type": f"EVENT_TYPE_{kind}"}
                assert next(messages) == (0, {"filesystem": told})
        inside.shell("mkdir -p stream/later/below; echo 1 > stream/later/below/f")
        inside.shell("touch stream/d/unseen; rmdir stream/none 2>&1; mkdir stream/end")

        def names(messages: Iterator[Any]) -> list[str]:
            found = []
            for _, message in messages:
                found.append(message["filesystem"]["name"])
                if found[-1] == "end":
                    return found
            raise AssertionError(found)

        assert names(flat) == ["later", "end"]
        assert {"later/below/f", "d/unseen"} <= set(names(deep))


def test_a_silent_stream_says_that_it_is_there(envd: Envd) -> None:
    """As often as the client asks for, and to its deadline."""
    envd.said("MakeDir", path="silent")
    asked = {"Keepalive-Ping-Interval": "1", "Connect-Timeout-Ms": "2500"}
    with watching(envd, "silent", headers=asked) as messages:
        told = list(messages)

    assert told[:2] == [(0, {"keepalive": {}})] * 2
    assert told[-1][0] == 2
    assert told[-1][1]["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"path": "none"}, "not_found"),
        ({"path": "/etc/passwd"}, "invalid_argument"),
        ({"path": ".", "recursive": 1}, "invalid_argument"),
        ({"path": 1}, "invalid_argument"),
        ({"path": "/root"}, "permission_denied"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(envd: Envd, message: Any, code: str) -> None:
    """At the beginning of the stream, or in the place of one."""
    answer = envd.gateway.post(
        "/filesystem.Filesystem/WatchDir",
        data=enveloped(message),
        headers={**envd.headers, "Content-Type": "application/connect+json"},
        stream=True,
    )
    assert error_of(answer) == code


def error_of(answer: requests.Response) -> str:
    if answer.status_code != 200:
        return json.loads(answer.content)["code"]
    [(flags, message)] = messages_of(answer)
    assert flags == 2
    return message["error"]["code"]


def test_watches_that_nobody_reads_are_bounded(envd: Envd, inside: SandboxFiles) -> None:
    """Both kinds; what was lost is told, and a client that hangs up frees its place."""
    envd.said("MakeDir", path="bounded")
    names = [envd.said("CreateWatcher", path="bounded")["watcherId"] for _ in range(32)]
    assert envd.refused("CreateWatcher", path="bounded") == (429, "resource_exhausted")
    inside.shell("cd bounded; seq 12000 | xargs touch")
    assert envd.refused("GetWatcherEvents", watcherId=names[0]) == (429, "resource_exhausted")
    assert 0 < len(seen(envd, names[0])) <= 10_000
    for name in names:
        envd.said("RemoveWatcher", watcherId=name)

    for _ in range(20):
        with watching(envd, "bounded"):
            pass
    eventually(lambda: _can_watch(envd), within_s=10)


def _can_watch(envd: Envd) -> bool:
    with watching(envd, "bounded"):
        return True

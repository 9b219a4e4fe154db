"""`checkpoint`: a snapshot before a command, by which it is undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import events_of
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, result_of, run
from tests.support.rounds import rounds

pytestmark = pytest.mark.engine

UNDONE = rounds(6, 20)


def restore(gateway: GatewayProcess, sandbox_id: str, checkpoint: str) -> None:
    answer = gateway.post(f"/sandboxes/{sandbox_id}/restore", json={"snapshot": checkpoint})
    assert answer.status_code == 200, answer.text


def test_each_command_is_undone(gateway: GatewayProcess, sandbox: str) -> None:
    """Time and again: everything is there as it was, whatever the command has destroyed."""
    digest = "cd; find . -printf '%p %m %T@ %s\\n' | sort | sha256sum; cat d/*/f | sha256sum"
    result_of(gateway, sandbox, "for n in $(seq 20); do mkdir -p d/$n; echo $n > d/$n/f; done")
    before = result_of(gateway, sandbox, digest)["output"]
    for number in range(UNDONE):
        destroy = (
            "rm -rf ~/d ~/.bashrc",
            "find ~/d -type f | xargs chmod 0",
            "for f in d/*/f; do echo > $f; done",
        )
        destroyed = result_of(gateway, sandbox, destroy[number % 3], checkpoint=True)
        assert destroyed["returncode"] == 0, destroyed
        assert result_of(gateway, sandbox, digest)["output"] != before
        restore(gateway, sandbox, destroyed["checkpoint"])
        assert result_of(gateway, sandbox, digest)["output"] == before
        gateway.delete(f"/snapshots/{destroyed['checkpoint']}")


def streamed(gateway: GatewayProcess, sandbox: str, **fields: object) -> dict:
    """The result of a command by server-sent events."""
    answer = run(gateway, sandbox, "echo x > ~/x", stream=True, **fields)
    assert answer.status_code == 200, answer.text
    last = answer.text.strip().split("\n\n")[-1]
    return dict(json.loads(last.split("data: ", 1)[1]))


def by_websocket(gateway: GatewayProcess, sandbox: str, **fields: object) -> dict:
    with connect(gateway, sandbox) as client:
        return client.run("echo x > ~/x", **fields)


def by_streaming_websocket(gateway: GatewayProcess, sandbox: str, **fields: object) -> dict:
    with connect(gateway, sandbox) as client:
        client.ask("echo x > ~/x", stream=True, **fields)
        while (message := client.receive()).get("type") != "result":
            assert message["type"] != "error", message
        return message


def by_rest(gateway: GatewayProcess, sandbox: str, **fields: object) -> dict:
    return result_of(gateway, sandbox, "echo x > ~/x", **fields)


def in_the_background(gateway: GatewayProcess, sandbox: str, **fields: object) -> dict:
    answer = run(gateway, sandbox, "echo x > ~/x", background=True, **fields)
    assert answer.status_code == 202, answer.text
    address = answer.headers["Location"]
    ended = eventually(lambda: finished(gateway, address), within_s=20)
    assert ended["result"].get("checkpoint") == answer.json().get("checkpoint")
    return dict(ended["result"])


WAYS = [by_rest, streamed, in_the_background, by_websocket, by_streaming_websocket]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("session", [None, "s"])
def test_whichever_way_it_is_asked_for(
    gateway: GatewayProcess, module_sandbox: str, way: Callable[..., dict], session: str | None
) -> None:
    """The result names it, and so does who asks later; it is listed, without a name, and there is
    an event of it."""
    result_of(gateway, module_sandbox, "rm -f ~/x")
    more = {} if session is None else {"session": session}
    request_id = f"{way.__name__}-{session}"
    result = way(gateway, module_sandbox, checkpoint=True, request_id=request_id, **more)
    assert result["returncode"] == 0, result
    checkpoint = result["checkpoint"]

    shown = gateway.get(f"/snapshots/{checkpoint}").json()
    assert (shown["name"], shown["kind"]) == (None, "checkpoint")
    assert shown in gateway.get(f"/snapshots?sandbox_id={module_sandbox}").json()
    again = gateway.get(f"/sandboxes/{module_sandbox}/commands/{request_id}").json()["result"]
    assert again["checkpoint"] == checkpoint
    [event] = [
        one for one in events_of(gateway, module_sandbox) if one.get("snapshot_id") == checkpoint
    ]
    assert (event["event"], event["kind"]) == ("snapshot", "checkpoint")
    found = gateway.get(f"/sandboxes/{module_sandbox}/changes?since={checkpoint}").json()
    assert found["added"] == ["/home/user/x"]
    gateway.delete(f"/snapshots/{checkpoint}")


def test_what_is_sent_again_names_the_same(gateway: GatewayProcess, sandbox: str) -> None:
    """With `once`, also by several at the same time: nothing runs twice, and nothing is taken
    twice."""
    fields = {"request_id": "key", "once": True, "checkpoint": True, "changes": True}
    with ThreadPoolExecutor(3) as threads:
        command = "echo x >> ~/x; sleep 0.3"
        asked = [threads.submit(result_of, gateway, sandbox, command, **fields) for _ in range(3)]
        results = [one.result() for one in asked]
    results.append(streamed(gateway, sandbox, **fields))
    results.append(by_websocket(gateway, sandbox, **fields))
    assert len({one["checkpoint"] for one in results}) == 1
    assert [one["changes"]["added"] for one in results] == [["/home/user/x"]] * 5
    assert result_of(gateway, sandbox, "cat ~/x")["output"] == "x\n"
    [kept] = gateway.get(f"/snapshots?sandbox_id={sandbox}").json()
    assert kept["snapshot_id"] == results[0]["checkpoint"]


def test_it_stays_in_the_record_of_the_sandbox(gateway: GatewayProcess) -> None:
    """With the last commands, of which others have none."""
    sandbox = gateway.create()
    checkpoint = result_of(gateway, sandbox, "true", checkpoint=True)["checkpoint"]
    result_of(gateway, sandbox, "false")
    gateway.delete(f"/sandboxes/{sandbox}")
    ended = problem_of(gateway.get(f"/sandboxes/{sandbox}"), 404)["ended"]
    assert [one.get("checkpoint") for one in ended["last_commands"]] == [checkpoint, None]
    assert gateway.get(f"/snapshots/{checkpoint}").status_code == 200
    gateway.delete(f"/snapshots/{checkpoint}")


def test_the_oldest_make_room_and_kept_ones_do_not(own_gateway) -> None:
    """At the owner's limit the oldest checkpoint goes; where all are kept, the command is refused
    and does not run."""
    gateway = own_gateway(pool_size="0", max_snapshots="2", workers="1").start_ready()
    box = gateway.create()
    first, second, third = (
        result_of(gateway, box, "true", checkpoint=True)["checkpoint"] for _ in range(3)
    )
    assert gateway.get(f"/snapshots/{first}").status_code == 404
    listed = [one["snapshot_id"] for one in gateway.get("/snapshots").json()]
    assert listed == [second, third]

    for name in ("one", "two"):
        assert gateway.post(f"/sandboxes/{box}/snapshots", json={"name": name}).status_code == 201
    refused = run(gateway, box, "touch ~/ran", checkpoint=True)
    assert problem_of(refused, 429)["code"] == "too_many_snapshots"
    with connect(gateway, box) as client:
        told = client.run("touch ~/ran", checkpoint=True)
        assert (told["type"], told["code"]) == ("error", "too_many_snapshots")
        assert client.output_of("ls ~") == ""


@pytest.mark.parametrize("field", ["checkpoint", "changes"])
def test_where_there_is_no_disk_the_command_does_not_run(
    gateway: GatewayProcess, strict: str, field: str
) -> None:
    """Over REST, in all its forms, and over WebSockets."""
    for more in ({}, {"background": True}, {"stream": True}, {"session": "s"}):
        answer = run(gateway, strict, "touch ~/ran", **more, **{field: True})
        if more == {"stream": True}:
            assert '"code":"feature_missing"' in answer.text
        else:
            assert problem_of(answer, 422)["code"] == "feature_missing"
    with connect(gateway, strict) as client:
        for stream in (False, True):
            client.ask("touch ~/ran", stream=stream, **{field: True})
            assert client.receive()["code"] == "feature_missing"
        assert client.output_of("ls ~") == ""


@pytest.fixture(scope="module")
def strict(shared_gateway: GatewayProcess) -> object:
    """A sandbox without a disk of its own."""
    made = shared_gateway.create(isolation="strict")
    yield made
    shared_gateway.delete(f"/sandboxes/{made}")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_they_are_true_or_false(
    gateway: GatewayProcess, module_sandbox: str, value: object
) -> None:
    """Anything else is refused by name."""
    for field in ("checkpoint", "changes"):
        problem = problem_of(run(gateway, module_sandbox, "true", **{field: value}), 422)
        assert problem["errors"][0]["loc"] == [field]

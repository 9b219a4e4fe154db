"""`changes`: what the file system gained and lost while a command ran."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.commands.test_checkpoints import WAYS
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import finished, in_background, result_of, run

pytestmark = pytest.mark.engine

NOTHING = {
    "added": [],
    "modified": [],
    "deleted": [],
    "counts": {"added": 0, "modified": 0, "deleted": 0},
    "truncated": False,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whichever_way_it_is_asked_for(
    gateway: GatewayProcess, module_sandbox: str, way: Callable[..., dict]
) -> None:
    """The result has them, and so has what is asked for later, at any worker."""
    result_of(gateway, module_sandbox, "rm -f ~/x")
    result = way(gateway, module_sandbox, changes=True, request_id=way.__name__)
    assert result["changes"]["added"] == ["/home/user/x"]
    assert result["changes"]["counts"] == {"added": 1, "modified": 0, "deleted": 0}
    assert "checkpoint" not in result
    address = f"/sandboxes/{module_sandbox}/commands/{way.__name__}"
    for _ in range(6):
        assert gateway.get(address).json()["result"]["changes"] == result["changes"]
    with connect(gateway, module_sandbox) as client:
        client.send({"type": "attach", "request_id": way.__name__})
        while (message := client.receive()).get("type") != "result":
            pass
        assert message["changes"] == result["changes"]


@pytest.mark.parametrize(
    ("command", "fields", "returncode"),
    [
        ("true", {}, 0),
        ("exit 3", {}, 3),
        ("cat ~/.bashrc; ls -R / > /dev/null 2>&1; true", {}, 0),
        ("exec 3> ~/t; rm ~/t; echo x >&3", {}, 0),
        ("echo x", {"session": "s"}, 0),
        ("tty", {"tty": {"cols": 80, "rows": 24}}, 0),
        ("cat", {"stdin": "x\n", "max_output_bytes": 0}, 0),
        ("head -c 300000 /dev/zero | base64 -w 70", {}, 0),
    ],
)
def test_who_changes_nothing_is_told_nothing(
    gateway: GatewayProcess, module_sandbox: str, command: str, fields: dict, returncode: int
) -> None:
    """Whatever the agent and the shell do for themselves."""
    result = result_of(gateway, module_sandbox, command, changes=True, **fields)
    assert result["returncode"] == returncode, result
    assert result["changes"] == NOTHING


def test_a_command_without_the_field_tells_none(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Its result has the seven keys, and no more."""
    assert len(result_of(gateway, module_sandbox, "touch ~/y; rm ~/y", changes=False)) == 7


def test_a_command_that_is_ended_is_told_of(gateway: GatewayProcess, module_sandbox: str) -> None:
    """By its timeout, and by a signal."""
    command = "touch ~/timed; sleep 60"
    result = result_of(gateway, module_sandbox, command, changes=True, timeout=0.5)
    assert (result["timed_out"], result["changes"]["added"]) == (True, ["/home/user/timed"])

    address = in_background(
        gateway, module_sandbox, "touch ~/killed; sleep 60", "killed", changes=True
    )
    eventually(
        lambda: "killed" in result_of(gateway, module_sandbox, "ls ~")["output"], within_s=10
    )
    assert gateway.post(f"{address}/signal", json={"signal": "KILL"}).status_code == 204
    ended = eventually(lambda: finished(gateway, address), within_s=10)
    assert ended["result"]["returncode"] == 137
    assert ended["result"]["changes"]["added"] == ["/home/user/killed"]


def test_of_two_at_once_each_shows_in_both(gateway: GatewayProcess, module_sandbox: str) -> None:
    """It is the file system that is looked at."""
    with connect(gateway, module_sandbox) as client:
        meet = "touch ~/{0}; while [ ! -e ~/{1} ]; do sleep 0.05; done; sleep 0.1"
        client.ask(meet.format("one", "two"), changes=True)
        client.ask(meet.format("two", "one"), changes=True)
        for _ in range(2):
            found = client.receive()["changes"]
            assert {"/home/user/one", "/home/user/two"} <= {*found["added"]}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_can_ask_later(
    gateway: GatewayProcess, module_sandbox: str, stream: bool
) -> None:
    """What its command changed after that is told, too."""
    name = f"later{stream}"
    with connect(gateway, module_sandbox) as client:
        command = f"touch ~/here{stream}; sleep 1; touch ~/{name}"
        client.ask(command, request_id=name, changes=True, stream=stream)
        eventually(
            lambda: f"here{stream}" in result_of(gateway, module_sandbox, "ls ~")["output"],
            within_s=10,
        )
    address = f"/sandboxes/{module_sandbox}/commands/{name}"
    ended = eventually(lambda: finished(gateway, address), within_s=10)
    added = [f"/home/user/here{stream}", f"/home/user/{name}"]
    assert ended["result"]["changes"]["added"] == added


def test_names_of_all_kinds_and_long_lists(gateway: GatewayProcess, module_sandbox: str) -> None:
    """As `GET …/changes` tells them."""
    command = (
        "mkdir ~/n; cd ~/n; touch $'\\xff' $'a\\nb'; ln -s / root; seq -f z%g 1200 | xargs touch"
    )
    found = result_of(gateway, module_sandbox, command, changes=True)["changes"]
    assert found["counts"]["added"] == 1204
    assert (len(found["added"]), found["truncated"]) == (1000, True)
    assert "/home/user/n/a\nb" in found["added"]
    gone = result_of(gateway, module_sandbox, "rm -r ~/n", changes=True)["changes"]
    assert gone["deleted"] == ["/home/user/n"]


def test_a_killed_gateway_says_that_they_are_lost(own_gateway) -> None:
    """The command goes on, and its result is read; what it changed since is not known."""
    gateway = own_gateway(pool_size="0").start_ready()
    box = gateway.create()
    address = in_background(
        gateway, box, "sleep 2; touch ~/late", "r", changes=True, checkpoint=True
    )
    [checkpoint] = gateway.get("/snapshots").json()
    gateway.kill()
    gateway.start_ready()
    ended = eventually(lambda: finished(gateway, address), within_s=20)
    result = ended["result"]
    assert (result["returncode"], result["changes_missing"]) == (0, "lost")
    assert "changes" not in result
    assert result["checkpoint"] == checkpoint["snapshot_id"]
    found = gateway.get(f"/sandboxes/{box}/changes?since={result['checkpoint']}").json()
    assert found["added"] == ["/home/user/late"]

    assert run(gateway, box, "true", changes=True).json()["changes"] == NOTHING

"""Why a sandbox ended, and what it was doing: told to whoever asks for it afterwards."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import MakeGateway, certificate_of, events_of, kinds_of
from tests.support.problems import check_problem, problem_of
from tests.support.rest_commands import in_background, result_of

HOLDER = "65534:65534"
"""The user of the container's first process."""


def _work_in(gateway: GatewayProcess, sandbox_id: str) -> None:
    """Three commands that end, on either way, and one that goes on."""
    result_of(gateway, sandbox_id, "echo over REST; exit 3")
    with connect(gateway, sandbox_id) as client:
        client.run("echo plain; echo wrong >&2")
        client.ask("echo streamed", stream=True)
        while client.receive()["type"] != "result":
            pass
    in_background(gateway, sandbox_id, "echo still here; sleep 1000", "going")
    time.sleep(1)  # so that what was noted is written down


def _check_commands(certificate: dict[str, Any], *, running_tail: str | None) -> None:
    told = {one["command"]: one for one in certificate["last_commands"]}
    assert list(told) == [
        "echo over REST; exit 3",
        "echo plain; echo wrong >&2",
        "echo streamed",
        "echo still here; sleep 1000",
    ]
    over, plain, streamed, going = told.values()
    assert (over["output"], over["returncode"]) == ("over REST\n", 3)
    assert (plain["output"], plain["error"]) == ("plain\n", "wrong\n")
    assert plain["returncode"] == 0
    assert (streamed["output"], streamed["returncode"]) == ("streamed\n", 0)
    assert going["request_id"] == "going"
    assert going["returncode"] is None
    if running_tail is not None:
        assert going["output"] == running_tail
    for one in told.values():
        assert certificate["at"] - 60 < one["started_at"] <= certificate["at"]


def test_deleted(gateway: GatewayProcess) -> None:
    """By a client: its last commands are in it, the running one with what it wrote so far. Every
    way in answers the same."""
    sandbox_id = gateway.create()
    _work_in(gateway, sandbox_id)
    before = time.time()
    gateway.delete(f"/sandboxes/{sandbox_id}")

    certificate = certificate_of(gateway, sandbox_id)

    assert certificate["reason"] == "deleted"
    assert before - 1 <= certificate["at"] <= time.time()
    assert certificate["detail"]
    assert certificate["exit_code"] is None
    _check_commands(certificate, running_tail="still here\n")
    for method, path in (
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("GET", "/stats"),
        ("GET", "/commands"),
    ):
        answer = gateway.request(method, f"/sandboxes/{sandbox_id}{path}")
        assert problem_of(answer, 404)["ended"] == certificate, path
    answer = gateway.patch(f"/sandboxes/{sandbox_id}", json={"labels": {}})
    assert problem_of(answer, 404)["ended"] == certificate
    answer = gateway.post(f"/sandboxes/{sandbox_id}/commands", json={"command": "true"})
    assert problem_of(answer, 404)["ended"] == certificate
    with pytest.raises(Refused) as refused:
        connect(gateway, sandbox_id)
    problem = check_problem(refused.value.headers["content-type"], refused.value.body, 404)
    assert problem["ended"] == certificate


def test_idle(gateway: GatewayProcess) -> None:
    """Nobody used it; what they did before is told."""
    sandbox_id = gateway.create(idle_timeout=2)
    result_of(gateway, sandbox_id, "echo last words")

    certificate = certificate_of(gateway, sandbox_id)

    assert certificate["reason"] == "idle"
    [command] = certificate["last_commands"]
    assert (command["output"], command["returncode"]) == ("last words\n", 0)


def test_timeout(gateway: GatewayProcess) -> None:
    """Its lifetime was over while a command ran, whose output so far is told."""
    sandbox_id = gateway.create(timeout=6)
    _work_in(gateway, sandbox_id)

    certificate = certificate_of(gateway, sandbox_id)

    assert certificate["reason"] == "timeout"
    _check_commands(certificate, running_tail="still here\n")


def test_removed_from_outside(gateway: GatewayProcess) -> None:
    """`docker rm -f`: within seconds, and said as such; clients learn it too."""
    sandbox_id = gateway.create()
    _work_in(gateway, sandbox_id)
    with connect(gateway, sandbox_id) as client:
        client.output_of("true")
        gateway.engine.remove(sandbox_id)
        messages, code = client.read_to_close(within_s=8)
    assert messages[-1] == {"type": "ended", "reason": "engine_lost"}
    assert code == 1001

    certificate = certificate_of(gateway, sandbox_id)

    assert certificate["reason"] == "engine_lost"
    assert "removed" in certificate["detail"]
    # What was noted in the last half second is written down a moment after the end.
    eventually(
        lambda: certificate_of(gateway, sandbox_id)["last_commands"][-1]["command"] == "true"
    )


def test_killed_from_outside(gateway: GatewayProcess) -> None:
    """`docker kill`: the signal is told, and it is no want of memory."""
    sandbox_id = gateway.create()
    _work_in(gateway, sandbox_id)

    gateway.engine.api.kill(gateway.engine.container_of(sandbox_id))

    certificate = certificate_of(gateway, sandbox_id)
    assert (certificate["reason"], certificate["exit_code"]) == ("exited", 137)
    assert "signal 9" in certificate["detail"]
    _check_commands(certificate, running_tail=None)
    eventually(lambda: sandbox_id not in gateway.engine.containers())


def test_stopped_from_outside(gateway: GatewayProcess) -> None:
    """`docker stop`: 143, as shells report SIGTERM."""
    sandbox_id = gateway.create()

    gateway.engine.api.stop(gateway.engine.container_of(sandbox_id), timeout=5)

    certificate = certificate_of(gateway, sandbox_id)
    assert certificate["reason"] == "exited"
    assert certificate["exit_code"] in (143, 137)


def _offer_first_process_to_the_kernel(gateway: GatewayProcess, sandbox_id: str) -> None:
    """Make the container's own processes what the kernel kills first when memory runs out. Who
    owns a process may raise its score (proc(5))."""
    api = gateway.engine.api
    container_id = gateway.engine.container_of(sandbox_id)
    script = (
        "for p in /proc/[0-9]*; do "
        "[ $(stat -c %u $p) = 65534 ] && echo 1000 > $p/oom_score_adj; done; "
        "cat /proc/1/oom_score_adj"
    )
    started = api.exec_create(container_id, ["/bin/sh", "-c", script], user=HOLDER)
    assert api.exec_start(started["Id"]).decode().splitlines()[-1] == "1000"


def test_out_of_memory(gateway: GatewayProcess) -> None:
    """The kernel kills the container's first process: `oom`, not just an exit with 137."""
    sandbox_id = gateway.create(memory_mb=48)
    result_of(gateway, sandbox_id, "echo before")
    time.sleep(1)
    _offer_first_process_to_the_kernel(gateway, sandbox_id)

    # Files in memory belong to no process, so the kernel goes by the scores.
    in_background(gateway, sandbox_id, "cat /dev/zero > /dev/shm/bomb", "bomb")

    certificate = certificate_of(gateway, sandbox_id, within_s=20)
    assert certificate["reason"] == "oom"
    assert certificate["exit_code"] == 137
    assert "memory" in certificate["detail"]
    assert "echo before" in [one["command"] for one in certificate["last_commands"]]
    assert events_of(gateway, sandbox_id)[-1]["reason"] == "oom"
    assert "oom" in kinds_of(gateway, sandbox_id)


def test_a_command_that_runs_out_of_memory_ends_nothing_else(gateway: GatewayProcess) -> None:
    """Only the command is killed, which leaves an event; a kill from outside long afterwards is
    not taken for want of memory."""
    sandbox_id = gateway.create(memory_mb=64)
    with connect(gateway, sandbox_id) as client:
        bomb = client.run("python3 -c 'bytearray(500 << 20)'")
        assert bomb["returncode"] == 137
        assert client.output_of("echo alive") == "alive\n"
    eventually(lambda: kinds_of(gateway, sandbox_id)[-1] == "oom")
    assert kinds_of(gateway, sandbox_id)[0] == "created"
    assert gateway.status_of(sandbox_id) == "idle"
    time.sleep(5.5)

    gateway.engine.api.kill(gateway.engine.container_of(sandbox_id))

    assert certificate_of(gateway, sandbox_id)["reason"] == "exited"


def test_ended_while_the_gateway_was_away(own_gateway: MakeGateway) -> None:
    """Killed, removed and stopped meanwhile: found at the start, each with its reason."""
    gateway = own_gateway().start_ready()
    killed, removed, kept = gateway.create(), gateway.create(), gateway.create()
    result_of(gateway, killed, "echo before")
    time.sleep(1)
    gateway.kill()
    gateway.engine.api.kill(gateway.engine.container_of(killed))
    gateway.engine.remove(removed)

    gateway.start_ready()

    assert certificate_of(gateway, removed)["reason"] == "engine_lost"
    certificate = certificate_of(gateway, killed)
    assert (certificate["reason"], certificate["exit_code"]) == ("exited", 137)
    assert [one["output"] for one in certificate["last_commands"]] == ["before\n"]
    assert gateway.listed() == {kept}
    eventually(lambda: set(gateway.engine.containers()) == {kept})


def test_only_the_last_ten_commands_and_the_end_of_their_output(gateway: GatewayProcess) -> None:
    """Bounded: neither a thousand commands nor a flood grow a certificate."""
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        for number in range(25):
            client.run(f"echo {number}")
        client.run("seq 100000; echo the end; " + ": " + "x" * 500)
    gateway.delete(f"/sandboxes/{sandbox_id}")

    commands = certificate_of(gateway, sandbox_id)["last_commands"]

    assert [one["output"] for one in commands[:-1]] == [f"{n}\n" for n in range(16, 25)]
    assert commands[-1]["output"].endswith("99999\n100000\nthe end\n")
    assert len(commands[-1]["output"]) <= 2048
    assert len(commands[-1]["command"]) == 200


def test_output_that_is_no_text_is_told_all_the_same(gateway: GatewayProcess) -> None:
    """Invalid bytes, also where the tail begins in the middle of a character."""
    sandbox_id = gateway.create()
    result_of(gateway, sandbox_id, "printf '\\377\\376'; printf '\u6c99%.0s' $(seq 2000)")
    gateway.delete(f"/sandboxes/{sandbox_id}")

    [command] = certificate_of(gateway, sandbox_id)["last_commands"]

    assert command["output"].endswith("\u6c99" * 600)


def test_a_certificate_outlives_a_restart(own_gateway: MakeGateway) -> None:
    """`kill -9` right after the end: word for word the same afterwards."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    _work_in(gateway, sandbox_id)
    gateway.delete(f"/sandboxes/{sandbox_id}")
    certificate = certificate_of(gateway, sandbox_id)
    told = events_of(gateway, sandbox_id)
    gateway.kill()

    gateway.start_ready()

    assert certificate_of(gateway, sandbox_id) == certificate
    assert events_of(gateway, sandbox_id) == told
    _check_commands(certificate, running_tail="still here\n")


def test_certificates_are_kept_for_so_many_days(own_gateway: MakeGateway) -> None:
    """Then nothing is known of it any more, events and idempotency key included."""
    gateway = own_gateway(certificate_days=str(2 / 86400)).start_ready()
    old = gateway.post("/sandboxes", headers={"Idempotency-Key": "old"}).json()["sandbox_id"]
    gateway.delete(f"/sandboxes/{old}")
    certificate_of(gateway, old)
    time.sleep(2.5)
    gateway.kill()

    gateway.start_ready()

    def forgotten() -> bool:
        return "ended" not in problem_of(gateway.get(f"/sandboxes/{old}"), 404)

    eventually(forgotten)
    problem_of(gateway.get(f"/sandboxes/{old}/events"), 404)
    assert gateway.get("/events").json() == []
    assert gateway.post("/sandboxes", headers={"Idempotency-Key": "old"}).status_code == 201

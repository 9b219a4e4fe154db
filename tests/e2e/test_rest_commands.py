"""Commands over REST, for clients without WebSockets."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.support.bare_image import image_without
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of, run

MIB = 1024 * 1024


def test_a_command_is_run_and_answered(gateway: GatewayProcess, module_sandbox: str) -> None:
    """The seven fields of the core contract, no more and no fewer."""
    result = result_of(gateway, module_sandbox, "echo out; echo più >&2; exit 3", request_id="mine")

    assert len(result.pop("timestamp")) == 23
    assert result == {
        "request_id": "mine",
        "command": "echo out; echo più >&2; exit 3",
        "success": False,
        "output": "out\n",
        "error": "più\n",
        "returncode": 3,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": "no-such-thing"}, {"returncode": 127}),
        ({"command": "kill -9 $$"}, {"returncode": 137}),
        ({"command": "sleep 100", "timeout": 0.3}, {"returncode": 124, "timed_out": True}),
        ({"command": "pwd; echo $A", "cwd": "/tmp", "env": {"A": "b"}}, {"output": "/tmp\nb\n"}),
        ({"command": "cat", "stdin": "text"}, {"output": "text"}),
        ({"command": "cat"}, {"output": ""}),
        ({"command": "printf '\\377'", "encoding": "base64"}, {"output": "/w=="}),
        ({"command": "tty", "tty": {"cols": 80}}, {"returncode": 0}),
        (
            {"command": "printf 1234567890", "max_output_bytes": 4},
            {"output": "1290", "truncated": {"output_bytes": 10, "error_bytes": 0}},
        ),
        ({"command": "true", "cwd": "/nowhere"}, {"returncode": 126}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_options_of_the_websocket_work_here_too(
    gateway: GatewayProcess, module_sandbox: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The same fields with the same meaning."""
    result = result_of(gateway, module_sandbox, **fields)

    assert {name: result.get(name) for name in expected} == expected


def test_a_session_goes_on_from_request_to_request(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Over connections and workers."""
    result_of(gateway, module_sandbox, "cd /tmp; X=7", session="s")

    assert [
        result_of(gateway, module_sandbox, "echo $PWD $X", session="s")["output"] for _ in range(4)
    ] == ["/tmp 7\n"] * 4


def test_a_large_result_arrives_whole(gateway: GatewayProcess, module_sandbox: str) -> None:
    """And the worker's memory is as before afterwards."""
    command = "head -c 8388608 /dev/zero | tr '\\0' a; head -c 8388608 /dev/zero | tr '\\0' b >&2"
    result_of(gateway, module_sandbox, command)
    before = gateway.memory()
    for _ in range(3):
        result = result_of(gateway, module_sandbox, command)
        assert result["output"] == "a" * 8 * MIB
        assert result["error"] == "b" * 8 * MIB

    eventually(lambda: gateway.memory() < before + 100 * MIB)


def test_a_series_of_requests_keeps_the_link(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Making one for each request would take many times as long."""
    with requests.Session() as session:
        url = f"{gateway.url}/sandboxes/{module_sandbox}/commands"
        session.post(url, json={"command": "true"}, timeout=30)
        started = time.monotonic()
        for _ in range(50):
            assert session.post(url, json={"command": "true"}, timeout=30).status_code == 200
        assert time.monotonic() - started < 2.5
        assert len(gateway.engine.carriers(module_sandbox)) <= 2


def test_commands_are_listed_whoever_started_them(gateway: GatewayProcess, sandbox: str) -> None:
    """Over REST or a WebSocket."""
    assert gateway.get(f"/sandboxes/{sandbox}/commands").json() == []
    result_of(gateway, sandbox, "echo one", request_id="1")
    with connect(gateway, sandbox) as connection:
        connection.ask("sleep 100", request_id="2")
        listed = eventually(
            lambda: [
                c for c in [gateway.get(f"/sandboxes/{sandbox}/commands").json()] if len(c) == 2
            ]
        )[0]

    assert [(c["request_id"], c["status"], c["stdout_bytes"]) for c in listed] == [
        ("1", "finished", 4),
        ("2", "running", 0),
    ]
    assert (
        gateway.post(f"/sandboxes/{sandbox}/commands/2/signal", json={"signal": "KILL"}).status_code
        == 204
    )
    eventually(lambda: gateway.status_of(sandbox) == "idle")


@pytest.mark.parametrize(
    "request_id",
    ["a/b", "/", "a/output", "..;/%2e", "沙箱 ü?#&=+", "\x00\r\n", "é" * 256, "%2F", "'\"<>\\"],
)
def test_any_request_id_has_an_address(
    gateway: GatewayProcess, module_sandbox: str, request_id: str
) -> None:
    """gunicorn decodes the path; a slash in an id must survive that."""
    address = in_background(gateway, module_sandbox, "echo hi", request_id)

    assert address.rpartition("/")[2] == quote(request_id, safe="")
    shown = eventually(lambda: finished(gateway, address))
    assert shown["request_id"] == request_id
    assert gateway.get(address + "/output").content == b"hi\n"


def test_input_and_signals(gateway: GatewayProcess, module_sandbox: str) -> None:
    """A program that is talked to, and one that is interrupted."""
    address = in_background(gateway, module_sandbox, "cat", "cat", interactive=True)
    for data in ("one\n", "two\n"):
        assert gateway.post(address + "/stdin", json={"data": data}).status_code == 204
    answer = gateway.post(
        address + "/stdin", json={"data": "/w==", "encoding": "base64", "eof": True}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    eventually(lambda: finished(gateway, address))
    assert gateway.get(address + "/output").content == b"one\ntwo\n\xff"
    problem = problem_of(gateway.post(address + "/stdin", json={"data": "x"}), 409)
    assert problem["code"] == "command_finished"

    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    address = in_background(gateway, module_sandbox, script, "trap")
    assert gateway.get(address + "/output?wait=10").content == b"ready\n"
    problem = problem_of(gateway.post(address + "/stdin", json={"data": "x"}), 409)
    assert problem["code"] == "stdin_not_open"
    problem = problem_of(gateway.post(address + "/signal", json={"signal": "NOPE"}), 422)
    assert problem["errors"][0]["loc"] == ["signal"]
    assert gateway.post(address + "/signal", json={"signal": "SIGINT"}).status_code == 204
    shown = eventually(lambda: finished(gateway, address))
    assert (shown["returncode"], shown["result"]["output"]) == (5, "ready\ncaught\n")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nope", None, 404, "command_not_found"),
        ("GET", "/nope/output", None, 404, "command_not_found"),
        ("POST", "/nope/stdin", {}, 404, "command_not_found"),
        ("POST", "/nope/signal", {"signal": "INT"}, 404, "command_not_found"),
        ("POST", "", {}, 422, "invalid_fields"),
        ("POST", "", {"command": "x", "timeout": "1"}, 422, "invalid_fields"),
        ("POST", "", {"command": "x", "stream": True, "background": True}, 422, "invalid_fields"),
        ("PUT", "/nope", {}, 405, "method_not_allowed"),
        ("GET", "/a/b", None, 404, "not_found"),
    ],
)
def test_what_cannot_be_done_is_a_problem(
    gateway: GatewayProcess,
    module_sandbox: str,
    method: str,
    path: str,
    body: object,
    status: int,
    code: str,
) -> None:
    """With a code, as everywhere."""
    answer = gateway.request(method, f"/sandboxes/{module_sandbox}/commands{path}", json=body)

    assert problem_of(answer, status)["code"] == code


def test_many_commands_at_once(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Side by side, each with its own result."""

    def ask(number: int) -> str:
        return result_of(gateway, module_sandbox, f"sleep 0.5; echo {number}")["output"]

    started = time.monotonic()
    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(ask, range(30))) == [f"{number}\n" for number in range(30)]
    assert time.monotonic() - started < 10


def test_an_image_without_python_runs_what_is_plain(own_gateway: Any) -> None:
    """And says of the rest that it cannot."""
    with image_without("python3") as image:
        gateway = own_gateway(image=image).start_ready()
        sandbox_id = gateway.create()
        assert result_of(gateway, sandbox_id, "echo hi; exit 3")["returncode"] == 3

        for answer in (
            run(gateway, sandbox_id, "true", background=True),
            run(gateway, sandbox_id, "true", stream=True),
            run(gateway, sandbox_id, "true", timeout=1),
            gateway.get(f"/sandboxes/{sandbox_id}/commands"),
        ):
            assert problem_of(answer, 422)["code"] == "feature_missing"
        eventually(lambda: gateway.status_of(sandbox_id) == "idle")
        gateway.close()

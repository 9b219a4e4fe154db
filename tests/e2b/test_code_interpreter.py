"""E2B's code interpreter, byte by byte: what its SDKs rely on, and bad input."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess


class Interpreter:
    """Port 49999 of a sandbox, as these clients reach it."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str) -> None:
        self.gateway = gateway
        self.sandbox_id = sandbox_id
        self.headers = {"E2b-Sandbox-Id": sandbox_id, "E2b-Sandbox-Port": "49999"}

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.gateway.request(method, path, headers=self.headers, **options)

    def lines(self, code: str, **more: Any) -> list[dict[str, Any]]:
        """All that an execution says."""
        body = {"code": code, "context_id": None, "language": None, "env_vars": None, **more}
        answer = self.ask("POST", "/execute", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert b"\n\n" not in answer.content, "an empty line ends these clients"
        return [json.loads(line) for line in answer.text.splitlines()]

    def value(self, code: str, **more: Any) -> str:
        results = [one for one in self.lines(code, **more) if one["type"] == "result"]
        return results[-1]["text"]


@pytest.fixture(scope="module")
def interpreter(code_gateway: GatewayProcess) -> Iterator[Interpreter]:
    sandbox_id = code_gateway.create(image="code-interpreter", env={"GIVEN": "sandbox"})
    yield Interpreter(code_gateway, sandbox_id)
    code_gateway.delete(f"/sandboxes/{sandbox_id}")


def test_an_execution_is_lines_of_json(interpreter: Interpreter) -> None:
    """In the order of E2B's own server, the last one always the same."""
    lines = interpreter.lines("import sys\nprint('o'); print('e', file=sys.stderr)\n'text'")
    assert [line["type"] for line in lines[:1]] == ["number_of_executions"]
    assert {line["type"]: line["text"] for line in lines[1:3]} == {"stdout": "o\n", "stderr": "e\n"}
    assert all(isinstance(line["timestamp"], int) for line in lines[1:3])
    assert lines[3:] == [
        {"type": "result", "is_main_result": True, "text": "text"},
        {"type": "end_of_execution"},
    ]
    error = interpreter.lines("1/0")[1]
    assert (error["type"], error["name"]) == ("error", "ZeroDivisionError")
    assert "division by zero" in error["traceback"]
    frame = interpreter.lines("import pandas as pd; pd.DataFrame({'a': [1]})")[1]
    assert frame["data"] == {"a": [1]}
    assert "<table" in frame["html"]


def test_contexts_have_an_id_a_language_and_a_directory(interpreter: Interpreter) -> None:
    """The default one among them; a restart keeps the id."""
    made = interpreter.ask("POST", "/contexts", json={"cwd": "/tmp", "language": "python"})
    assert made.status_code == 200
    context = made.json()
    assert (set(context), context["cwd"]) == ({"id", "language", "cwd"}, "/tmp")
    listed = interpreter.ask("GET", "/contexts").json()
    assert context in listed
    assert {"id": "default", "language": "python", "cwd": "/home/user"} in listed

    mine = {"context_id": context["id"]}
    assert interpreter.value("x = 1; import os; os.getcwd()", **mine) == "/tmp"
    assert interpreter.ask("POST", f"/contexts/{context['id']}/restart").status_code == 200
    assert interpreter.lines("x", **mine)[1]["name"] == "NameError"
    assert interpreter.ask("DELETE", f"/contexts/{context['id']}").status_code == 200
    gone = interpreter.ask("POST", "/execute", json={"code": "1", **mine})
    assert (gone.status_code, "not found" in gone.text) == (404, True)


def test_an_environment_is_for_one_call(interpreter: Interpreter) -> None:
    read = "import os; os.environ['GIVEN'] + os.environ.get('NEW', '-')"
    assert interpreter.value(read, env_vars={"GIVEN": "call", "NEW": "!"}) == "call!"
    assert interpreter.value(read, language="python") == "sandbox-"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": "1", "context_id": "default", "language": "python"}, 400),
        ({"code": "1", "language": "r"}, 500),
        ({"code": "1", "context_id": "x" * 32}, 404),
        ({"code": "1", "context_id": "../default"}, 404),
        ({"code": 1}, 400),
        ({}, 400),
        ([], 400),
        ({"code": "1", "env_vars": {"A": 1}}, 400),
        ({"code": "1", "env_vars": {"A=B": "1"}}, 400),
        ({"code": "1", "env_vars": []}, 200),
        ({"code": "1", "of_tomorrow": 1}, 200),
    ],
)
def test_bad_input_is_refused_at_once(interpreter: Interpreter, body: object, status: int) -> None:
    """With text, and never HTML; what later versions add is passed over."""
    answer = interpreter.ask("POST", "/execute", json=body)
    assert answer.status_code == status, answer.text
    assert answer.text
    assert "<html" not in answer.text.lower()


def test_no_json_is_refused(interpreter: Interpreter) -> None:
    for raw in (b"{", b"\xff", b'"code"'):
        assert interpreter.ask("POST", "/execute", data=raw).status_code == 400
    assert interpreter.ask("GET", "/health").status_code == 200
    unknown = Interpreter(interpreter.gateway, "0" * 32)
    assert unknown.ask("GET", "/contexts").status_code == 502


def test_who_hangs_up_interrupts(interpreter: Interpreter) -> None:
    """These clients' time limit is nothing else. The state stays, and the next call is served
    within seconds."""
    body = json.dumps({"code": "kept = 1\nimport time; time.sleep(60)"}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in interpreter.headers.items())
    with socket.create_connection(("127.0.0.1", interpreter.gateway.port), 10) as client:
        client.sendall(
            f"POST /execute HTTP/1.1\r\nHost: localhost\r\n{head}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    assert interpreter.value("kept") == "1"
    assert time.monotonic() - began < 5


def test_silence_is_filled_with_keepalives(interpreter: Interpreter) -> None:
    """Proxies, and the clients' own reading, count on one every five seconds."""
    lines = interpreter.lines("import time; time.sleep(6)")
    assert [line["type"] for line in lines] == [
        *("number_of_executions", "keepalive", "end_of_execution")
    ]


def test_a_sandbox_that_is_killed_resets_the_stream(code_gateway: GatewayProcess) -> None:
    """A body that ends in good order would be taken for the whole."""
    interpreter = Interpreter(code_gateway, code_gateway.create(image="code-interpreter"))
    found: list[BaseException] = []

    def run() -> None:
        try:
            interpreter.lines("import time; time.sleep(60)")
        except requests.RequestException as error:
            found.append(error)

    running = threading.Thread(target=run)
    running.start()
    eventually(lambda: code_gateway.status_of(interpreter.sandbox_id) == "connected", within_s=20)
    code_gateway.delete(f"/sandboxes/{interpreter.sandbox_id}")
    running.join(20)
    assert "reset" in repr(found[0]).lower(), found

"""`argv`: a program and its arguments, started as they are, without a shell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients import connect
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of

WORDS = ["printf", "%s\n", "a b", "$HOME", "*", "'", "", "; echo no", "é 沙"]


def _post(gateway: GatewayProcess, sandbox_id: str, **body: Any) -> Any:
    return gateway.post(f"/sandboxes/{sandbox_id}/commands", json=body)


def test_they_come_as_they_are(gateway: GatewayProcess, module_sandbox: str) -> None:
    """No shell has looked at them; they are shown as one would be given them."""
    answer = _post(gateway, module_sandbox, argv=WORDS).json()
    with connect(gateway, module_sandbox) as client:
        client.send({"argv": WORDS, "request_id": "words"})
        told = client.receive()
        client.send({"argv": ["cat"], "stdin": "from stdin", "cwd": "/tmp", "request_id": "cat"})
        read = client.receive()

    assert answer["output"].split("\n") == [*WORDS[2:], ""]
    assert answer["command"].startswith("printf '%s\n' 'a b' '$HOME'")
    assert told["output"] == answer["output"]
    assert told["command"] == answer["command"]
    assert (read["output"], read["returncode"]) == ("from stdin", 0)


@pytest.mark.parametrize(
    ("argv", "returncode"),
    [(["no-such-program"], 127), (["/tmp"], 126), ([""], 126), (["false"], 1), (["x" * 300], 127)],
)
def test_what_cannot_be_started_is_a_result(
    gateway: GatewayProcess, module_sandbox: str, argv: list[str], returncode: int
) -> None:
    """With the codes that shells have."""
    answer = _post(gateway, module_sandbox, argv=argv)

    assert answer.status_code == 200, answer.text
    assert answer.json()["returncode"] == returncode


def test_they_are_commands_as_others(gateway: GatewayProcess, module_sandbox: str) -> None:
    """In the background, once, streamed, on a terminal, with a time limit and variables."""
    once = [
        _post(gateway, module_sandbox, argv=["mktemp"], request_id="made", once=True).json()
        for _ in range(2)
    ]
    late = _post(gateway, module_sandbox, argv=["sleep", "60"], timeout=0.2).json()
    given = _post(gateway, module_sandbox, argv=["printenv", "A"], env={"A": "b"}).json()
    tty = _post(gateway, module_sandbox, argv=["tty"], tty={"cols": 80, "rows": 24}).json()
    there = _post(gateway, module_sandbox, argv=["sleep", "0.2"], request_id="bg", background=True)

    assert once[0]["output"] == once[1]["output"] != ""
    assert (late["returncode"], late["timed_out"]) == (124, True)
    assert given["output"] == "b\n"
    assert tty["output"].startswith("/dev/pts/")
    assert there.status_code == 202
    listed = gateway.get(f"/sandboxes/{module_sandbox}/commands").json()
    assert "sleep 0.2" in [one["command"] for one in listed]


@pytest.mark.parametrize(
    "body",
    [
        *({"argv": ["ls"], "command": "ls -l"}, {"argv": []}, {"argv": "ls"}, {"argv": [1]}),
        *({"argv": ["a\0b"]}, {"argv": [None]}, {"argv": ["ls"], "session": "main"}, {"argv": {}}),
        *({"argv": ["x"] * 5000}, {"argv": None}, {}),
    ],
)
def test_what_is_none_is_refused(
    gateway: GatewayProcess, module_sandbox: str, body: dict[str, Any]
) -> None:
    """Both, none, or what are no words; on the WebSocket likewise."""
    assert problem_of(_post(gateway, module_sandbox, **body), 422)["code"] == "invalid_fields"
    with connect(gateway, module_sandbox) as client:
        client.send(body | {"request_id": "r"})
        refused = client.receive()

    assert refused["type"] == "error"

"""What the tools do in real sandboxes, and what a model is told when they cannot."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, bearer
from tests.support.mcp_calls import call, message, refused, said

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_a_command_is_run(gateway: GatewayProcess, module_sandbox: str) -> None:
    """A return code is a result, and no failure of the tool."""
    ran = said(
        gateway,
        "run_command",
        sandbox_id=module_sandbox,
        command="pwd; cat; echo $'\\e[31mè\\e[0m' >&2; exit 3",
        cwd="/tmp",
        stdin="in\n",
    )

    assert ran.pop("request_id")
    assert ran == {
        "status": "finished",
        "returncode": 3,
        "stdout": "/tmp\nin\n",
        "stderr": "è\n",
        "truncated": False,
        "next_offset": 8,
    }


def test_a_session_keeps_what_was_done(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Directory and variables, as in a terminal."""
    session = {"sandbox_id": module_sandbox, "session": "main"}
    said(gateway, "run_command", command="cd /tmp; A=b", **session)

    assert said(gateway, "run_command", command="pwd; echo $A", **session)["stdout"] == "/tmp\nb\n"


def test_a_long_command_is_read_on(gateway: GatewayProcess, module_sandbox: str) -> None:
    """It answers when the wait is over, goes on, and each byte comes once."""
    ran = said(
        gateway,
        "run_command",
        sandbox_id=module_sandbox,
        command="echo one; read line; echo two $line; exit 4",
        interactive=True,
        wait=0.5,
    )
    command = {"sandbox_id": module_sandbox, "request_id": ran["request_id"]}
    assert (ran["status"], ran["returncode"], ran["stdout"]) == ("running", None, "one\n")

    said(gateway, "write_stdin", data="more\n", **command)
    read = said(gateway, "read_output", offset=ran["next_offset"], **command)
    again = said(gateway, "read_output", offset=0, wait=0, **command)

    assert read == {
        "request_id": ran["request_id"],
        "status": "finished",
        "returncode": 4,
        "stdout": "two more\n",
        "stderr": "",
        "truncated": False,
        "next_offset": 13,
    }
    assert again["stdout"] == "one\ntwo more\n"
    assert "beyond the end: only 13 bytes" in refused(gateway, "read_output", offset=99, **command)
    assert "ended" in refused(gateway, "write_stdin", data="x", **command)


def test_a_command_that_does_not_end_is_stopped(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """With all its processes; one that has no input says so."""
    ran = said(gateway, "run_command", sandbox_id=module_sandbox, command="sleep 777 | cat", wait=0)
    command = {"sandbox_id": module_sandbox, "request_id": ran["request_id"]}

    assert "interactive true" in refused(gateway, "write_stdin", data="x", **command)
    assert "there is no signal" in refused(gateway, "stop_command", signal="NONE", **command)
    assert said(gateway, "stop_command", **command)["status"] == "finished"
    timed_out = said(
        gateway, "run_command", sandbox_id=module_sandbox, command="sleep 777", timeout=0.2
    )
    assert timed_out["returncode"] == 124


@pytest.mark.parametrize("asked", [None, 1000, 5000])
def test_no_answer_is_over_its_budget(
    gateway: GatewayProcess, module_sandbox: str, asked: int | None
) -> None:
    """50 MB of output and more: head, tail, and where to read on, on both streams at once."""
    ran = call(
        gateway,
        "run_command",
        sandbox_id=module_sandbox,
        command='seq 7000000; seq -f "error %g" 9000 >&2; echo the end',
        max_chars=asked,
    )
    structure, budget = ran["structuredContent"], asked or 20_000

    assert len(ran["content"][0]["text"]) <= budget
    assert len(json.dumps(structure, ensure_ascii=False)) <= budget
    assert structure["truncated"] is True
    assert structure["stdout"].startswith("1\n2\n3\n")
    assert structure["stdout"].endswith("7000000\nthe end\n")
    assert structure["stderr"].endswith("error 9000\n")
    head = structure["stdout"].partition("\n[…")[0]
    assert structure["next_offset"] == len(head.encode())
    command = {"sandbox_id": module_sandbox, "request_id": structure["request_id"]}
    on = said(gateway, "read_output", offset=structure["next_offset"], max_chars=asked, **command)
    assert int(on["stdout"].split()[0]) == int(head.split()[-1]) + 1
    # What is kept of a stream is bounded: what fell out is told, and not passed over.
    later = said(gateway, "read_output", offset=20_000_000, max_chars=asked, **command)
    assert later["gap"]["from"] == 20_000_000
    assert later["next_offset"] == later["gap"]["to"] + len(later["stdout"].encode())
    assert later["truncated"] is True


def test_reading_on_gives_the_whole_output(gateway: GatewayProcess, module_sandbox: str) -> None:
    """In order, from each `next_offset`, with no byte twice."""
    ran = said(
        gateway, "run_command", sandbox_id=module_sandbox, command="seq 3000 | sed s/$/è/ >&2"
    )
    read, offset = "", 0
    for _ in range(20):
        piece = call(
            gateway,
            "read_output",
            sandbox_id=module_sandbox,
            request_id=ran["request_id"],
            stream="stderr",
            offset=offset,
            max_chars=2000,
        )
        assert len(piece["content"][0]["text"]) <= 2000
        read += piece["structuredContent"]["stderr"]
        offset = piece["structuredContent"]["next_offset"]
        if not piece["structuredContent"]["truncated"]:
            break

    assert read == "".join(f"{n}è\n" for n in range(1, 3001))


def test_files_are_written_read_and_edited(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Exactly as they are, and never by guessing what was meant."""
    path = {"sandbox_id": module_sandbox, "path": "dir/à.txt"}
    text = "one\ntwo\none\n"

    assert said(gateway, "write_file", content=text, **path)["created"] is True
    read = said(gateway, "read_file", **path)
    assert (read["content"], read["next_offset"], read["size"]) == (text, None, 12)
    part = said(gateway, "read_file", offset=2, limit=1, **path)
    assert (part["content"], part["next_offset"], part["truncated"]) == ("two\n", 3, True)

    ambiguous = refused(gateway, "edit_file", old="one", new="1", **path)
    assert "occurs 2 times" in ambiguous
    assert "lines 1, 3" in ambiguous
    assert "does not occur" in refused(gateway, "edit_file", old="One", new="1", **path)
    assert said(gateway, "edit_file", old="two\n", new="2\n", **path)["replaced"] == 1
    assert said(gateway, "edit_file", old="one", new="1", all=True, **path)["replaced"] == 2
    assert said(gateway, "read_file", **path)["content"] == "1\n2\n1\n"

    listed = said(gateway, "list_files", sandbox_id=module_sandbox, path="dir")
    assert listed["entries"] == [{"name": "à.txt", "type": "file", "size": 6}]
    assert "list_files" in refused(gateway, "read_file", sandbox_id=module_sandbox, path="dir")
    assert "beyond its end" in refused(gateway, "read_file", offset=9, **path)
    missing = {"sandbox_id": module_sandbox, "path": "no/such"}
    assert "path_not_found" in refused(gateway, "read_file", **missing)


def test_long_lists_and_files_are_read_on(gateway: GatewayProcess, module_sandbox: str) -> None:
    """By `next_offset`, each within its budget."""
    made = "mkdir many; cd many; touch $(seq -w 500); seq 100000 > /tmp/numbers"
    said(gateway, "run_command", sandbox_id=module_sandbox, command=made)
    names, offset = [], 0
    while offset is not None:
        listed = said(gateway, "list_files", sandbox_id=module_sandbox, path="many", offset=offset)
        names += [entry["name"] for entry in listed["entries"]]
        offset = listed["next_offset"]
    assert names == [f"{n:03}" for n in range(1, 501)]

    read = call(gateway, "read_file", sandbox_id=module_sandbox, path="/tmp/numbers", offset=90_000)
    assert len(read["content"][0]["text"]) <= 20_000
    lines = read["structuredContent"]["content"].split()
    assert (lines[0], int(lines[-1]) + 1) == ("90000", read["structuredContent"]["next_offset"])


def test_images_come_as_images_and_binary_files_are_told(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """A model can look at the one, and nothing at the other."""
    files = f"/sandboxes/{module_sandbox}/files"
    gateway.request("PUT", files, params={"path": "pixel.dat"}, data=PIXEL)
    gateway.request("PUT", files, params={"path": "large.png"}, data=PIXEL + bytes(2 << 20))
    seen = call(gateway, "read_file", sandbox_id=module_sandbox, path="pixel.dat")
    binary = said(gateway, "read_file", sandbox_id=module_sandbox, path="/bin/ls")

    picture = seen["content"][1]
    assert (picture["type"], picture["mimeType"]) == ("image", "image/png")
    assert base64.b64decode(picture["data"]) == PIXEL
    assert binary["binary"] is True
    assert "binary file of" in binary["content"]
    assert "smaller copy" in refused(
        gateway, "read_file", sandbox_id=module_sandbox, path="large.png"
    )


def test_what_was_invented_is_answered_with_what_there_is(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Models invent ids, and names of arguments."""
    no_sandbox = refused(gateway, "run_command", sandbox_id="sandbox-1", command="true")
    assert "There is no sandbox 'sandbox-1'" in no_sandbox
    assert module_sandbox in no_sandbox
    ran = said(gateway, "run_command", sandbox_id=module_sandbox, command="true")
    no_command = refused(gateway, "read_output", sandbox_id=module_sandbox, request_id="r1")
    assert f"{ran['request_id']} (finished: 'true')" in no_command
    no_snapshot = refused(gateway, "restore", sandbox_id=module_sandbox, snapshot="s1")
    assert "There is no snapshot 's1'" in no_snapshot
    wrong = refused(gateway, "run_command", sandbox_id=module_sandbox, cmd="ls")
    assert "cmd" in wrong
    assert "run_command takes: sandbox_id, command, cwd" in wrong


def test_an_ended_sandbox_says_why(gateway: GatewayProcess) -> None:
    """And a name stands for its id, as in an address."""
    sandbox_id = said(gateway, "create_sandbox")["sandbox_id"]
    listed = said(gateway, "list_sandboxes", limit=1)["sandboxes"]
    assert [one["sandbox_id"] for one in listed] == [sandbox_id]
    said(gateway, "delete_sandbox", sandbox_id=sandbox_id)

    again = refused(gateway, "delete_sandbox", sandbox_id=sandbox_id)
    assert f"Sandbox {sandbox_id} has ended (deleted)" in again


def test_files_are_kept_brought_back_and_copied(gateway: GatewayProcess) -> None:
    """What a model does before it tries something."""
    sandbox_id = said(gateway, "create_sandbox")["sandbox_id"]
    path = {"sandbox_id": sandbox_id, "path": "work"}
    said(gateway, "write_file", content="before", **path)
    kept = said(gateway, "snapshot", sandbox_id=sandbox_id)["snapshot_id"]
    said(gateway, "write_file", content="after", **path)

    copy = said(gateway, "fork", sandbox_id=sandbox_id)["sandbox_id"]
    said(gateway, "restore", sandbox_id=sandbox_id, snapshot=kept)
    other = said(gateway, "create_sandbox", snapshot=kept)["sandbox_id"]

    found = [
        said(gateway, "read_file", sandbox_id=one, path="work")["content"]
        for one in (sandbox_id, copy, other)
    ]
    assert found == ["before", "after", "before"]
    gateway.delete(f"/snapshots/{kept}")
    for one in (sandbox_id, copy, other):
        said(gateway, "delete_sandbox", sandbox_id=one)


def test_a_server_is_opened_by_its_url(gateway: GatewayProcess, module_sandbox: str) -> None:
    """It says whether anything listens there yet."""
    port = {"sandbox_id": module_sandbox, "port": 8765}
    assert said(gateway, "port_url", **port)["listening"] is False
    served = said(
        gateway,
        "run_command",
        sandbox_id=module_sandbox,
        command="cd /tmp && exec python3 -m http.server 8765",
        wait=0,
    )
    eventually(lambda: said(gateway, "port_url", **port)["listening"], within_s=20)

    url = said(gateway, "port_url", **port)["url"]
    assert requests.get(url, timeout=10).status_code == 200
    said(
        gateway,
        "stop_command",
        sandbox_id=module_sandbox,
        request_id=served["request_id"],
        signal="KILL",
    )


def test_owners_see_their_own_only_and_what_they_do_is_noted(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """As on every other surface; and any worker answers."""
    gateway = own_gateway(api_keys=INLINE, mcp_tools="create_sandbox,run_command,delete_sandbox")
    gateway.headers = bearer(ALICE)
    gateway.start()
    sandbox_id = said(gateway, "create_sandbox")["sandbox_id"]
    gateway.headers = bearer(BOB)
    others = refused(gateway, "run_command", sandbox_id=sandbox_id, command="true")
    assert "There are none: call create_sandbox." in others
    gateway.headers = bearer(ALICE)
    said(gateway, "run_command", sandbox_id=sandbox_id, command="true")
    said(gateway, "delete_sandbox", sandbox_id=sandbox_id)
    token = gateway.post("/mcp", json=message("ping"), headers=bearer("sgk_wrong"))

    assert token.status_code == 401
    noted = [
        json.loads(line) for line in (gateway.data_dir / "audit.jsonl").read_text().splitlines()
    ]
    assert [_fact(one) for one in noted if one["route"] == "/mcp"] == [
        ("create", "alice", sandbox_id, "create_sandbox"),
        ("denied", "bob", None, None),
        ("command_start", "alice", sandbox_id, "run_command"),
        ("delete", "alice", sandbox_id, "delete_sandbox"),
        ("denied", None, None, None),
    ]


def _fact(noted: dict[str, Any]) -> tuple[Any, ...]:
    return noted["action"], *(noted.get(name) for name in ("caller", "sandbox_id", "tool"))

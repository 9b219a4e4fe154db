"""Root over E2B's protocol: where the operator allows it, every sandbox made there has it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.e2b_envd import Envd
from tests.support.e2b_sdks import INLINE, KEYS
from tests.support.e2b_wire import Sandbox
from tests.support.gateway_process import GatewayProcess

AS_ROOT = {"authorization": f"Basic {base64.b64encode(b'root:').decode()}"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("e2b-root"), api_keys=INLINE, allow_root="1", network="none"
    )
    gateway.headers = {"Authorization": f"Bearer {KEYS['alice']}"}
    try:
        gateway.start_ready()
        yield Sandbox(gateway)
    finally:
        gateway.close()


def test_processes_are_roots_where_that_is_asked_for(sandbox: Sandbox) -> None:
    """Its name and home; `sudo` for the others; and the default stays the user."""
    look = "echo $(id -un) $HOME $PWD"
    assert sandbox.shell(look, headers=AS_ROOT).whole().stdout == b"root /root /root\n"
    assert sandbox.shell(look).whole().stdout == b"user /home/user /home/user\n"
    assert sandbox.shell("sudo id -u").whole().stdout == b"0\n"


def test_roots_processes_are_named_by_pid_alone(sandbox: Sandbox) -> None:
    """Listed, connected to, written to and ended, without saying whose they are."""
    first = sandbox.start("cat", headers=AS_ROOT, stdin=True)
    pid = first.pid
    listed = sandbox.call("List", {}).json()["processes"]
    assert pid in [one["pid"] for one in listed]
    word = base64.b64encode(b"hello\n").decode()
    chosen = {"process": {"pid": pid}}
    assert sandbox.call("SendInput", {**chosen, "input": {"stdin": word}}).status_code == 200
    first.until(b"hello\n")
    first.close()
    second = sandbox.connect(pid)
    ended = sandbox.call("SendSignal", {**chosen, "signal": "SIGNAL_SIGKILL"})
    assert ended.status_code == 200, ended.text
    assert second.whole().end["status"] == "signal: killed"


def test_files_are_roots_where_that_is_asked_for(sandbox: Sandbox) -> None:
    """By either service; and to the user they stay closed."""
    to_root = "/files?path=of-root&username=root"
    octets = {**sandbox.headers, "Content-Type": "application/octet-stream"}
    sent = sandbox.gateway.post(to_root, data=b"secret", headers=octets)
    assert (sent.status_code, sent.json()[0]["path"]) == (200, "/root/of-root")
    assert sandbox.gateway.get(to_root, headers=sandbox.headers).content == b"secret"
    assert sandbox.shell("cat /root/of-root").whole().exit_code == 1
    asked = {"path": "/root/made"}
    headers = {**sandbox.headers, **AS_ROOT}
    made = sandbox.gateway.post("/filesystem.Filesystem/MakeDir", json=asked, headers=headers)
    assert made.json()["entry"]["owner"] == "root", made.text
    refused = sandbox.gateway.post(
        "/filesystem.Filesystem/MakeDir", json={"path": "/root/y"}, headers=sandbox.headers
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_each_call_about_files_may_be_roots(sandbox: Sandbox) -> None:
    """Written, looked at, moved, watched and removed where the user may not; `~` is root's home."""
    envd = Envd(sandbox.gateway, sandbox.id, sandbox.token)
    root = {"query": {"username": "root"}}

    def called(method: str, **message: object) -> Any:
        answer = envd.call(method, message, **AS_ROOT)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert envd.post("/etc/new", b"1").status_code == 403
    watch = called("CreateWatcher", path="/root")["watcherId"]
    [made] = envd.post("~/d/f", b"root's", **root).json()
    assert made["path"] == "/root/d/f"
    assert envd.get("d/f").status_code == 404
    assert envd.get("d/f", **root).content == b"root's"
    entry = called("Stat", path="~/d/f")["entry"]
    assert (entry["owner"], entry["group"], entry["mode"]) == ("root", "root", 0o644)
    # Clients of before 2.55 name no user when they ask.
    events = envd.said("GetWatcherEvents", watcherId=watch)["events"]
    assert [one["name"] for one in events] == ["d"]
    assert envd.said("RemoveWatcher", watcherId=watch) == {}
    called("Move", source="/root/d", destination="/etc/d")
    assert [one["name"] for one in called("ListDir", path="/etc/d")["entries"]] == ["f"]
    address = envd.signed("/etc/d/f", "write", username="root")
    assert sandbox.gateway.post(address, files={"file": ("f", b"2")}).status_code == 200
    assert envd.get("/etc/d/f").content == b"2"
    called("Remove", path="/etc/d")
    envd.put("mine", b"1")
    assert called("Stat", path="/home/user/mine")["entry"]["owner"] == "user"

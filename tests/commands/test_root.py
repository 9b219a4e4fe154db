"""Commands, terminals and files as root, and `sudo`, in a sandbox that was made with root."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.files import SandboxFiles
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import states
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of, run
from tests.support.screen import Screen

SEVEN = 0b11111011
"""CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7 (capabilities(7))."""


@pytest.fixture(scope="module")
def allowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose operator allows root."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("root"), allow_root="1", network="none")
    try:
        yield gateway.start_ready()
    finally:
        print(gateway.log()[-4000:])
        gateway.close()


@pytest.fixture(scope="module")
def rooted(allowing: GatewayProcess) -> str:
    """A sandbox with root, which tests leave whole."""
    return allowing.create(root=True)


def _out(gateway: GatewayProcess, sandbox_id: str, command: str, **fields: Any) -> str:
    result = result_of(gateway, sandbox_id, command, **fields)
    assert result["returncode"] == 0, result
    return str(result["output"])


def _code(answer: requests.Response, status: int) -> str:
    return str(problem_of(answer, status)["code"])


# --- who one is ----------------------------------------------------------------------------------


def test_root_has_seven_capabilities_and_no_way_to_more(
    allowing: GatewayProcess, rooted: str
) -> None:
    """What package managers need. Whoever is not root has none, as in every sandbox."""
    for how in (
        {"command": "cat /proc/self/status", "user": "root"},
        {"command": "sudo cat /proc/self/status"},
    ):
        lines = _out(allowing, rooted, **how).splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert status["Uid"].split() == status["Gid"].split() == ["0"] * 4
        assert status["Groups"].split() in ([], ["0"])
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == SEVEN
        assert int(status["CapBnd"], 16) == SEVEN
        assert int(status["CapAmb"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    lines = _out(allowing, rooted, "cat /proc/self/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_each_user_is_at_home_and_itself(allowing: GatewayProcess, rooted: str) -> None:
    look = 'echo "$(id -un) $(id -u) $HOME $USER $LOGNAME $SHELL $(pwd)"'
    assert _out(allowing, rooted, look, user="root") == "root 0 /root root root /bin/bash /root\n"
    own = _out(allowing, rooted, look, user="user")
    assert own == _out(allowing, rooted, look)
    assert own.startswith("user ")
    assert own.endswith(" /home/user user user /bin/bash /home/user\n")


@pytest.mark.parametrize("user", ["nobody", "0", "", "Root", 0, None])
def test_there_are_two_users(allowing: GatewayProcess, rooted: str, user: object) -> None:
    """Nobody else is started by a request: `sudo -u` does that inside."""
    answer = run(allowing, rooted, "true", user=user)
    assert problem_of(answer, 422)["errors"][0]["loc"] == ["user"]


def test_a_sandbox_without_root_says_why_there_is_none(allowing: GatewayProcess) -> None:
    """On each way, before anything happens; and `sudo` tells a person."""
    plain = allowing.create()
    files = SandboxFiles(allowing, plain)
    for answer in (
        run(allowing, plain, "true", user="root"),
        run(allowing, plain, "true", user="root", background=True),
        files.get("/etc/hostname", query={"user": "root"}),
        files.put("/etc/x", b"", query={"user": "root"}),
        allowing.post(f"/sandboxes/{plain}/files/mkdir?user=root", json={"path": "/etc/y"}),
        allowing.get(f"/sandboxes/{plain}/archive?path=/etc&user=root"),
    ):
        assert _code(answer, 422) == "user_unavailable"
    with connect(allowing, plain) as connection:
        assert connection.run("true", user="root")["code"] == "user_unavailable"
        assert connection.run("true")["success"]
    with pytest.raises(Refused) as refused:
        connect(allowing, f"{plain}/watch?path=/etc&user=root")
    assert json.loads(refused.value.body)["code"] == "user_unavailable"
    said = result_of(allowing, plain, "sudo id")
    assert (said["returncode"], said["output"]) == (1, "")
    assert "no root" in said["error"]
    assert _out(allowing, plain, "grep CapBnd /proc/self/status").split()[1] == "0" * 16


# --- commands as root ----------------------------------------------------------------------------


def test_roots_commands_are_steered_as_others_are(allowing: GatewayProcess, rooted: str) -> None:
    """By their id alone: whoever signals or reads one need not know whose it is."""
    address = in_background(
        allowing, rooted, "read x; echo got $x; exec sleep 600", "r1", user="root", interactive=True
    )
    sent = allowing.post(f"{address}/stdin", json={"data": "it\n"})
    assert sent.status_code < 300, sent.text
    eventually(lambda: allowing.get(f"{address}/output").content == b"got it\n")
    listed = allowing.get(f"/sandboxes/{rooted}/commands").json()
    assert [one["status"] for one in listed if one["request_id"] == "r1"] == ["running"]
    assert allowing.post(f"{address}/signal", json={"signal": "KILL"}).status_code < 300
    assert eventually(lambda: finished(allowing, address))["result"]["returncode"] == 137
    assert problem_of(allowing.get(f"/sandboxes/{rooted}/commands/none"), 404)


def test_time_limits_end_the_whole_tree_of_root(allowing: GatewayProcess, rooted: str) -> None:
    """Also what moved away and ignores TERM; and nothing of the user's, who is busy beside it."""
    own = in_background(allowing, rooted, "(setsid sleep 611 &) ; sleep 612", "own")
    eventually(lambda: _count(allowing, rooted, "sleep 61[12]") == 2)
    tree = "trap '' TERM; setsid sleep 613 & sleep 614 & wait; sleep 613"
    result = result_of(allowing, rooted, tree, user="root", timeout=0.5)
    assert (result["returncode"], result["timed_out"]) == (124, True)
    assert eventually(lambda: _count(allowing, rooted, "sleep 61[34]") == 0)
    assert _count(allowing, rooted, "sleep 61[12]") == 2
    assert allowing.post(f"{own}/signal", json={"signal": "KILL"}).status_code < 300
    eventually(lambda: _count(allowing, rooted, "sleep 61[12]") == 0)


def _count(gateway: GatewayProcess, sandbox_id: str, pattern: str) -> int:
    return int(result_of(gateway, sandbox_id, f"pgrep -cf '^{pattern}'")["output"])


def test_sessions_and_once_are_each_users_own(allowing: GatewayProcess, rooted: str) -> None:
    with connect(allowing, rooted) as connection:
        for user, expected in (("root", "0 /etc\n"), ("user", "/tmp\n")):
            where = expected.split()[-1]
            connection.run(f"cd {where}; mine=$(id -u)", session="s", user=user)
            said = connection.run('echo "$mine $(pwd)"', session="s", user=user)
            assert said["output"].endswith(expected)
        for _ in range(2):
            once = connection.run("date +%N; id -u", user="root", once=True, request_id="o1")
            assert once["output"].endswith("\n0\n")
            assert (
                once["output"]
                == connection.run("date +%N; id -u", user="root", once=True, request_id="o1")[
                    "output"
                ]
            )


def test_a_running_command_of_root_is_attached_to_and_keeps_its_sandbox(
    allowing: GatewayProcess, rooted: str
) -> None:
    """A client that comes back knows its request_id only."""
    command = "id -u; until [ -e /tmp/go ]; do sleep 0.05; done; echo end"
    with connect(allowing, rooted) as connection:
        connection.ask(command, user="root", request_id="a1", stream=True)
        assert connection.receive()["type"] == "started"
    assert allowing.status_of(rooted) == "connected"
    with connect(allowing, rooted) as connection:
        connection.send({"type": "attach", "request_id": "a1", "stdout": 0, "stderr": 0})
        _out(allowing, rooted, "touch /tmp/go")
        told = [connection.receive()]
        while told[-1]["type"] != "result":
            told.append(connection.receive())
    assert "".join(one["data"] for one in told if one["type"] == "stdout") == "0\nend\n"
    assert told[-1]["returncode"] == 0
    eventually(lambda: allowing.status_of(rooted) == "idle")


def test_a_terminal_of_root(allowing: GatewayProcess, rooted: str) -> None:
    screen = Screen(allowing, rooted, "?user=root&request_id=t1")
    screen.type(b"echo I-am-$(id -u); stty size; tty\r")
    screen.shows(b"I-am-0\r\n24 80\r\n/dev/pts/")
    screen.resize(90, 20)
    screen.type(b"sleep 0.1; stty size\r")
    screen.shows(b"20 90\r\n")
    screen.type(b"exit 3\r")
    assert screen.result()["returncode"] == 3
    with pytest.raises(Refused) as refused:
        connect(allowing, f"{rooted}/terminal?user=nobody")
    assert refused.value.status == 422


# --- files as root -------------------------------------------------------------------------------


def test_files_are_roots_where_it_is_asked_for(allowing: GatewayProcess, rooted: str) -> None:
    """Read, written and listed as root; to the user they stay closed."""
    files = SandboxFiles(allowing, rooted)
    as_root = {"user": "root"}
    assert _code(files.put("/etc/of-root", b"x"), 403) == "permission_denied"
    written = files.put("/etc/of-root", b"secret", query={"user": "root", "mode": "0600"})
    assert (written.status_code, written.json()["owner"]) == (201, "root")
    assert _code(files.get("/etc/of-root"), 403) == "permission_denied"
    assert files.get("/etc/of-root", query=as_root).content == b"secret"
    assert files.put("in-root's-home", b"", query=as_root).json()["path"] == "/root/in-root's-home"
    listed = files.get("/root", "/list", query=as_root).json()
    assert "/root/in-root's-home" in [one["path"] for one in listed]
    made = allowing.post(f"{files.base}/mkdir?user=root", json={"path": "/srv/new"})
    assert (made.status_code, made.json()["owner"]) == (201, "root")
    large = bytes(range(256)) * 8192
    assert files.put("/srv/new/large", large, query=as_root).status_code == 201
    assert files.get("/srv/new/large", query=as_root).content == large
    packed = allowing.get(f"/sandboxes/{rooted}/archive?path=/srv/new&user=root").content
    there = f"/sandboxes/{rooted}/archive?path=/srv/copy&user=root"
    assert allowing.request("PUT", there, data=packed).status_code == 201
    assert _out(allowing, rooted, "stat -c %U:%s /srv/copy/large") == "root:2097152\n"
    assert files.delete("/srv/new", recursive="true", user="root").status_code == 204
    # What is the user's stays the user's when root writes it.
    assert files.put("mine", b"1").status_code == 201
    assert files.put("/home/user/mine", b"2", query=as_root).json()["owner"] == "user"


# --- sudo ----------------------------------------------------------------------------------------


def test_sudo_hands_everything_over(allowing: GatewayProcess, rooted: str) -> None:
    """Streams, arguments, directory, umask and environment; and the return code comes back."""
    count = "head -c 3000000 /dev/zero | sudo cat | wc -c"
    assert _out(allowing, rooted, count) == "3000000\n"
    said = result_of(allowing, rooted, "sudo sh -c 'echo out; echo err >&2; exit 7'")
    assert (said["output"], said["error"], said["returncode"]) == ("out\n", "err\n", 7)
    words = "sudo printf '<%s>' 'a b' '' '*' \"$(printf 'c\\nd')\" é"
    assert _out(allowing, rooted, words) == "<a b><><*><c\nd><é>"
    odd = """E=$'\\xff\\x01' sudo sh -c 'printf "%s|%s" "$1" "$E" | od -An -tx1' x $'\\xfe"\\t'"""
    assert _out(allowing, rooted, odd) == " fe 22 09 7c ff 01\n"
    assert _out(
        allowing, rooted, "cd /var/tmp; umask 027; X=1 sudo sh -c 'pwd; umask; echo $X'"
    ) == ("/var/tmp\n0027\n1\n")
    assert _out(allowing, rooted, "sudo Y=2 sh -c 'echo $Y $HOME $USER $SUDO_USER'") == (
        "2 /root root user\n"
    )
    assert _out(allowing, rooted, "sudo -n -E -H -u nobody -- id -un; sudo -u '#0' id -u") == (
        "nobody\n0\n"
    )
    assert _out(allowing, rooted, "sudo -i pwd; cd /tmp; sudo -s pwd") == "/root\n/tmp\n"
    assert _out(allowing, rooted, "sudo sudo id -u; sudo -v; sudo -k") == "0\n"


@pytest.mark.parametrize(
    ("command", "returncode", "words"),
    [
        ("sudo no-such-program", 127, "No such file"),
        ("sudo /etc/hostname", 126, "Permission denied"),
        ("sudo -u no-such-user id", 1, "unknown user"),
        ("sudo --no-such-option id", 1, "unknown option"),
        ("sudo", 1, "usage"),
        ("sudo sh -c 'kill -SEGV $$'", 139, ""),
        ("sudo sh -c 'kill -KILL $$'", 137, ""),
    ],
)
def test_what_goes_wrong_is_told(
    allowing: GatewayProcess, rooted: str, command: str, returncode: int, words: str
) -> None:
    said = result_of(allowing, rooted, command)
    assert (said["returncode"], words in said["error"]) == (returncode, True), said


def test_signals_and_ends_pass_through_sudo(allowing: GatewayProcess, rooted: str) -> None:
    """Both ways: what the program does about them is its own matter, and none outlives its sudo."""
    said = "sudo sh -c 'trap \"echo caught; exit 3\" INT; echo up; while :; do sleep 0.05; done'"
    address = in_background(allowing, rooted, said, "s1")
    eventually(lambda: allowing.get(f"{address}/output").content == b"up\n")
    assert allowing.post(f"{address}/signal", json={"signal": "INT"}).status_code < 300
    ended = eventually(lambda: finished(allowing, address))["result"]
    assert (ended["output"], ended["returncode"]) == ("up\ncaught\n", 3)

    stubborn = "sudo sh -c 'trap \"\" TERM INT; (sleep 621; :) & sleep 622; sleep 623'"
    result = result_of(allowing, rooted, stubborn, timeout=0.5)
    assert (result["returncode"], result["timed_out"]) == (124, True)
    eventually(lambda: _count(allowing, rooted, "sleep 62[123]") == 0)


def test_sudo_on_a_terminal_has_one(allowing: GatewayProcess, rooted: str) -> None:
    """Passwords, editors and shells read and write it; its size and Ctrl-C get there."""
    screen = Screen(allowing, rooted, "?cols=100&rows=30")
    screen.type(b"sudo -i\r")
    screen.shows(b"# ")
    screen.type(b"echo I-am-$(id -u) $(tty | cut -c1-9) $(stty size)\r")
    screen.shows(b"I-am-0 /dev/pts/ 30 100\r\n")
    screen.resize(90, 20)
    screen.type(b"sleep 0.2; echo now $(stty size)\r")
    screen.shows(b"now 20 90\r\n")
    screen.type(b"sleep 600; echo after-$?\r")
    eventually(lambda: _count(allowing, rooted, "sleep 600") == 1)
    screen.type(b"\x03")
    screen.type(b"echo after-$?\r")
    screen.shows(b"after-130\r\n")
    screen.type(b"exit 4\r")
    screen.type(b"echo left-$? $(id -un)\r")
    screen.shows(b"left-4 user\r\n")
    screen.type(b"exit\r")
    screen.result()


def test_nobody_takes_more_of_sudo_than_there_is(allowing: GatewayProcess) -> None:
    """Nonsense is refused, connections that say nothing end, and the next one is served."""
    sandbox_id = allowing.create(root=True)
    abuse = """python3 - <<'EOF'
import socket, struct, time
held = []
for said in (b"", b"\\xff" * 8, struct.pack("!I", 2**31), struct.pack("!I", 2) + b"[]") * 20:
    one = socket.socket(socket.AF_UNIX)
    one.connect("\\0sandbox-sudo-1")
    one.sendall(said)
    held.append(one)
print("sent")
EOF"""
    assert _out(allowing, sandbox_id, abuse) == "sent\n"
    assert _out(allowing, sandbox_id, "sudo id -u") == "0\n"


def test_root_may_be_pooled(tmp_path: Path) -> None:
    """A create with root takes one that stands ready, and one without never does."""
    image = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    gateway = GatewayProcess(
        tmp_path,
        allow_root="1",
        network="none",
        workers="1",
        pool_size="1",
        pool_images=f"{image}+root",
    )
    try:
        gateway.start_ready()
        eventually(lambda: "pooled" in dict(states(gateway)).values(), within_s=30)
        pooled = gateway.engine.pooled()
        plain = gateway.create()
        assert gateway.engine.container_of(plain) not in pooled.values()
        taken = gateway.create(root=True)
        assert gateway.engine.container_of(taken) in pooled.values()
        assert _out(gateway, taken, "sudo id -u") == "0\n"
    finally:
        gateway.close()


def test_a_fork_has_root_and_roots_files(allowing: GatewayProcess) -> None:
    """As its source has: who owns what, and set-uid bits, come along; and so after a restore."""
    source = allowing.create(root=True)
    made = (
        "umask 077; echo kept > /root/x; install -m 4755 /usr/bin/id /srv/id; echo mine > ~user/m"
    )
    _out(allowing, source, made, user="root")
    taken = allowing.post(f"/sandboxes/{source}/snapshots").json()["snapshot_id"]
    [fork] = allowing.post(f"/sandboxes/{source}/fork").json()
    look = "stat -c '%U %a' /root/x /srv/id /etc/hosts; cat /root/x; id -u; echo x >> /etc/hosts"
    for one in (fork["sandbox_id"], source):
        if one == source:
            _out(allowing, source, "rm -r /root/x /srv/id", user="root")
            restored = allowing.post(f"/sandboxes/{source}/restore", json={"snapshot": taken})
            assert restored.status_code == 200, restored.text
        said = result_of(allowing, one, look, user="root")
        assert said["output"] == "root 600\nroot 4755\nroot 644\nkept\n0\n"
        assert "Read-only" in said["error"]
        assert _out(allowing, one, "sudo id -u") == "0\n"


def test_root_at_level_strict_has_nowhere_to_write_but_in_memory(allowing: GatewayProcess) -> None:
    sandbox_id = allowing.create(root=True, isolation="strict")
    assert _out(allowing, sandbox_id, "sudo id -u; touch /tmp/x; sudo touch /run/y") == "0\n"
    for path in ("/usr/x", "/root/x", "/etc/hosts", "/etc/passwd"):
        said = result_of(allowing, sandbox_id, f"echo x >> {path}", user="root")
        assert "Read-only" in said["error"], path

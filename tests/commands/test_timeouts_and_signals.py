"""Killed means killed: timeouts and signals reach the whole process tree."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.commands.story import Story, streamed
from tests.support.clients import Connection, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

GRACE_S = 2.0
"""Between TERM and KILL."""

# Each leaves processes named `sleep MARK` that try to get away; "&" alone would be too easy.
ESCAPES = {
    "child": "sleep {mark} & wait",
    "setsid": "setsid sleep {mark} & sleep 60",
    "double fork": "(setsid bash -c 'sleep {mark} & disown; exec sleep {mark}' &) ; sleep 60",
    "daemon": "python3 -c 'import os,time\n"
    'if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  os.chdir("/")\n'
    '  os.execvp("sleep", ["sleep", "{mark}"])\n os._exit(0)\n'
    "time.sleep(60)'",
    "ignores TERM": "trap '' TERM; sleep {mark}; sleep {mark}; sleep {mark}",
    "nohup": "nohup sleep {mark} >/dev/null 2>&1 & sleep 60",
    "forks on TERM": "trap 'sleep {mark} & sleep {mark}' TERM; sleep 60 & wait; wait",
}


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def _alive(connection: Connection, mark: str) -> bool:
    return connection.run(f"pgrep -f '[s]leep {mark}'", request_id="look")["returncode"] == 0


def _running(connection: Connection, command: str, request_id: str, **fields: object) -> Story:
    """Start a streamed command and come back when it has printed `up`."""
    connection.ask(command, request_id=request_id, stream=True, **fields)
    story = Story(request_id)
    while b"up\n" not in story.stdout:
        story.take(connection.receive())
    return story


def _signal(connection: Connection, request_id: str, name: str) -> None:
    connection.send({"type": "signal", "request_id": request_id, "signal": name})


def test_a_timeout_ends_the_command_with_124(connection: Connection) -> None:
    """As timeout(1) does; and soon enough to rely on."""
    began = time.monotonic()
    result = connection.run("echo before; sleep 60", timeout=1)
    assert 0.9 <= time.monotonic() - began < 3
    assert (result["returncode"], result["success"], result["timed_out"]) == (124, False, True)
    assert result["output"] == "before\n"


def test_what_ignores_term_is_killed_after_the_grace(connection: Connection) -> None:
    """The grace is for cleaning up, not for staying."""
    began = time.monotonic()
    result = connection.run("trap '' TERM; while :; do sleep 0.1; done", timeout=0.5)
    assert 0.5 <= time.monotonic() - began < 0.5 + GRACE_S + 2
    assert (result["returncode"], result["timed_out"]) == (124, True)


def test_a_command_may_clean_up_within_the_grace(connection: Connection) -> None:
    """TERM comes first, so that temporary files and locks can be removed."""
    result = connection.run("trap 'echo tidy; exit 0' TERM; sleep 60 & wait", timeout=0.5)
    assert (result["output"], result["returncode"]) == ("tidy\n", 124)


def test_a_command_within_its_timeout_is_left_alone(connection: Connection) -> None:
    """A timer that outlives its command could hit another."""
    result = connection.run("sleep 0.2; echo ok", timeout=1)
    assert (result["returncode"], "timed_out" in result) == (0, False)
    assert connection.run("sleep 1.5; echo ok")["returncode"] == 0


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_timeout_ends_the_whole_tree(connection: Connection, escape: str) -> None:
    """A miner that daemonises must not outlive the command that brought it."""
    mark = str(7000 + list(ESCAPES).index(escape))
    result = connection.run(ESCAPES[escape].replace("{mark}", mark), timeout=1)
    assert (result["returncode"], result["timed_out"]) == (124, True)
    eventually(lambda: not _alive(connection, mark), within_s=GRACE_S + 3)
    always(lambda: not _alive(connection, mark), for_s=0.5, every_s=0.2)


@pytest.mark.parametrize("escape", ESCAPES)
def test_kill_ends_the_whole_tree(connection: Connection, escape: str) -> None:
    """The signal that nobody can refuse, for everybody."""
    mark = str(8000 + list(ESCAPES).index(escape))
    command = "echo up; " + ESCAPES[escape].replace("{mark}", mark)
    story = _running(connection, command, "tree")
    time.sleep(0.5)
    _signal(connection, "tree", "KILL")
    assert story.read(connection).result["returncode"] == 137
    eventually(lambda: not _alive(connection, mark), within_s=3)


@pytest.mark.parametrize("end", ["timeout", "KILL"])
def test_a_daemon_that_emptied_its_environment_does_not_get_away(
    connection: Connection, end: str
) -> None:
    """It has no parent, group or session of its command any more, nor its mark. Who wants to stay
    does just this; `env -i` and sudo do it without wanting to."""
    mark = "8400" if end == "timeout" else "8401"
    command = f"(setsid env -i sleep {mark} &); echo up; sleep 60"
    limit = {"timeout": 1.0} if end == "timeout" else {}
    story = _running(connection, command, "emptied", **limit)
    assert _alive(connection, mark)
    if end == "KILL":
        _signal(connection, "emptied", "KILL")
    assert story.read(connection).result["returncode"] == (124 if end == "timeout" else 137)
    try:
        eventually(lambda: not _alive(connection, mark), within_s=GRACE_S + 2)
    finally:
        connection.run(f"pkill -f 'sleep {mark}'")


@pytest.mark.parametrize(("name", "number"), [("INT", 2), ("TERM", 15), ("SIGKILL", 9)])
def test_a_signal_reaches_children_too(connection: Connection, name: str, number: int) -> None:
    """Ctrl-C means the program, not the shell around it."""
    # Without job control, a shell makes its background children ignore INT: this one is no child
    # in the background.
    mark = f"{8100 + number}"
    command = f"echo up; python3 -c 'import time; time.sleep({mark})'; exit 0"
    story = _running(connection, command, "sig")
    time.sleep(0.3)
    _signal(connection, "sig", name)
    assert story.read(connection, within_s=10).result["returncode"] == 128 + number
    assert connection.run(f"pgrep -f '[t]ime.sleep.{mark}'")["returncode"] == 1


def test_a_signal_can_be_handled(connection: Connection) -> None:
    """Its number is what was asked for, and the command decides."""
    command = "trap 'echo usr1' USR1; echo up; sleep 1 & wait; wait; exit 3"
    story = _running(connection, command, "u")
    _signal(connection, "u", "USR1")
    story.read(connection)
    assert story.stdout == b"up\nusr1\n"


@pytest.mark.parametrize(
    ("request_id", "name", "code"),
    [
        ("done", "TERM", "command_finished"),
        ("never-was", "TERM", "command_not_found"),
        ("running", "NONSENSE", "bad_request"),
        ("running", "term", "bad_request"),
        ("running", "9", "bad_request"),
        ("running", 9, "bad_request"),
        ("running", "", "bad_request"),
        ("running", "_DFL", "bad_request"),
    ],
)
def test_a_signal_that_cannot_be_sent_is_a_typed_error(
    connection: Connection, request_id: str, name: object, code: str
) -> None:
    """Clients tell a race with the end from a mistake of their own; the connection goes on."""
    assert connection.run("true", request_id="done")["returncode"] == 0
    story = _running(connection, "echo up; sleep 60", "running")
    connection.send({"type": "signal", "request_id": request_id, "signal": name})
    error = connection.receive()
    assert (error["type"], error["code"], error["request_id"]) == ("error", code, request_id)
    assert error["message"]
    _signal(connection, "running", "KILL")
    assert story.read(connection).result["returncode"] == 137
    assert connection.output_of("echo usable") == "usable\n"


@pytest.mark.parametrize("timeout", [0, -1, "5", 1e12])
def test_a_timeout_that_is_none_is_a_bad_request(connection: Connection, timeout: object) -> None:
    """Rather than a command that never ends, or ends at once."""
    assert connection.run("true", request_id="t", timeout=timeout)["code"] == "bad_request"
    assert connection.output_of("echo usable") == "usable\n"


def test_the_timeout_counts_though_the_client_left(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """The clock is the sandbox's, not the connection's."""
    with connect(shared_gateway, module_sandbox) as other:
        _running(other, "echo up; sleep 8200", "left", timeout=1.5)
    story = Story("left").attach(connection)
    assert (story.result["returncode"], story.result["timed_out"]) == (124, True)
    eventually(lambda: not _alive(connection, "8200"), within_s=GRACE_S + 2)


def test_others_are_not_hit(connection: Connection) -> None:
    """A tree is one command's, however many run in the sandbox."""
    bystander = _running(connection, "echo up; sleep 2; echo unharmed", "bystander")
    connection.ask("sleep 60", request_id="victim", timeout=0.3)
    first = connection.receive()
    assert (first["request_id"], first["returncode"]) == ("victim", 124)
    assert bystander.read(connection).stdout == b"up\nunharmed\n"


def test_timeouts_and_signals_work_over_docker_exec(own_gateway) -> None:
    """The same agent behind the other way to reach it."""
    gateway = own_gateway(link="exec").start_ready()
    with connect(gateway, gateway.create()) as connection:
        assert connection.run("setsid sleep 8300 & sleep 60", timeout=0.5)["returncode"] == 124
        eventually(lambda: not _alive(connection, "8300"), within_s=GRACE_S + 2)
        story = _running(connection, "echo up; sleep 8301", "kill-me")
        _signal(connection, "kill-me", "TERM")
        assert story.read(connection).result["returncode"] == 143
        assert streamed(connection, "echo on", "on").stdout == b"on\n"

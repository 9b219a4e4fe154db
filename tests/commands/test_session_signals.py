"""Signals and time limits of session commands: what was to end ends, and the state is kept."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually

pytestmark = pytest.mark.engine

_numbers = itertools.count()


@pytest.fixture
def connection(shared_gateway, module_sandbox: str):
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


@pytest.fixture
def session(connection: Connection) -> str:
    """A session's name; its shell has a state."""
    name = f"signals{next(_numbers)}"
    assert connection.run("kept=1; cd /tmp", session=name)["returncode"] == 0
    return name


def _running(connection: Connection, command: str, session: str, **fields: object) -> Story:
    """Start a command in a session and come back when it has printed `up`, and perhaps more. It
    says so itself where it has to get ready first: a signal may be there before a trap is."""
    story = Story(f"long{next(_numbers)}")
    fields = {"session": session, "stream": True, "request_id": story.request_id, **fields}
    is_ready_later = "echo up" in command
    connection.ask(command if is_ready_later else f"echo up; {command}", **fields)
    while not story.stdout.startswith(b"up\n"):
        story.take(connection.receive())
    return story


def _signal(connection: Connection, story: Story, name: str) -> None:
    connection.send({"type": "signal", "request_id": story.request_id, "signal": name})


def _state(connection: Connection, session: str) -> tuple[str, object]:
    result = connection.run('echo "$kept $PWD"', session=session)
    return result["output"], result.get("session_ended")


KEPT = ("1 /tmp\n", None)
GONE = (" /home/user\n", None)

SEVERAL_STEPS = {
    "while": "while true; do sleep 0.2; done",
    "for": "for i in $(seq 60); do sleep 1; done",
    "list": "sleep 60; sleep 60; echo after",
    "builtins": "while :; do :; done",
    "function": "f() { sleep 60; echo after; }; f; f; echo after",
    "pipeline": "sleep 60 | sleep 61; echo after",
    "short steps": "while true; do /bin/true; done",
    "or": "sleep 60 || sleep 60; echo after",
    "wait": "sleep 60 & wait; echo after",
    "read": "read -t 60 <> <(sleep 60); echo after",
}


@pytest.mark.parametrize(
    ("name", "returncode"), [("INT", 130), ("TERM", 143), ("QUIT", 131), ("KILL", 137)]
)
@pytest.mark.parametrize("kind", ["while", "for", "list", "builtins", "function", "pipeline"])
def test_a_signal_ends_a_command_of_several_steps(
    connection: Connection, session: str, kind: str, name: str, returncode: int
) -> None:
    """As it does outside of a session; the shell is there afterwards, with its state."""
    story = _running(connection, SEVERAL_STEPS[kind], session)
    began = time.monotonic()
    _signal(connection, story, name)
    story.read(connection)
    assert time.monotonic() - began < 5
    assert story.result["returncode"] == returncode
    assert story.stdout == b"up\n"
    assert "session_ended" not in story.result
    assert _state(connection, session) == KEPT


@pytest.mark.parametrize(
    ("name", "returncode"), [("INT", 130), ("TERM", 143), ("QUIT", 131), ("KILL", 137)]
)
@pytest.mark.parametrize("steps", ["sleep 60", "sleep 60 | sleep 61", "sleep 60 | cat | cat"])
def test_a_signal_that_meets_a_child_just_forked_is_not_lost(
    connection: Connection, session: str, steps: str, name: str, returncode: int
) -> None:
    """Until it runs its program, it has the shell's handlers: it must not cost the session."""
    for _ in range(4):
        story = _running(connection, f"{steps}; echo after", session)
        _signal(connection, story, name)
        story.read(connection)
        assert (story.stdout, story.result["returncode"]) == (b"up\n", returncode)
        assert _state(connection, session) == KEPT


@pytest.mark.parametrize(("name", "returncode"), [("INT", 130), ("TERM", 143), ("KILL", 137)])
@pytest.mark.parametrize("kind", ["short steps", "or", "wait", "read"])
def test_a_signalled_command_never_looks_like_a_success(
    connection: Connection, session: str, kind: str, name: str, returncode: int
) -> None:
    """Whatever its shell was at when the signal came; it lives, or says that it has ended."""
    story = _running(connection, SEVERAL_STEPS[kind], session)
    _signal(connection, story, name)
    story.read(connection)
    assert story.result["returncode"] == returncode
    assert b"after" not in story.stdout
    ended = story.result.get("session_ended") is True
    assert _state(connection, session) == (GONE if ended else KEPT)


@pytest.mark.parametrize(
    "command",
    [
        "trap '' INT; echo up; while true; do sleep 0.2; done",
        "trap '' INT TERM; echo up; sleep 60; echo after",
        "trap 'echo no' INT; echo up; while :; do sleep 0.2; done",
        "(trap '' INT; echo up; sleep 60; sleep 60); echo after",
        "exec sh -c 'echo up; exec sleep 60'",
    ],
)
def test_killed_is_killed_even_if_the_shell_goes_with_it(
    connection: Connection, session: str, command: str
) -> None:
    """What handles SIGINT cannot be ended alone: then the session says that it has ended."""
    story = _running(connection, command, session)
    began = time.monotonic()
    _signal(connection, story, "KILL")
    story.read(connection)
    assert time.monotonic() - began < 5
    assert (story.result["returncode"], story.result["session_ended"]) == (137, True)
    assert b"after" not in story.stdout
    assert _state(connection, session) == GONE


@pytest.mark.parametrize(
    "program", ["bash -c 'while :; do sleep 1; done'", "sh -c 'sleep 60; sleep 60'"]
)
def test_killed_programs_have_no_next_step(
    connection: Connection, session: str, program: str
) -> None:
    """A bash handles SIGINT only while it waits for a child, so its session may live or not."""
    story = _running(connection, f"{program}; echo after", session)
    _signal(connection, story, "KILL")
    story.read(connection)
    assert (story.stdout, story.result["returncode"]) == (b"up\n", 137)
    ended = story.result.get("session_ended") is True
    assert _state(connection, session) == (GONE if ended else KEPT)


@pytest.mark.parametrize("kill", ["pkill -KILL bash", "pkill -HUP bash", "kill -9 $(pgrep bash)"])
def test_a_shell_that_is_killed_by_name_says_that_its_session_has_ended(
    shared_gateway, module_sandbox: str, connection: Connection, session: str, kill: str
) -> None:
    """Somebody else's `pkill bash`: not a hang, and no success."""
    story = _running(connection, "sleep 60; echo after", session)
    with connect(shared_gateway, module_sandbox) as other:
        other.run(kill)
    story.read(connection)
    assert story.result["session_ended"] is True
    assert story.result["returncode"] >= 128
    assert b"after" not in story.stdout
    assert _state(connection, session) == GONE


def test_pkill_bash_leaves_an_interactive_shell_alone(
    shared_gateway, module_sandbox: str, connection: Connection, session: str
) -> None:
    """It ignores TERM (bash(1), SIGNALS), as in everybody's own terminal."""
    story = _running(connection, "sleep 1; echo after", session)
    with connect(shared_gateway, module_sandbox) as other:
        other.run("pkill bash")
    story.read(connection)
    assert (story.stdout, story.result["returncode"]) == (b"up\nafter\n", 0)
    assert _state(connection, session) == KEPT


def test_a_term_lets_a_program_clean_up_and_ends_what_comes_after(
    connection: Connection, session: str
) -> None:
    """The program gets TERM itself; the steps after it do not run to their end."""
    program = "bash -c 'trap \"echo tidy; exit 0\" TERM; echo trapped; while :; do sleep 0.1; done'"
    story = _running(connection, f"{program}; sleep 60; echo after", session)
    while not story.stdout.endswith(b"trapped\n"):
        story.take(connection.receive())
    began = time.monotonic()
    _signal(connection, story, "TERM")
    story.read(connection)
    assert time.monotonic() - began < 8
    assert (story.stdout, story.result["returncode"]) == (b"up\ntrapped\ntidy\n", 143)
    assert _state(connection, session) == KEPT


@pytest.mark.parametrize(("trap", "name"), [("TERM", "TERM"), ("USR1", "USR1"), ("INT", "INT")])
def test_a_trap_of_the_shell_is_run(
    connection: Connection, session: str, trap: str, name: str
) -> None:
    """Who traps a signal has said what it is to do."""
    wait = 'until [ "$got" ]; do :; done'
    command = f"trap 'got=1' {trap}; echo up; {wait}; echo trapped; trap - {trap}"
    story = _running(connection, command, session)
    _signal(connection, story, name)
    story.read(connection)
    assert (story.stdout, story.result["returncode"]) == (b"up\ntrapped\n", 0)
    assert _state(connection, session) == KEPT


def test_a_program_that_became_the_shell_gets_the_signal_itself(
    connection: Connection, session: str
) -> None:
    """After `exec` it is no shell any more, and may handle what it is sent."""
    program = "trap 'echo tidy; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    connection.run("true", session=session)
    story = _running(connection, f'exec sh -c "{program}"', session)
    _signal(connection, story, "TERM")
    story.read(connection)
    assert story.stdout.endswith(b"tidy\n")
    assert (story.result["returncode"], story.result["session_ended"]) == (3, True)


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_a_server_of_an_earlier_command_is_not_hit(
    connection: Connection, session: str, name: str
) -> None:
    """A signal is for one command, not for all that the session ever started."""
    connection.run("sleep 301 & server=$!", session=session)
    story = _running(connection, "sleep 302 & sleep 303; echo after", session)
    _signal(connection, story, name)
    story.read(connection)
    result = connection.run("kill -0 $server; echo $?; kill $server", session=session)
    assert result["output"] == "0\n"
    if name != "INT":  # bash lets what runs in the background ignore it
        eventually(lambda: connection.run("pgrep -f '[s]leep 302'")["returncode"] == 1)
    connection.run("pkill -f '[s]leep 302'")


@pytest.mark.parametrize(
    ("name", "returncode"), [("KILL", 137), ("INT", 130), ("TERM", 143), ("USR1", 138)]
)
def test_a_queued_command_that_is_signalled_never_runs(
    connection: Connection, session: str, name: str, returncode: int
) -> None:
    """Its result comes at once, and the session is not harmed."""
    story = _running(connection, "sleep 1; ran=first", session)
    connection.ask("ran=$ran-second", session=session, request_id="queued")
    connection.ask("echo $ran", session=session, request_id="third")
    eventually(
        lambda: len([c for c in _commands(connection, story) if c["status"] == "running"]) >= 3
    )
    connection.send({"type": "signal", "request_id": "queued", "signal": name})
    answers = _until(connection, story, {"queued", "third"})
    assert (answers["queued"]["returncode"], answers["queued"]["success"]) == (returncode, False)
    assert "before its session was free" in answers["queued"]["error"]
    assert answers["third"]["output"] == "first\n"
    assert story.result["returncode"] == 0


@pytest.mark.parametrize("name", ["WINCH", "CONT", "CHLD", "URG"])
def test_a_queued_command_runs_in_spite_of_a_signal_that_ends_nothing(
    connection: Connection, session: str, name: str
) -> None:
    """A process would not even notice them."""
    story = _running(connection, "sleep 0.5", session)
    connection.ask("echo ran", session=session, request_id="queued")
    connection.send({"type": "signal", "request_id": "queued", "signal": name})
    answers = _until(connection, story, {"queued"})
    assert answers["queued"]["output"] == "ran\n"


def _commands(connection: Connection, story: Story) -> list[dict]:
    connection.send({"type": "list"})
    while True:
        message = connection.receive()
        if message["type"] == "commands":
            return message["commands"]
        story.take(message)


def _until(connection: Connection, story: Story, wanted: set[str]) -> dict[str, dict]:
    """All results of these commands and of the story's, in whatever order they come."""
    answers: dict[str, dict] = {}
    while set(answers) != wanted or not story.over:
        message = connection.receive()
        if message.get("request_id") in wanted:
            answers[message["request_id"]] = message
        else:
            story.take(message)
    return answers


def test_stop_and_continue_are_not_mistaken_for_a_hang(
    connection: Connection, session: str
) -> None:
    """Who stops a command means it: only the client lets it go on."""
    story = _running(connection, "while [ ! -e /tmp/go ]; do :; done; echo went", session)
    _signal(connection, story, "STOP")
    pid = connection.run("echo $$", session="other")["output"] and story.started["pid"]
    eventually(lambda: _letter(connection, pid) == "T")
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 1.5 and _letter(connection, pid) == "T")
    connection.run("touch /tmp/go")
    _signal(connection, story, "CONT")
    story.read(connection)
    assert (story.stdout, story.result["returncode"]) == (b"up\nwent\n", 0)
    connection.run("rm /tmp/go")


def _letter(connection: Connection, pid: int) -> str:
    return connection.run(f"cut -d' ' -f3 /proc/{pid}/stat")["output"].strip()


@pytest.mark.parametrize("kind", ["while", "list", "builtins", "wait", "pipeline"])
def test_a_timeout_ends_a_command_of_several_steps(
    connection: Connection, session: str, kind: str
) -> None:
    """With 124, soon, and with the state kept where bash can give up the command."""
    began = time.monotonic()
    result = connection.run(f"echo up; {SEVERAL_STEPS[kind]}", session=session, timeout=0.5)
    assert time.monotonic() - began < 6
    assert (result["returncode"], result["timed_out"]) == (124, True)
    assert result["output"] == "up\n"
    ended = result.get("session_ended") is True
    assert ended == (kind == "wait") or kind == "wait"
    assert _state(connection, session) == (GONE if ended else KEPT)


@pytest.mark.parametrize(
    "command",
    [
        "trap '' INT TERM; while :; do sleep 0.1; done",
        "(trap '' INT TERM; while :; do sleep 0.1; done); echo after",
        "kill -STOP $BASHPID; while :; do :; done",
    ],
)
def test_what_ignores_a_timeout_is_killed_after_the_grace(
    connection: Connection, session: str, command: str
) -> None:
    """Not a moment longer than a plain command."""
    began = time.monotonic()
    result = connection.run(command, session=session, timeout=0.5)
    assert time.monotonic() - began < 8
    assert (result["returncode"], result["timed_out"]) == (124, True)
    assert "after" not in result["output"]
    eventually(lambda: connection.run("pgrep -f '[t]rap'")["returncode"] == 1)
    ended = result.get("session_ended") is True
    assert _state(connection, session) == (GONE if ended else KEPT)


@pytest.mark.parametrize(("name", "codes"), [("INT", {130}), ("KILL", {137}), ("TERM", {143})])
def test_a_signal_that_comes_at_once_leaves_no_half_text(
    connection: Connection, session: str, name: str, codes: set[int]
) -> None:
    """A shell that is interrupted while it reads must not run the rest of what it reads."""
    text = "sleep 60\n" + "touch /tmp/leaked\n" * 5000
    connection.ask(text, session=session, request_id="early")
    connection.send({"type": "signal", "request_id": "early", "signal": name})
    result = connection.receive()
    assert result["returncode"] in codes
    ended = result.get("session_ended") is True
    assert _state(connection, session) == (GONE if ended else KEPT)
    assert connection.run("test -e /tmp/leaked")["returncode"] == 1


def test_the_code_of_an_interrupted_command_is_there_for_the_next(
    connection: Connection, session: str
) -> None:
    """`$?` after Ctrl-C is 130."""
    story = _running(connection, "sleep 60; sleep 60", session)
    _signal(connection, story, "INT")
    story.read(connection)
    assert connection.run("echo $?", session=session)["output"] == "130\n"


def test_an_interrupted_command_leaves_what_was_sent_elsewhere_alone(
    connection: Connection, session: str
) -> None:
    """Options, functions and an earlier `exec >file` outlive a Ctrl-C; its output is not mixed."""
    connection.run("set -f; exec 5>&1 >/tmp/sent", session=session)
    connection.ask("echo up; sleep 304; sleep 304", session=session, request_id="sent")
    eventually(lambda: connection.run("pgrep -f '[s]leep 304'")["returncode"] == 0)
    connection.send({"type": "signal", "request_id": "sent", "signal": "INT"})
    assert connection.receive()["returncode"] == 130
    connection.run("echo more; echo *", session=session)
    connection.run("exec >&5", session=session)
    assert connection.run("cat /tmp/sent", session=session)["output"] == "up\nmore\n*\n"

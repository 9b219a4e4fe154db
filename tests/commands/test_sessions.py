"""Sessions: stateful shells whose commands keep their outputs and codes to themselves."""

from __future__ import annotations

import time

import pytest

from tests.commands.story import Story, connected_to, streamed
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually

pytestmark = pytest.mark.engine


class Shell:
    """Runs commands in one session. Every test has its own, by name."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name

    def __call__(self, command: str, **fields: object) -> dict:
        return self.connection.run(command, session=self.name, **fields)


@pytest.fixture
def connection(shared_gateway, module_sandbox: str):
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


@pytest.fixture
def shell(connection: Connection, request: pytest.FixtureRequest) -> Shell:
    return Shell(connection, f"s{abs(hash(request.node.name)) % 10**9}")


def test_state_persists_between_commands(shell: Shell) -> None:
    """What a person at a prompt takes for granted."""
    for command in ("cd /tmp", "x='a b'", 'greet() { echo "hi $1"; }', "export E=exported"):
        assert shell(command)["returncode"] == 0, command
    result = shell("pwd; echo \"$x\"; greet you; bash -c 'echo $E'; shopt -s nullglob")
    assert result["output"] == "/tmp\na b\nhi you\nexported\n"
    assert shell("echo *.nothing-like-it")["output"] == "\n"


def test_state_persists_over_connections(shared_gateway, module_sandbox: str, shell: Shell) -> None:
    """The session is the sandbox's, whoever asks and through whichever worker."""
    shell("here=42")
    for worker in shared_gateway.workers():
        other = connected_to(shared_gateway, module_sandbox, worker)
        assert other.run("echo $here", session=shell.name)["output"] == "42\n"


def test_outputs_and_codes_are_each_commands_own(shell: Shell) -> None:
    """One pipe for all would mix them."""
    result = shell("echo out; echo err >&2; false")
    assert (result["output"], result["error"], result["returncode"]) == ("out\n", "err\n", 1)
    assert shell("printf no-newline")["output"] == "no-newline"
    assert shell("(exit 42)")["returncode"] == 42
    assert shell("no-such-program")["returncode"] == 127
    assert shell("kill -9 $BASHPID &\nwait $!")["returncode"] == 137


def test_the_last_code_is_there_for_the_next_command(shell: Shell) -> None:
    """`$?` belongs to the state of a shell."""
    shell("(exit 7)")
    assert shell("echo $?")["output"] == "7\n"
    assert shell("echo $?")["output"] == "0\n"


def test_cwd_and_env_change_the_shell(shell: Shell) -> None:
    """As `cd` and `export` do: the options mean the same as words in the command."""
    assert shell("pwd; echo $V", cwd="/usr", env={"V": "it's"})["output"] == "/usr\nit's\n"
    assert shell("pwd; echo $V")["output"] == "/usr\nit's\n"


@pytest.mark.parametrize(
    ("command", "returncode"),
    [("x=1; exit 3", 3), ("exec true", 0), ("set -e; false", 1), ("kill -9 $$", 137)],
)
def test_a_shell_that_ends_says_so_and_the_next_command_starts_anew(
    shell: Shell, command: str, returncode: int
) -> None:
    """State that is gone must not be taken for kept."""
    shell("x=kept; cd /tmp")
    result = shell(command)
    assert (result["returncode"], result.get("session_ended")) == (returncode, True)
    fresh = shell("echo x=$x; pwd")
    assert (fresh["output"], fresh["returncode"]) == ("x=\n/home/user\n", 0)
    assert "session_ended" not in fresh


def test_output_before_the_exit_is_kept(shell: Shell) -> None:
    """The last words of a shell count as well."""
    result = shell("echo last; echo words >&2; exit 5")
    assert (result["output"], result["error"], result["returncode"]) == ("last\n", "words\n", 5)


@pytest.mark.parametrize(
    "command",
    [
        *("if", "echo )", "for x in; do", "cat <<X\nopen"),
        *("echo 'open", 'echo "open', "echo `ls", "echo ${x", "echo $(ls"),
    ],
)
def test_a_syntax_error_is_answered_and_the_shell_goes_on(shell: Shell, command: str) -> None:
    """An open quote must not swallow the next command."""
    shell("x=kept")
    result = shell(command)
    if not command.startswith("cat"):  # bash takes the end of the text for that of the document
        assert result["returncode"] != 0
    assert result["error"]
    assert shell("echo $x")["output"] == "kept\n"


def test_strange_but_valid_commands_are_taken_as_they_are(shell: Shell) -> None:
    """The text passes through bash twice on its way; quoting must hold."""
    assert shell("cat <<'X'\n$a `b` \"c\" 'd' \\e\nX")["output"] == "$a `b` \"c\" 'd' \\e\n"
    assert shell("echo one # comment")["output"] == "one\n"
    assert shell("echo a\necho b")["output"] == "a\nb\n"
    assert shell("")["returncode"] == 0
    assert shell("# nothing")["returncode"] == 0
    assert shell("echo 沙箱 äöü")["output"] == "沙箱 äöü\n"
    assert shell(f"echo {'x' * 200_000} | wc -c")["output"] == "200001\n"


def test_a_background_child_keeps_to_its_own_command(shell: Shell) -> None:
    """It neither holds its command's result back nor speaks into the next one's."""
    began = time.monotonic()
    first = shell(
        "(for i in 1 2 3 4 5 6 7 8; do sleep 0.2; echo noise; echo n >&2; done) & echo up"
    )
    assert time.monotonic() - began < 1.5
    assert first["output"].replace("noise\n", "") == "up\n"
    for _ in range(3):
        result = shell("sleep 0.4; echo quiet")
        assert (result["output"], result["error"]) == ("quiet\n", "")


def test_sessions_are_independent_and_run_at_the_same_time(connection: Connection) -> None:
    """Two prompts, two people."""
    connection.run("x=a", session="left")
    connection.run("x=b", session="right")
    assert connection.run("echo $x", session="left")["output"] == "a\n"
    began = time.monotonic()
    for name in ("left", "right"):
        connection.ask("sleep 1.5; echo $x", session=name, request_id=name)
    results = [connection.receive() for _ in range(2)]
    assert time.monotonic() - began < 2.8
    assert {r["request_id"]: r["output"] for r in results} == {"left": "a\n", "right": "b\n"}


def test_commands_of_one_session_run_in_order(shell: Shell) -> None:
    """One shell, one thing at a time, first come first served."""
    for number in range(20):
        shell.connection.ask(
            f"all=${{all}}{chr(97 + number)}; sleep 0.0{9 - number % 10}",
            session=shell.name,
            request_id=str(number),
        )
    assert [shell.connection.receive()["request_id"] for _ in range(20)] == [
        str(number) for number in range(20)
    ]
    assert shell("echo $all")["output"] == "abcdefghijklmnopqrst\n"


def test_a_stream_in_a_session_is_a_stream(shell: Shell) -> None:
    """Everything that commands can do, they can do there."""
    story = streamed(shell.connection, "echo a; sleep 0.2; echo b; exit 2", "r", session=shell.name)
    assert (story.stdout, story.result["returncode"]) == (b"a\nb\n", 2)
    assert story.result["session_ended"] is True


def test_a_timeout_in_a_session_ends_what_runs(shell: Shell) -> None:
    """And says whether the shell with its state is gone."""
    shell("x=kept")
    began = time.monotonic()
    result = shell("echo before; sleep 60; echo after", timeout=1)
    assert time.monotonic() - began < 5
    assert (result["returncode"], result["timed_out"]) == (124, True)
    assert result["output"].startswith("before\n")
    expected = "\n" if result.get("session_ended") else "kept\n"
    assert shell("echo $x")["output"] == expected


def test_a_builtin_loop_in_a_session_can_be_timed_out(shell: Shell) -> None:
    """There is no child to signal: the shell itself is what runs."""
    began = time.monotonic()
    result = shell("while :; do :; done", timeout=0.5)
    assert time.monotonic() - began < 5
    assert (result["returncode"], result["timed_out"]) == (124, True)
    assert shell("echo next")["output"] == "next\n"


def test_a_command_that_waits_for_its_session_can_time_out(shell: Shell) -> None:
    """The clock starts when it was asked for, and the session is not harmed."""
    shell.connection.ask("x=kept; sleep 1.5", session=shell.name, request_id="first")
    shell.connection.ask("echo never", session=shell.name, request_id="second", timeout=0.3)
    second, first = shell.connection.receive(), shell.connection.receive()
    assert (second["request_id"], second["returncode"]) == ("second", 124)
    assert (first["request_id"], first["returncode"]) == ("first", 0)
    assert shell("echo $x")["output"] == "kept\n"


def test_a_signal_reaches_what_the_session_runs_and_not_its_shell(shell: Shell) -> None:
    """Ctrl-C at a prompt ends the program, not the prompt."""
    shell("x=kept")
    shell.connection.ask("sleep 60", session=shell.name, request_id="long", stream=True)
    assert shell.connection.receive()["type"] == "started"
    eventually(lambda: shell.connection.run("pgrep -x sleep")["returncode"] == 0)
    shell.connection.send({"type": "signal", "request_id": "long", "signal": "TERM"})
    assert Story("long").read(shell.connection).result["returncode"] == 143
    assert shell("echo $x")["output"] == "kept\n"


def test_stdin_in_a_session(shell: Shell) -> None:
    """Commands read their own input and never the shell's script."""
    assert shell("cat", stdin="text")["output"] == "text"
    assert shell("cat")["output"] == ""
    assert shell("read -r line; echo [$line]", stdin="a b\n")["output"] == "[a b]\n"
    shell.connection.ask("cat", session=shell.name, request_id="talk", interactive=True)
    shell.connection.send({"type": "stdin", "request_id": "talk", "data": "said", "eof": True})
    assert shell.connection.receive()["output"] == "said"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "ä", "x" * 65, "a\n", 5, "$(id)"])
def test_a_session_name_of_other_characters_is_a_bad_request(
    connection: Connection, name: object
) -> None:
    """A name is a name and nothing that a shell or a path could see more in."""
    assert connection.run("true", session=name, request_id="n")["code"] == "bad_request"


def test_a_session_over_docker_exec(own_gateway) -> None:
    """The same agent behind the other way to reach it, and it outlives the gateway."""
    gateway = own_gateway(link="exec").start_ready()
    sandbox = gateway.create()
    with connect(gateway, sandbox) as connection:
        connection.run("cd /tmp; x=kept", session="main")
    gateway.kill()
    gateway.start_ready()
    with connect(gateway, sandbox) as connection:
        result = connection.run("pwd; echo $x; exit 3", session="main")
    assert (result["output"], result["returncode"]) == ("/tmp\nkept\n", 3)

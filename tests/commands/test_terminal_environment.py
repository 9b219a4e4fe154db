"""A terminal has the environment that commands have, and its own size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.story import Story
from tests.commands.test_terminals import Screen
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

SIZE = {"cols": 80, "rows": 24}
GIVEN = {"PATH": "/opt/special:/usr/local/bin:/usr/bin:/bin", "STAGE": "test"}

FOLLOWS = """
import curses
def main(screen):
    screen.addstr(0, 0, "ready.%d.%d." % screen.getmaxyx()); screen.refresh()
    while screen.getch() != curses.KEY_RESIZE: pass
    screen.erase(); screen.addstr(0, 0, "resized.%d.%d." % screen.getmaxyx()); screen.refresh()
curses.wrapper(main)
"""


@pytest.fixture(scope="module")
def given(shared_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox with a PATH of its own."""
    answer = shared_gateway.post("/sandboxes", json={"env": GIVEN})
    assert answer.status_code == 201, answer.text
    sandbox_id = answer.json()["sandbox_id"]
    yield sandbox_id
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")


def _shown(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    """What a command prints in a fresh terminal."""
    screen = Screen(gateway, sandbox_id, "?cols=999&rows=200")
    screen.type(f"echo '<''<'; {command}; echo '>''>'; exit\r".encode())
    screen.result()
    text = screen.bytes.decode()
    return text[text.index("<<") + 2 : text.rindex(">>")].strip().replace("\r\n", "\n")


def test_a_terminal_has_the_path_of_commands(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """What is installed in the image is found by its name in both."""
    with connect(shared_gateway, module_sandbox) as connection:
        path = connection.output_of("echo $PATH").strip()
    assert "/.local/bin" in path
    assert _shown(shared_gateway, module_sandbox, "echo $PATH") == path


def test_a_terminal_has_what_its_sandbox_was_created_with(
    shared_gateway: GatewayProcess, given: str
) -> None:
    """PATH among it; what the user's own ~/.profile adds comes on top, as at any login."""
    shown = _shown(shared_gateway, given, "echo $STAGE; echo $PATH")
    stage, path = shown.split("\n")
    assert stage == "test"
    assert path in (GIVEN["PATH"], "/home/user/.local/bin:" + GIVEN["PATH"])


def test_a_terminal_is_a_login_shell(shared_gateway: GatewayProcess, given: str) -> None:
    """With everything that the image and the user have for one, in its order; and history,
    options and `logout` as there."""
    with connect(shared_gateway, given) as connection:
        connection.output_of(
            "cp ~/.profile /tmp/profile.kept; echo 'export MINE=$PATH; PATH=/mine:$PATH'"
            " >>~/.profile;"
            "echo 'alias greet=\"echo hi\"' >>~/.bashrc; echo 'echo bye >/tmp/bye' >~/.bash_logout"
        )
        try:
            shown = _shown(
                shared_gateway,
                given,
                "shopt -q login_shell && echo login; set -o | grep posix; echo $HISTFILE; greet;"
                " echo $MINE; echo $PATH; echo [${ENV-none}${POSIXLY_CORRECT-}];"
                " command ls /proc/$$/fd",
            ).split("\n")
        finally:
            connection.output_of("mv /tmp/profile.kept ~/.profile; rm -f ~/.bash_logout")
        assert shown[0] == "login"
        assert shown[1].split() == ["posix", "off"]
        assert shown[2:4] == ["/home/user/.bash_history", "hi"]
        assert GIVEN["PATH"] in shown[4]
        assert shown[5].startswith("/mine:")
        assert GIVEN["PATH"] in shown[5]
        assert shown[6] == "[none]"
        assert set(" ".join(shown[7:]).split()) == {"0", "1", "2", "255"}
        assert connection.output_of("cat /tmp/bye") == "bye\n"


def test_a_terminal_differs_from_a_login_in_its_path_alone(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Options and variables of the shell are those of `bash -l`."""
    look = "shopt -p; set -o; compgen -v | sort"
    own = _shown(shared_gateway, module_sandbox, look)
    login = _shown(shared_gateway, module_sandbox, f"bash -lic '{look}' | cat; true")
    screen = Screen(shared_gateway, module_sandbox, "?cols=999&rows=200")
    screen.type(f"exec bash -l\recho '<''<'; {look}; echo '>''>'; exit\r".encode())
    screen.result()
    text = screen.bytes.decode().replace("\r\n", "\n")
    wanted = text[text.index("<<") + 2 : text.rindex(">>")].strip()
    assert login
    assert set(own.split("\n")) ^ set(wanted.split("\n")) <= {"OLDPWD"}


@pytest.mark.parametrize(("shell", "name"), [("/bin/sh", "sh"), ("/bin/dash", "dash")])
def test_other_shells_have_the_path_too(
    shared_gateway: GatewayProcess, shell: str, name: str
) -> None:
    """SHELL says which one a terminal has."""
    answer = shared_gateway.post("/sandboxes", json={"env": {**GIVEN, "SHELL": shell}})
    sandbox_id = answer.json()["sandbox_id"]
    shown = _shown(shared_gateway, sandbox_id, "echo $PATH $0; echo [${ENV-none}]").split("\n")
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")
    assert GIVEN["PATH"] in shown[0]
    assert name in shown[0].split()[1]
    assert shown[1] == "[none]"


def test_what_the_system_adds_for_logins_is_kept(own_gateway, tmp_path) -> None:
    """A reset of PATH is undone; a directory that the system adds is not lost."""
    gateway: GatewayProcess = own_gateway(workers="1").start_ready()
    sandbox_id = gateway.create()
    container = gateway.engine.container_of(sandbox_id)
    api = gateway.engine.api
    write = "echo 'export PATH=$PATH:/usr/local/go/bin GOROOT=/usr/local/go' >/etc/profile.d/go.sh"
    started = api.exec_create(container, ["sh", "-c", write], user="0:0")
    api.exec_start(started)
    assert api.exec_inspect(started)["ExitCode"] == 0
    path, root = _shown(gateway, sandbox_id, "echo $PATH; echo $GOROOT").split("\n")
    assert path.endswith(":/usr/local/go/bin")
    assert "/usr/local/sbin" in path
    assert root == "/usr/local/go"


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def test_a_full_screen_program_follows_a_resize(connection: Connection) -> None:
    """ncurses takes LINES and COLUMNS for the truth where it finds them (ncurses(3))."""
    connection.ask(f"python3 -c '{FOLLOWS}'", request_id="c", stream=True, tty=SIZE)
    story = Story("c")
    while b"ready.24.80." not in story.stdout:
        story.take(connection.receive())
    connection.send({"type": "resize", "request_id": "c", "cols": 100, "rows": 30})
    assert b"resized.30.100." in story.read(connection, within_s=15).stdout


def test_a_terminals_programs_follow_a_resize(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """In the raw terminal likewise, for whatever the shell starts."""
    screen = Screen(shared_gateway, module_sandbox, "?cols=80&rows=24")
    with connect(shared_gateway, module_sandbox) as connection:
        connection.run("cat >/tmp/follows.py", stdin=FOLLOWS)
    screen.type(b"clear; python3 /tmp/follows.py\r")
    screen.shows(b"ready.24.80.")
    screen.resize(90, 40)
    screen.shows(b"resized.40.90.")
    screen.type(b"exit\r")
    screen.result()


@pytest.mark.parametrize(
    "command", ["env", "bash -c env", "python3 -c 'import os; print(os.environ)'"]
)
def test_no_size_is_in_the_environment(connection: Connection, command: str) -> None:
    """It would be that of the beginning for ever."""
    output = connection.run(command, tty=SIZE)["output"]
    assert "COLUMNS" not in output
    assert "LINES" not in output
    assert "xterm-256color" in output


def test_sizes_that_a_client_gives_are_its_own(connection: Connection) -> None:
    """Who wants a fixed width says so."""
    output = connection.run("echo $COLUMNS", tty=SIZE, env={"COLUMNS": "33"})["output"]
    assert output == "33\r\n"

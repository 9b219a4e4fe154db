"""The WebSocket as section 1 of the contract has it, seen by two foreign client libraries."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.support.clients import LIBRARIES, Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

Connect = Callable[[], Connection]


@pytest.fixture(params=LIBRARIES)
def open_client(
    gateway: GatewayProcess, module_sandbox: str, request: pytest.FixtureRequest
) -> Iterator[Connect]:
    """Opens connections to the module's sandbox, by each library in turn."""
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(connect(gateway, module_sandbox, request.param))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def client(open_client: Connect) -> Connection:
    return open_client()


def test_an_answer_has_exactly_seven_keys(client: Connection) -> None:
    """Existing clients were written against these keys; one more would break strict ones."""
    before = datetime.now()
    client.ask("echo out; echo err >&2", request_id="seven")
    text = client.client.receive_text()

    result = json.loads(text)
    timestamp = result.pop("timestamp")
    assert result == {
        "request_id": "seven",
        "command": "echo out; echo err >&2",
        "success": True,
        "output": "out\n",
        "error": "err\n",
        "returncode": 0,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", timestamp)
    assert abs((datetime.fromisoformat(timestamp) - before).total_seconds()) < 10


def test_a_missing_request_id_becomes_a_uuid4(client: Connection) -> None:
    """Clients that do not care still get an id to log, another one for each command."""
    ids = [client.run("true")["request_id"] for _ in range(3)]
    ids.append(client.run("true", request_id=None)["request_id"])

    assert len(set(ids)) == 4
    for request_id in ids:
        assert str(uuid.UUID(request_id, version=4)) == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 256, "名前\u0000\n\"'\\", "\U0001f4a9"])
def test_a_request_id_comes_back_unchanged(client: Connection, request_id: str) -> None:
    """It is the client's own; whatever text it is, answers are found by it."""
    result = client.run("true", request_id=request_id)

    if request_id:
        assert result["request_id"] == request_id
    else:
        assert result["request_id"] == "" or uuid.UUID(result["request_id"])


@pytest.mark.parametrize(
    ("command", "returncode"),
    [
        ("true", 0),
        ("exit 3", 3),
        ("false", 1),
        ("exit 255", 255),
        ("no-such-command", 127),
        ("/etc/passwd", 126),
        ("/home", 126),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
        ("sh -c 'kill -INT $$'", 130),
        ("if then", 2),
        ("", 0),
        ("# only a comment", 0),
    ],
)
def test_returncodes_are_those_of_the_shell(
    client: Connection, command: str, returncode: int
) -> None:
    """127 not found, 126 not executable, 128+n killed by signal n: scripts branch on them."""
    result = client.run(command)

    assert result["returncode"] == returncode, result
    assert result["success"] is (returncode == 0)


def test_stdout_and_stderr_stay_apart(client: Connection) -> None:
    """Programs parse `output`; a warning on stderr must not get into it."""
    result = client.run("for i in 1 2 3; do echo o$i; echo e$i >&2; done")

    assert result["output"] == "o1\no2\no3\n"
    assert result["error"] == "e1\ne2\ne3\n"


def test_a_shells_complaint_is_in_error(client: Connection) -> None:
    """Why a command could not be run is what people look for first."""
    result = client.run("no-such-command")

    assert result["output"] == ""
    assert "no-such-command" in result["error"]
    assert "not found" in result["error"]


def test_commands_run_as_an_ordinary_user_at_home(
    client: Connection, gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The sandbox's own uid, called `user`, in /home/user, with the environment of a login."""
    uid = gateway.engine.uid_of(module_sandbox)
    result = client.run("id -u; id -g; pwd; echo $HOME; whoami; touch here && rm here; echo $USER")

    assert result["output"].split("\n")[:5] == [uid, "1000", "/home/user", "/home/user", "user"]
    assert result["output"].split("\n")[5] == "user"


def test_the_shell_is_bash_and_fresh_each_time(client: Connection) -> None:
    """`/bin/bash -c`: bash syntax works, and nothing of one command is left for the next."""
    first = client.run("[[ a == a ]] && echo $0; cd /; export LEFT=over; alias x=y")
    second = client.run("pwd; echo [$LEFT]")

    assert first["output"] == "/bin/bash\n"
    assert second["output"] == "/home/user\n[]\n"


def test_stdin_is_empty(client: Connection) -> None:
    """A command that reads it must see its end at once and not wait for ever."""
    result = client.run("cat; read line; echo $?", within_s=10)

    assert result["output"] == "1\n"


def test_files_persist_between_commands_and_connections(open_client: Connect) -> None:
    """A sandbox is one machine, whoever is connected."""
    with open_client() as first:
        first.run("echo kept > persistent; mkdir -p a/b")
    second = open_client()

    assert second.output_of("cat persistent; ls -d a/b") == "kept\na/b\n"


def test_answers_come_in_the_order_in_which_commands_finish(client: Connection) -> None:
    """A slow command must not hold the answers of fast ones behind it."""
    client.ask("sleep 1.2", request_id="slow")
    client.ask("sleep 0.6", request_id="middle")
    client.ask("true", request_id="fast")

    assert [client.receive()["request_id"] for _ in range(3)] == ["fast", "middle", "slow"]


def test_several_commands_run_at_the_same_time(client: Connection) -> None:
    """In flight means running: ten sleeps of a second take about one."""
    started = time.monotonic()
    for number in range(10):
        client.ask(f"sleep 1; echo {number}", request_id=str(number))
    results = {result["request_id"]: result for result in (client.receive() for _ in range(10))}

    assert time.monotonic() - started < 4
    assert {key: result["output"] for key, result in results.items()} == {
        str(number): f"{number}\n" for number in range(10)
    }


def test_more_commands_than_run_at_once_are_all_answered(client: Connection) -> None:
    """Pipelining has no silent limit: what cannot run yet waits its turn."""
    for number in range(400):
        client.ask(f"echo {number}", request_id=str(number))
    results = {result["request_id"]: result["output"] for result in map(_receive, [client] * 400)}

    assert results == {str(number): f"{number}\n" for number in range(400)}


def _receive(client: Connection) -> dict:
    return client.receive()


def test_several_clients_use_one_sandbox_at_once(open_client: Connect) -> None:
    """Any number of clients per sandbox; each gets its own answers and no other's."""
    clients = [open_client() for _ in range(8)]

    for number, client in enumerate(clients):
        client.ask(f"sleep 0.3; echo {number}", request_id="same-id-everywhere")
    outputs = [client.receive()["output"] for client in clients]

    assert outputs == [f"{number}\n" for number in range(8)]
    for client in clients:
        with pytest.raises(TimeoutError):
            client.receive(within_s=0.05)


def test_text_passes_unchanged_both_ways(client: Connection) -> None:
    """Quotes, newlines, every plane of Unicode, control characters: no layer may touch them."""
    text = "'\"\\$`!\t 沙箱 \U0001f40d é é \u202e \x1b[31m\x7f"

    result = client.run(f"cat <<'EOF'\n{text}\nEOF\n")

    assert result["output"] == text + "\n"
    assert result["command"] == f"cat <<'EOF'\n{text}\nEOF\n"


def test_bytes_that_are_no_utf8_become_replacement_characters(client: Connection) -> None:
    """A frame has to be UTF-8; what is not is marked and not dropped."""
    result = client.run(r"printf 'a\xff\xfeb\xc3\xa9\xe2\x82'")

    assert result["output"] == "a\ufffd\ufffdb\u00e9\ufffd"


def test_a_background_child_does_not_hold_the_result(client: Connection) -> None:
    """`server &` with stdout open: the result comes when the shell itself has exited."""
    started = time.monotonic()
    result = client.run("sleep 20 & echo started; echo $! > background.pid")

    assert time.monotonic() - started < 5
    assert (result["output"], result["returncode"]) == ("started\n", 0)
    client.run("kill $(cat background.pid)")


def test_a_background_child_may_go_on_writing(client: Connection) -> None:
    """Its pipe stays open after the result: writing to it must not kill it (SIGPIPE)."""
    client.run(
        "rm -f survived; (for i in $(seq 5); do sleep 0.1; head -c 100000 /dev/zero; done;"
        " echo yes > survived) & echo started"
    )

    eventually(lambda: client.run("cat survived")["output"] == "yes\n")


def test_zombies_of_orphans_are_reaped(client: Connection) -> None:
    """An init as PID 1: thousands of orphans must not eat the process limit."""
    client.run("for i in $(seq 300); do (sleep 0.01 &) ; done")

    def zombies() -> int:
        return int(client.output_of("ps -eo stat | grep -c Z || true"))

    eventually(lambda: zombies() == 0)


def test_a_command_of_half_a_megabyte_runs(client: Connection) -> None:
    """Agents send whole files as here-documents. Linux takes no argument beyond 128 KiB
    (MAX_ARG_STRLEN, execve(2)), so such a script has to reach the shell another way, or be
    refused in words."""
    body = "x" * 500_000
    result = client.run(f"wc -c <<'EOF'\n{body}\nEOF\n")

    if result.get("returncode") != 0:
        assert result["returncode"] == 126
        assert "too long" in result["error"].lower()
    else:
        assert result["output"] == "500001\n"


def test_a_command_just_below_the_kernels_limit_runs(client: Connection) -> None:
    """128 KiB less the terminating zero is what one argument may have."""
    padding = "#" * (128 * 1024 - 1 - len("echo ok;"))

    assert client.output_of(f"echo ok;{padding}") == "ok\n"

"""An image without python3 has no agent: the core contract holds over plain docker exec."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pytest

from gateway.client import Gateway, errors
from tests.support.bare_image import image_without
from tests.support.clients import Connection, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle

MIB = 1024 * 1024
CAP = 8 * MIB


@pytest.fixture(scope="module")
def bare_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with image_without("python3 and bash") as image:
        gateway = GatewayProcess(tmp_path_factory.mktemp("bare"), image=image)
        try:
            yield gateway.start_ready()
        finally:
            gateway.close()


@pytest.fixture(scope="module")
def bare_sandbox(bare_gateway: GatewayProcess) -> str:
    return bare_gateway.create()


@pytest.fixture
def client(bare_gateway: GatewayProcess, bare_sandbox: str) -> Iterator[Connection]:
    with connect(bare_gateway, bare_sandbox) as connection:
        assert connection.run("command -v python3")["returncode"] != 0
        yield connection


def test_checkpoints_and_changes_need_no_agent(
    client: Connection, bare_gateway: GatewayProcess
) -> None:
    """They are the host's. What nobody waits for needs one, and then nothing is taken."""
    result = client.run("touch /home/user/x", checkpoint=True, changes=True)
    assert result["changes"]["added"] == ["/home/user/x"]
    assert client.run("rm /home/user/x", changes=True)["changes"]["deleted"] == ["/home/user/x"]
    assert client.run("true", checkpoint=True, once=True, request_id="o")["type"] == "error"
    taken = [one["snapshot_id"] for one in bare_gateway.get("/snapshots").json()]
    assert taken == [result["checkpoint"]]


def test_the_python_client_runs_commands(bare_gateway: GatewayProcess, bare_sandbox: str) -> None:
    """As with an agent, but for what needs one."""
    with Gateway(bare_gateway.url) as gateway:
        commands = gateway.sandbox(bare_sandbox).commands
        result = commands.run("echo out; echo err >&2; exit 3")
        assert (result.stdout, result.stderr, result.returncode) == (b"out\n", b"err\n", 3)
        assert len(commands.run("head -c 9000000 /dev/zero").stdout) == 9_000_000
        with pytest.raises(errors.FeatureMissing):
            commands.run("cat", session="main")


def test_output_error_and_returncode(
    client: Connection, bare_gateway: GatewayProcess, bare_sandbox: str
) -> None:
    """The same seven keys, the streams apart, as the same user in the same place."""
    result = client.run("echo out; echo err >&2; exit 3", request_id="mine")

    timestamp = result.pop("timestamp")
    assert len(timestamp) == 23
    assert result == {
        "request_id": "mine",
        "command": "echo out; echo err >&2; exit 3",
        "success": False,
        "output": "out\n",
        "error": "err\n",
        "returncode": 3,
    }
    uid = bare_gateway.engine.uid_of(bare_sandbox)
    assert client.output_of("id -u; pwd; echo $HOME") == f"{uid}\n/home/user\n/home/user\n"
    assert client.output_of("echo $0") == "/bin/sh\n"


@pytest.mark.parametrize(
    ("command", "returncode"),
    [
        ("true", 0),
        ("exit 255", 255),
        ("no-such-command", 127),
        ("/etc/passwd", 126),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("", 0),
    ],
)
def test_returncodes(client: Connection, command: str, returncode: int) -> None:
    """docker exec says the same as a shell."""
    result = client.run(command)

    assert (result["returncode"], result["success"]) == (returncode, returncode == 0)


def test_output_that_fits_is_byte_exact(client: Connection) -> None:
    """By SHA-256: the engine's stream loses its first bytes when it is read carelessly."""
    result = client.run("seq 300000; seq 300000 >&2")

    expected = "".join(f"{number}\n" for number in range(1, 300_001))
    for stream in ("output", "error"):
        assert _sha256(result[stream]) == _sha256(expected)
    for _ in range(30):
        assert client.output_of("echo first bytes") == "first bytes\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_text_passes_unchanged(client: Connection) -> None:
    """A character may be split between two pieces of the engine's stream."""
    assert client.output_of("for i in $(seq 20000); do printf '沙箱é'; done") == "沙箱é" * 20_000


def test_big_output_is_capped_and_costs_no_memory(
    bare_gateway: GatewayProcess, bare_sandbox: str
) -> None:
    """All of it passes the gateway here, but it never holds more than head and tail."""
    size = 60 * MIB
    with connect(bare_gateway, bare_sandbox) as client:
        client.run("head -c 20000000 /dev/zero | tr '\\0' x")
        before = bare_gateway.memory()
        result = client.run(
            f"printf HEAD; head -c {size - 8} /dev/zero | tr '\\0' x; printf TAIL", within_s=100
        )

    assert result["truncated"] == {"output_bytes": size, "error_bytes": 0}
    assert len(result["output"]) == CAP
    assert result["output"].startswith("HEADxx")
    assert result["output"].endswith("xxTAIL")
    assert bare_gateway.memory() - before < 32 * MIB


def test_several_commands_at_once_finish_in_their_own_order(client: Connection) -> None:
    """In flight on one connection, each an exec of its own."""
    client.ask("sleep 1.5; echo slow", request_id="slow")
    client.ask("echo fast", request_id="fast")

    assert [client.receive()["request_id"] for _ in range(2)] == ["fast", "slow"]


def test_stdin_is_empty(client: Connection) -> None:
    """A command that reads it sees its end."""
    assert client.run("cat; echo $?", within_s=10)["output"] == "0\n"


def test_bad_frames_are_answered(client: Connection) -> None:
    """What is on the other side makes no difference to the socket."""
    client.client.send_text("{")
    assert client.receive()["code"] == "bad_request"
    assert client.output_of("echo usable") == "usable\n"


def test_a_background_child_does_not_hold_the_result(client: Connection) -> None:
    """As with the agent; the engine closes the stream some time after the shell has exited."""
    started = time.monotonic()
    result = client.run("sleep 30 & echo started; echo $! > background.pid", within_s=15)

    assert (result["output"], result["returncode"]) == ("started\n", 0)
    assert time.monotonic() - started < 10
    client.run("kill $(cat background.pid)")


def test_a_background_command_is_not_lost(bare_gateway: GatewayProcess) -> None:
    """Its client leaves: it runs on, the sandbox is not idle until it has ended."""
    gateway = bare_gateway
    sandbox_id = gateway.create()
    client = connect(gateway, sandbox_id)
    client.run("true")
    client.ask("sleep 3; echo done > result")
    client.run("true")
    client.close()

    always(lambda: gateway.status_of(sandbox_id) == "connected", for_s=1.5)
    eventually(lambda: gateway.status_of(sandbox_id) == "idle")
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("cat result") == "done\n"
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_delete_answers_what_is_in_flight(bare_gateway: GatewayProcess) -> None:
    """A typed error, or the status of the killed command; then `ended` and 1001."""
    gateway = bare_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
        client.ask("sleep 60", request_id="in flight")
        client.run("true")
        assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
        messages, code = client.read_to_close(within_s=15)

    assert messages[-1] == {"type": "ended", "reason": "deleted"}
    [answer] = messages[:-1]
    assert answer["request_id"] == "in flight"
    assert answer.get("success") is not True
    assert code == 1001


def test_nothing_is_left_behind(bare_gateway: GatewayProcess) -> None:
    """An exec per command: none of its connections and processes stays."""

    def use(number: int) -> None:
        with connect(bare_gateway, sandbox_id) as client:
            for _ in range(3):
                assert client.output_of(f"echo {number}") == f"{number}\n"

    sandbox_id = bare_gateway.create()
    for number in range(5):
        use(number)
    with leak_oracle(bare_gateway):
        for number in range(10):
            use(number)
        eventually(lambda: bare_gateway.status_of(sandbox_id) == "idle")
        names = sorted(process.name() for process in bare_gateway.engine.processes(sandbox_id))
        assert names == ["docker-init", "sleep"]
    bare_gateway.delete(f"/sandboxes/{sandbox_id}")


def test_running_commands_survive_a_killed_gateway(own_gateway) -> None:
    """The result is lost with the gateway, the command is not; cleaned up only after its end.
    Where there is a bash, it is the shell."""
    with image_without("python3") as image:
        gateway: GatewayProcess = own_gateway(image=image, idle_timeout="1").start_ready()
        sandbox_id = gateway.create()
        client = connect(gateway, sandbox_id)
        assert client.output_of("echo $0") == "/bin/bash\n"
        started = time.monotonic()
        client.ask("sleep 6; echo done > result; sleep 1")
        client.run("true")
        gateway.kill()
        gateway.start_ready()

        eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=25)
        assert time.monotonic() - started > 7
        gateway.close()

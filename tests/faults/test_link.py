"""The link into a sandbox breaks, or the agent behind it dies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Links over docker exec: their carriers are what these tests break."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("exec-links"), link="exec", network="none")
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def _kill_carriers(gateway: GatewayProcess, sandbox_id: str) -> None:
    killed = 0
    for carrier in gateway.engine.carriers(sandbox_id):
        try:
            carrier.kill()
            killed += 1
        except psutil.NoSuchProcess:
            pass  # it has ended by itself since, as one that only started the agent does
    assert killed


def test_a_command_survives_its_broken_link(gateway: GatewayProcess, sandbox: str) -> None:
    """The docker exec behind the link is killed: the link is made anew, the result is complete,
    and the command ran once."""
    with leak_oracle(gateway), connect(gateway, sandbox) as client:
        client.run("true")
        client.ask("echo x >> runs; echo begin; sleep 2; seq 100000; echo end >&2")
        eventually(lambda: "sleep" in [p.name() for p in gateway.engine.processes(sandbox)])

        _kill_carriers(gateway, sandbox)

        result = client.receive()
        assert result["returncode"] == 0, result
        assert result["output"] == "begin\n" + "".join(f"{n}\n" for n in range(1, 100_001))
        assert result["error"] == "end\n"
        assert client.output_of("cat runs") == "x\n"


def test_a_large_result_survives_links_that_break_again_and_again(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """The result is read on where it was broken off: byte for byte, nothing twice."""
    command = "echo x >> runs; sleep 0.5; seq 1000000; seq 1000000 >&2"
    expected = "".join(f"{n}\n" for n in range(1, 1_000_001))
    with leak_oracle(gateway), connect(gateway, sandbox) as client:
        client.run("true")
        for round_number in range(5):
            client.ask(command, request_id=str(round_number))
            for _ in range(3):
                for carrier in gateway.engine.carriers(sandbox):
                    carrier.kill()
            result = client.receive()
            assert result.get("returncode") == 0, result
            assert result["output"] == expected
            assert result["error"] == expected
        assert client.output_of("cat runs") == "x\n" * 5


def test_links_of_both_workers_break_and_each_client_gets_its_answer(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Every command in flight on the sandbox goes through a link that dies."""
    clients = []
    for worker in gateway.workers():
        with gateway.only(worker):
            clients.append(connect(gateway, sandbox))
    for client in clients:
        client.run("true")
    for number in range(20):
        clients[number % 2].ask(f"sleep 1; echo {number} | tee -a all", request_id=str(number))
    eventually(lambda: [p.name() for p in gateway.engine.processes(sandbox)].count("sleep") >= 20)

    _kill_carriers(gateway, sandbox)

    for number in range(20):
        result = clients[number % 2].receive()
        assert result["output"] == f"{result['request_id']}\n"
        assert int(result["request_id"]) % 2 == number % 2
    assert clients[0].output_of("wc -l < all") == "20\n"
    for client in clients:
        client.close()


def test_kill_all_by_the_user_loses_only_what_ran(gateway: GatewayProcess, sandbox: str) -> None:
    """`kill -9 -1` ends the agent too: what ran gets a typed error, never a made-up status; the
    next command works, in the same container."""
    container_id = gateway.engine.container_of(sandbox)
    with leak_oracle(gateway), connect(gateway, sandbox) as client:
        client.run("echo kept > file")
        client.ask("sleep 60", request_id="victim")
        client.ask("sleep 0.3; kill -9 -1", request_id="killer")

        answers = [client.receive(within_s=15) for _ in range(2)]

        assert {answer["request_id"] for answer in answers} == {"victim", "killer"}
        for answer in answers:
            assert (answer["type"], answer["code"]) == ("error", "command_lost"), answer
        assert client.output_of("cat file") == "kept\n"
        assert gateway.engine.container_of(sandbox) == container_id
        assert gateway.engine.inspect(sandbox)["State"]["Running"]


def test_an_agent_killed_alone_is_replaced(gateway: GatewayProcess, sandbox: str) -> None:
    """Only the agent dies, its commands go on without it: a typed error, and then all works."""
    with leak_oracle(gateway), connect(gateway, sandbox) as client:
        client.run("true")
        client.ask("sleep 30", request_id="orphan")
        eventually(lambda: "sleep" in [p.name() for p in gateway.engine.processes(sandbox)])
        [agent] = gateway.engine.agents(sandbox)

        agent.kill()

        answer = client.receive(within_s=15)
        assert (answer["request_id"], answer["code"]) == ("orphan", "command_lost")
        assert client.output_of("echo again") == "again\n"


@pytest.mark.parametrize("action", ["suspend", "kill"])
def test_a_stopped_or_dead_agent_in_one_sandbox_disturbs_no_other(
    gateway: GatewayProcess, sandbox: str, action: str
) -> None:
    """The user may stop the agent (`kill -STOP`): only that sandbox waits for it."""
    other = gateway.create()
    with connect(gateway, sandbox) as victim, connect(gateway, other) as client:
        victim.run("true")
        [agent] = gateway.engine.agents(sandbox)
        getattr(agent, action)()
        victim.ask("echo ran >> ran; echo late", request_id="late")

        for number in range(10):
            assert client.run(f"echo {number}", within_s=5)["output"] == f"{number}\n"
        assert gateway.get("/healthz", timeout=2).status_code == 200

        if action == "suspend":
            agent.resume()
            assert victim.receive()["output"] == "late\n"
        else:
            # Sent to the dead agent, it is lost: whether it was begun cannot be known. Seen dead
            # before, the agent was replaced, and the new one was sent it. Nothing runs it twice.
            answer = victim.receive()
            lost = answer.get("type") == "error"
            assert answer["code" if lost else "output"] == ("command_lost" if lost else "late\n")
            expected = 0 if lost else 1
            assert victim.output_of("cat ran 2>/dev/null | wc -l").strip() == str(expected)
    gateway.delete(f"/sandboxes/{other}")


def test_a_stopped_agent_does_not_hold_up_delete(gateway: GatewayProcess) -> None:
    """A sandbox whose agent does not answer can still be got rid of, quickly."""
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
        gateway.engine.agents(sandbox_id)[0].suspend()
        client.ask("true", request_id="never")

        assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=10).status_code == 200
        messages, code = client.read_to_close(within_s=10)

    assert messages[-1] == {"type": "ended", "reason": "deleted"}
    assert [message["request_id"] for message in messages[:-1]] == ["never"]
    assert code == 1001


def test_a_stopped_agent_does_not_keep_an_idle_sandbox_for_ever(own_gateway) -> None:
    """Clean-up asks the agent what runs; one that never answers must not stop it, nor the
    clean-up of the others."""
    gateway: GatewayProcess = own_gateway(idle_timeout="1").start_ready()
    stuck = gateway.create()
    with connect(gateway, stuck) as client:
        client.run("true")
        gateway.engine.agents(stuck)[0].suspend()
    other = gateway.create()

    eventually(lambda: gateway.status_of(other) == "404", within_s=10)
    eventually(lambda: gateway.status_of(stuck) == "404", within_s=90, every_s=0.5)


def _take_over(gateway: GatewayProcess, sandbox: str, client: Connection) -> None:
    """Kill the agent from within and let `impostor.py` bind its socket before anybody else: again
    and again, for the gateway's next agent may be faster."""
    attempt = "pkill -9 sbxgwd; python3 impostor.py"
    client.run(
        f'setsid sh -c "for n in 1 2 3 4 5 6 7 8 9; do {attempt}; done" >/dev/null 2>&1 & sleep 5',
        within_s=60,
    )
    eventually(lambda: any("impostor.py" in line for line in gateway.engine.command_lines(sandbox)))


GARBAGE = {
    "random": "import os; os.write(1, os.urandom(5000))",
    "zeros": "import os; os.write(1, b'\\0' * 100000)",
    "frames": "import os; os.write(1, b'\\0\\0\\0\\2\\3\\0\\0\\0\\1{}' * 1000)",
    "huge": "import os; os.write(1, b'\\xff' * 9)",
    "silent": "import time; time.sleep(600)",
    "nothing": "pass",
}


def test_an_impostor_in_the_agents_place_gets_nowhere(gateway: GatewayProcess) -> None:
    """The user owns everything in the sandbox, the agent's socket included. Whatever sits there,
    the gateway answers in bounded time with a typed error, and serves everybody else."""

    def answer_despite(garbage: str) -> dict:
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as client:
            client.run(f"cat > impostor.py <<'EOF'\n{_impostor_that_sends(garbage)}\nEOF\n")
            _take_over(gateway, sandbox_id, client)
            client.ask("echo owned", request_id="after")
            answer = client.receive(within_s=40)
        assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
        return answer

    # All at once, for each takes as long as the gateway waits for an agent.
    other = gateway.create()
    with connect(gateway, other) as neighbour, ThreadPoolExecutor(len(GARBAGE)) as pool:
        answers = {name: pool.submit(answer_despite, garbage) for name, garbage in GARBAGE.items()}
        while not all(answer.done() for answer in answers.values()):
            assert neighbour.run("echo well", within_s=5)["output"] == "well\n"
            time.sleep(0.2)

    for name, future in answers.items():
        answer = future.result()
        assert answer["request_id"] == "after", name
        assert answer.get("type") == "error" or answer["output"] == "owned\n", (name, answer)
    assert gateway.delete(f"/sandboxes/{other}").status_code == 200
    assert gateway.get("/readyz").status_code == 200


def _impostor_that_sends(garbage: str) -> str:
    return f"""
import socket, array, os
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0sandbox-agent-2")
listener.listen(64)
if os.fork(): os._exit(0)
os.setsid()
while True:
    carrier, _ = listener.accept()
    _, ancillary, _, _ = carrier.recvmsg(1, socket.CMSG_SPACE(8))
    fds = array.array("i", ancillary[0][2])
    if os.fork() == 0:
        os.dup2(fds[1], 1)
        {garbage}
        os._exit(0)
    for fd in fds: os.close(fd)
    carrier.close()
"""


EVENTS = {
    "surrogate in a refusal": {"event": "refused", "code": "x", "detail": "\ud800"},
    "size beyond 64 bits": {"event": "exit", "returncode": 0}
    | {"stdout": 2**70, "stderr": 0, "windows": [[], []]},
    "surrogate in a failure": {"event": "exit", "returncode": 0, "failure": "\ud800"}
    | {"stdout": 0, "stderr": 0, "windows": [[], []]},
}


def test_an_impostor_that_speaks_the_protocol_cannot_silence_an_answer(
    gateway: GatewayProcess,
) -> None:
    """What JSON lets pass and orjson does not write: each command is answered all the same."""

    def answers_despite(event: dict) -> list[dict]:
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as client:
            client.run(f"cat > impostor.py <<'EOF'\n{_impostor_that_says(event)}\nEOF\n")
            _take_over(gateway, sandbox_id, client)
            for number in range(3):
                client.ask("echo owned", request_id=str(number))
            answers = [client.receive(within_s=10) for _ in range(3)]
        assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
        return answers

    with ThreadPoolExecutor(len(EVENTS)) as pool:
        for name, answers in zip(EVENTS, pool.map(answers_despite, EVENTS.values()), strict=True):
            assert {answer["request_id"] for answer in answers} == {"0", "1", "2"}, name
            assert not any("Traceback" in str(answer) for answer in answers), name


def _impostor_that_says(event: dict) -> str:
    return f"""
import array, json, os, socket, struct
def frame(kind, channel, message):
    payload = json.dumps(message).encode()
    return struct.pack("!IBI", len(payload), kind, channel) + payload
def exactly(fd, size):
    taken = b""
    while len(taken) < size:
        piece = os.read(fd, size - len(taken))
        if not piece: os._exit(0)
        taken += piece
    return taken
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0sandbox-agent-2")
listener.listen(64)
if os.fork(): os._exit(0)
os.setsid()
while True:
    carrier, _ = listener.accept()
    _, ancillary, _, _ = carrier.recvmsg(1, socket.CMSG_SPACE(8))
    source, target = array.array("i", ancillary[0][2])
    if os.fork() == 0:
        hello = {{"protocol": 2, "daemon": "x", "pid": 1, "running": 0}}
        os.write(target, frame(1, 0, hello))
        while True:
            size, kind, channel = struct.unpack("!IBI", exactly(source, 9))
            exactly(source, size)
            if kind == 2: os.write(target, frame(3, channel, json.loads({json.dumps(event)!r})))
    os.close(source); os.close(target); carrier.close()
"""

"""When the host runs out of memory, the kernel ends what is in sandboxes, and not the gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gateway.engine.container_hardening import SANDBOX_USER
from tests.security.conftest import Place
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.memory_group import MemoryGroup, oom_score_adj, pids_like

GROUP_MB = 160

_SMALL_PIECES = (
    "import os, time\n"
    "while not os.path.exists('/tmp/go'):\n"
    "    time.sleep(0.05)\n"
    "for number in range(24):\n"
    "    if os.fork() == 0:\n"
    "        held = bytearray(b'x') * (12 << 20)\n"
    "        time.sleep(3)\n"
    "        os._exit(0)\n"
    "for number in range(24):\n"
    "    os.wait()\n"
)
"""288 MB in processes of some 20 MB each, less than a worker has: by size that would go first."""


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    made = MemoryGroup(f"sgw-test-{os.getpid()}", GROUP_MB)
    yield made
    made.close()


def _run(gateway: GatewayProcess, sandbox_id: str, *argv: str, detach: bool = False) -> None:
    api = gateway.engine.api
    container_id = gateway.engine.container_of(sandbox_id)
    command = api.exec_create(container_id, list(argv), user=SANDBOX_USER)
    api.exec_start(command["Id"], detach=detach)


def test_the_kernel_takes_what_is_in_a_sandbox(
    runc_gateway: GatewayProcess, group: MemoryGroup
) -> None:
    """A worker is larger than each of the sandbox's processes and so went first, and with it every
    client's connection. These are started as in an image without python3, where no agent tells the
    kernel what to take."""
    gateway = runc_gateway
    sandbox_id = gateway.create(memory_mb=512)
    workers = [worker.pid for worker in gateway.workers()]
    first = gateway.engine.inspect(sandbox_id)["State"]["Pid"]
    before = len(pids_like(first))
    _run(gateway, sandbox_id, "python3", "-c", _SMALL_PIECES, detach=True)
    eventually(lambda: len(pids_like(first)) > before)
    group.take([gateway.pid, *workers, *pids_like(first)])

    _run(gateway, sandbox_id, "touch", "/tmp/go")
    eventually(lambda: group.kills() >= 5, within_s=20)

    assert [worker.pid for worker in gateway.workers()] == workers
    assert gateway.get("/healthz").status_code == 200
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_all_that_runs_in_a_sandbox_goes_first(place: Place) -> None:
    """At every level. Commands before the agent and the first process, so that the sandbox stays:
    in gVisor all are one process to the host, beside small helpers that hold nothing of theirs."""
    first = place.inspect()["State"]["Pid"]
    with place.connect() as client:
        client.ask("sleep 30", request_id=f"sleep-{place.level}")
        client.output_of("true")
        scores = {oom_score_adj(pid) for pid in pids_like(first)}

    assert oom_score_adj(first) == 500
    assert scores <= {1, 500} if place.level == "gvisor" else scores == {500, 800}


def test_a_command_cannot_spare_itself(runc_gateway: GatewayProcess) -> None:
    """Where the engine's root has CAP_SYS_RESOURCE, nobody without it goes below what that has set
    (proc(5)). Elsewhere the posture says that it is not held."""
    sandbox_id = runc_gateway.create()
    with connect(runc_gateway, sandbox_id) as client:
        told = client.run("echo 0 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj")
    runc_gateway.delete(f"/sandboxes/{sandbox_id}")

    is_held = _may_lower(os.getpid())
    assert told["output"] == ("800\n" if is_held else "0\n")
    assert runc_gateway.get("/readyz").json()["posture"]["oom"]["ok"] is is_held


def test_the_gateway_goes_last(runc_gateway: GatewayProcess) -> None:
    """As low as the host lets it; it says what that came to."""
    pids = [runc_gateway.pid, *(worker.pid for worker in runc_gateway.workers())]
    [score] = {oom_score_adj(pid) for pid in pids}

    check = runc_gateway.get("/readyz").json()["posture"]["oom"]
    assert f"the gateway {score}" in check["detail"]
    may_lower = _may_lower(pids[0])
    assert score == (-500 if may_lower else oom_score_adj(os.getpid()))


def _may_lower(pid: int) -> bool:
    """Whether it has CAP_SYS_RESOURCE (24, capabilities(7))."""
    with open(f"/proc/{pid}/status") as status:
        [mask] = [line.split()[1] for line in status if line.startswith("CapEff:")]
    return bool(int(mask, 16) >> 24 & 1)

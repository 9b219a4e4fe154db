"""What a client asks for is what the container has; what is not allowed is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import shown, states
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

MIB = 1024 * 1024

SECOND_IMAGE = f"sandbox-gateway-test-{os.getpid()}:second"


@pytest.fixture(scope="session")
def shared_gateway(default_gateway: GatewayProcess) -> GatewayProcess:
    """With the usual settings."""
    return default_gateway


@pytest.fixture(scope="module")
def second_image() -> Iterator[str]:
    """Another name of the sandbox image."""
    api = docker.APIClient(version="auto")
    base = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    repository, _, tag = SECOND_IMAGE.partition(":")
    api.tag(base, repository, tag)
    yield SECOND_IMAGE
    api.remove_image(SECOND_IMAGE)
    api.close()


@pytest.fixture(scope="module")
def bounded(
    tmp_path_factory: pytest.TempPathFactory, second_image: str
) -> Iterator[GatewayProcess]:
    """A gateway whose operator allows little, and a second image."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("bounded"),
        images=second_image,
        memory_mb="128",
        max_memory_mb="256",
        cpus="0.5",
        max_cpus="1",
        pids="64",
        max_pids="128",
        idle_timeout="300",
        max_idle_timeout="600",
        max_timeout="900",
        max_disk_mb="1024",
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture
def create(bounded: GatewayProcess) -> Iterator[Any]:
    """Creates sandboxes with these options; they go with the test."""
    made: list[str] = []

    def create(**wanted: object) -> str:
        made.append(bounded.create(**wanted))
        return made[-1]

    yield create
    for sandbox_id in made:
        bounded.delete(f"/sandboxes/{sandbox_id}")


def test_limits_arrive_in_the_container(bounded: GatewayProcess, create: Any) -> None:
    """Memory and swap together, CPU and processes are what was asked for."""
    sandbox_id = create(memory_mb=200, cpus=0.75, pids=100)

    host = bounded.engine.inspect(sandbox_id)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (200 * MIB, 200 * MIB)
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.75
    assert host["PidsLimit"] == 100
    said = shown(bounded, sandbox_id)
    assert (said["memory_mb"], said["cpus"], said["pids"]) == (200, 0.75, 100)


def test_what_is_not_asked_for_is_the_operators_default(
    bounded: GatewayProcess, create: Any
) -> None:
    """An empty body, an empty object and nulls are one and the same."""
    for wanted in ({}, {"memory_mb": None, "labels": {}}):
        sandbox_id = create(**wanted)
        host = bounded.engine.inspect(sandbox_id)["HostConfig"]
        assert host["Memory"] == 128 * MIB
        assert host["CpuQuota"] / host["CpuPeriod"] == 0.5
        assert host["PidsLimit"] == 64
        said = shown(bounded, sandbox_id)
        assert said["idle_timeout"] == 300
        assert said["idle_action"] == "delete"
        assert (said["timeout"], said["expires_at"]) == (None, None)


def test_the_memory_limit_holds_inside(bounded: GatewayProcess, create: Any) -> None:
    """What would fit into 200 MiB is killed in 64, and the sandbox survives it."""
    take = "python3 -c 'print(len(bytearray(100 << 20)))'"

    assert result_of(bounded, create(memory_mb=200), take)["output"] == f"{100 << 20}\n"
    small = create(memory_mb=64)
    assert result_of(bounded, small, take)["returncode"] == 137
    assert result_of(bounded, small, "echo alive")["output"] == "alive\n"


def test_the_limit_of_processes_holds_inside(bounded: GatewayProcess, create: Any) -> None:
    """Forty of them fit into a hundred and not into thirty."""
    start = "for i in $(seq 40); do sleep 3 & done; jobs -p | wc -l; kill $(jobs -p)"

    assert result_of(bounded, create(pids=100), start)["output"] == "40\n"
    assert "fork" in result_of(bounded, create(pids=30), start, timeout=5)["error"]


def test_the_limit_of_cpu_holds_inside(bounded: GatewayProcess, create: Any) -> None:
    """A loop of two seconds gets a tenth of a core, by the kernel's own count."""
    burn = (
        "python3 -c 'import time; t = time.monotonic()\n"
        "while time.monotonic() < t + 2: pass\n"
        "print(time.process_time())'"
    )

    assert float(result_of(bounded, create(cpus=0.1), burn)["output"]) < 0.5


def test_environment_reaches_every_command(bounded: GatewayProcess, create: Any) -> None:
    """Byte for byte; a command's own wins over it."""
    sandbox_id = create(env={"STAGE": "t\u00e9st \u6c99 $HOME 'q'", "EMPTY": "", "PAIR": "a=b=c"})

    said = result_of(bounded, sandbox_id, 'printf "%s|%s|%s" "$STAGE" "${EMPTY-unset}" "$PAIR"')
    assert said["output"] == "t\u00e9st \u6c99 $HOME 'q'||a=b=c"
    own = result_of(bounded, sandbox_id, 'printf "$STAGE"', env={"STAGE": "own"})
    assert own["output"] == "own"


def test_network_none_has_only_a_loopback(bounded: GatewayProcess, create: Any) -> None:
    """No address, no interface, no way out, and commands run all the same."""
    sandbox_id = create(network="none")

    said = shown(bounded, sandbox_id)
    assert (said["network"], said["ip_address"]) == ("none", None)
    assert bounded.engine.inspect(sandbox_id)["HostConfig"]["NetworkMode"] == "none"
    links = result_of(bounded, sandbox_id, "tail -n +3 /proc/net/dev | cut -d: -f1 | xargs")
    assert links["output"] == "lo\n"
    with_network = create(network="bridge")
    assert shown(bounded, with_network)["ip_address"] is not None


def test_labels_are_told_and_not_seen_inside(bounded: GatewayProcess, create: Any) -> None:
    """They are the client's notes: the API gives them back, the sandbox knows nothing of them."""
    labels = {"team": "blue", "app.example/run": "\u6c99\u7bb1 = 1"}
    sandbox_id = create(labels=labels)

    assert shown(bounded, sandbox_id)["labels"] == labels
    assert "blue" not in result_of(bounded, sandbox_id, "env; cat /proc/1/environ")["output"]
    for name in labels:
        assert name not in bounded.engine.inspect(sandbox_id)["Config"]["Labels"]


def test_a_second_image_may_be_asked_for(
    bounded: GatewayProcess, create: Any, second_image: str
) -> None:
    """The operator's list counts, and the first one stays the default."""
    second, default = create(image=second_image), create()

    assert bounded.engine.inspect(second)["Config"]["Image"] == second_image
    assert shown(bounded, second)["image"] == second_image
    assert bounded.engine.inspect(default)["Config"]["Image"] != second_image


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_mb", 257),
        ("memory_mb", 31),
        ("cpus", 1.01),
        ("cpus", 0),
        ("pids", 129),
        ("disk_mb", 1025),
        ("timeout", 901),
        ("timeout", 0),
        ("idle_timeout", 601),
        ("idle_action", "explode"),
        ("network", "host"),
        ("isolation", "none"),
        ("image", "debian:latest"),
        ("image", "../../etc"),
        ("env", {"1BAD": "x"}),
        ("env", {"A=B": "x"}),
        ("env", {"NUL": "a\u0000b"}),
        ("env", {"AGENT_COMMAND_ID": "x"}),
        ("env", {"BIG": "x" * 70_000}),
        ("labels", {"io.sandbox-gateway.instance": "other"}),
        ("labels", {"bad name": "x"}),
        ("labels", {f"l{number}": "x" for number in range(65)}),
        ("labels", {"line": "a\r\nb"}),
        ("no_such_field", 1),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(
    bounded: GatewayProcess, field: str, value: object
) -> None:
    """422 that says which field; never clamped silently, and nothing is made, not even a row."""
    before = states(bounded)

    problem = problem_of(bounded.post("/sandboxes", json={field: value}), 422)

    assert problem["code"] == "invalid_fields"
    assert {error["loc"][0] for error in problem["errors"]} == {field}
    assert bounded.engine.containers() == {}
    assert states(bounded) == before


def test_everything_wrong_is_told_at_once(bounded: GatewayProcess) -> None:
    """A client that has two values wrong learns of both."""
    wanted = {"memory_mb": 100_000, "cpus": 99, "image": "other", "timeout": 10_000}

    problem = problem_of(bounded.post("/sandboxes", json=wanted), 422)

    assert {error["loc"][0] for error in problem["errors"]} == set(wanted)


def test_the_hosts_memory_is_the_limit_where_the_operator_gives_none(
    gateway: GatewayProcess,
) -> None:
    """More than the machine has is refused, not given and then swapped."""
    problem = problem_of(gateway.post("/sandboxes", json={"memory_mb": 1_000_000}), 422)
    assert problem["errors"][0]["loc"] == ["memory_mb"]
    problem = problem_of(gateway.post("/sandboxes", json={"cpus": 1000}), 422)
    assert problem["errors"][0]["loc"] == ["cpus"]

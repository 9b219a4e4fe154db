"""What a sandbox can find out about its neighbours by name: the id of none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import stored_state

_REVERSE = """
import json, socket, sys
found = {}
for address in sys.argv[1:]:
    try:
        name, aliases, _ = socket.gethostbyaddr(address)
        found[address] = [name, *aliases]
    except OSError as error:
        found[address] = []
print(json.dumps(found))
"""

_FORWARD = """
import json, socket, sys
def known(name):
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False
print(json.dumps([name for name in sys.argv[1:] if known(name)]))
"""


@pytest.fixture(scope="module")
def neighbourhood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with one sandbox in its pool."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("names"), workers="1", pool_size="1")
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture
def client(neighbourhood: GatewayProcess) -> Iterator[Connection]:
    sandbox_id = neighbourhood.create()
    with connect(neighbourhood, sandbox_id) as connection:
        yield connection
    neighbourhood.delete(f"/sandboxes/{sandbox_id}")


def _python(client: Connection, program: str, *words: str) -> object:
    arguments = " ".join(words)
    output = client.output_of(f"python3 - {arguments} <<'EOF'\n{program}\nEOF\n", within_s=60)
    return json.loads(output)


def _standing(gateway: GatewayProcess) -> str:
    """The id of the sandbox that waits in the pool."""

    def found() -> str | None:
        pooled = gateway.engine.pooled()
        return next((one for one in pooled if stored_state(gateway, one) == "pooled"), None)

    return eventually(found, within_s=60)


def _address(gateway: GatewayProcess, sandbox_id: str) -> str:
    networks = gateway.engine.inspect(sandbox_id)["NetworkSettings"]["Networks"]
    return next(network["IPAddress"] for network in networks.values())


def _name(gateway: GatewayProcess, sandbox_id: str) -> str:
    return gateway.engine.inspect(sandbox_id)["Name"].lstrip("/")


def test_reverse_dns_tells_no_id(neighbourhood: GatewayProcess, client: Connection) -> None:
    """The engine answers PTR questions about every container on the network. Without keys, who
    knows an id may use the sandbox; and the pool's next one belongs to somebody else in a moment.
    The whole network is asked, as an attacker would."""
    neighbour, waiting = neighbourhood.create(), _standing(neighbourhood)
    addresses = [_address(neighbourhood, one) for one in (neighbour, waiting)]
    found = _python(client, _REVERSE, *addresses)
    assert isinstance(found, dict)

    names = [name for listed in found.values() for name in listed]
    assert len(names) >= 2, "the engine answers, so that this test shows something"
    for sandbox_id in (neighbour, waiting):
        assert not any(sandbox_id[:8] in name for name in names), names
    neighbourhood.delete(f"/sandboxes/{neighbour}")


def test_an_id_is_no_name(neighbourhood: GatewayProcess, client: Connection) -> None:
    """Nor can a guess be confirmed by asking for it."""
    neighbour, waiting = neighbourhood.create(), _standing(neighbourhood)
    guesses = [
        prefix + one for one in (neighbour, waiting) for prefix in ("", "sandbox-", "sandbox-pool-")
    ]
    own_name = _name(neighbourhood, neighbour)

    assert _python(client, _FORWARD, own_name, *guesses) == [own_name]
    neighbourhood.delete(f"/sandboxes/{neighbour}")


def test_nothing_else_inside_tells_an_id(neighbourhood: GatewayProcess, client: Connection) -> None:
    """Not the sandbox's own either: a program that is told its id could use the gateway, where it
    can reach it, in its tenant's name."""
    neighbour, waiting = neighbourhood.create(), _standing(neighbourhood)
    own = next(one for one in neighbourhood.listed() if one != neighbour)
    seen = client.output_of(
        "cat /etc/hosts /etc/hostname /etc/resolv.conf /proc/self/mountinfo /proc/self/cgroup "
        "/proc/net/arp /proc/net/unix /proc/1/cmdline /proc/self/environ; hostname -f; "
        "cat /sys/block/loop*/loop/backing_file 2>/dev/null; true"
    )

    for sandbox_id in (neighbour, waiting, own):
        assert sandbox_id[:8] not in seen
    neighbourhood.delete(f"/sandboxes/{neighbour}")


@pytest.mark.parametrize("prefix", ["sandbox-", "sandbox-pool-"])
def test_a_name_of_an_earlier_version_goes(
    neighbourhood: GatewayProcess, client: Connection, prefix: str
) -> None:
    """After an upgrade there are containers whose names tell the id. They stay sandboxes, and get
    other names."""
    sandbox_id = neighbourhood.create()
    address = _address(neighbourhood, sandbox_id)
    engine = neighbourhood.engine
    eventually(lambda: "pool" not in _name(neighbourhood, sandbox_id))
    engine.api.rename(engine.container_of(sandbox_id), prefix + sandbox_id)

    eventually(lambda: sandbox_id not in _name(neighbourhood, sandbox_id), within_s=30)

    assert "pool" not in _name(neighbourhood, sandbox_id)
    assert sandbox_id not in str(_python(client, _REVERSE, address))
    assert _python(client, _FORWARD, prefix + sandbox_id) == []
    with connect(neighbourhood, sandbox_id) as other:
        assert other.output_of("echo here") == "here\n"
    neighbourhood.delete(f"/sandboxes/{sandbox_id}")


def test_a_name_of_an_earlier_version_goes_in_the_pool_too(neighbourhood: GatewayProcess) -> None:
    """It stays in the pool, and is given out as it is."""
    waiting = _standing(neighbourhood)
    container_id = neighbourhood.engine.container_of(waiting)
    neighbourhood.engine.api.rename(container_id, f"sandbox-pool-{waiting}")

    eventually(lambda: waiting not in _name(neighbourhood, waiting), within_s=30)

    assert waiting in neighbourhood.engine.pooled()
    assert neighbourhood.create() == waiting
    neighbourhood.delete(f"/sandboxes/{waiting}")

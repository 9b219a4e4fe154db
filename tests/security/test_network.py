"""What a sandbox reaches: the internet, and neither the host, nor private networks, nor others.

The hosts are the test's own: addresses in a network namespace, "public" ones among them.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import docker
import pytest

from gateway.engine import container_hardening
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.interface import ContainerSpec, Limits
from gateway.host import packet_filter
from gateway.host.packet_filter import PacketFilter
from gateway.host.packet_filter_rules import Policy
from tests.support.engine_view import INSTANCE_LABEL
from tests.support.other_hosts import PORT, OtherHosts, sh

ROOT = Path(__file__).resolve().parents[2]

PUBLIC = ["93.184.216.34", "45.45.45.45"]
PRIVATE = ["10.77.3.4", "172.16.99.7", "192.168.77.9", "100.64.9.9"]
METADATA = ["169.254.169.254", "169.254.170.2", "168.63.129.16"]
NAME_SERVER = "10.77.3.53"

_PROBE = """
import socket, sys
def reached(address, port):
    try:
        socket.create_connection((address, port), 2).close()
        return True
    except OSError:
        return False
for target in sys.argv[1:]:
    address, port = target.rsplit("_", 1)
    if reached(address, int(port)):
        print(target)
"""


class Sandbox:
    """A container as the gateway makes it, on the test's network."""

    def __init__(self, api: docker.APIClient, network: str, number: int) -> None:
        self._api = api
        engine = DockerEngine(60)
        try:
            info = engine.start_container(
                ContainerSpec(
                    name=f"{network}-{number}",
                    image=os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image"),
                    network=network,
                    limits=Limits(memory_mb=256, cpus=1, pids=64, file_size_mb=64),
                    labels={INSTANCE_LABEL: f"test-{os.getpid()}-network"},
                )
            )
        finally:
            engine.close()
        self.container_id = info.container_id
        assert info.ip_address is not None
        self.address = info.ip_address

    def run(self, *argv: str, detach: bool = False) -> str:
        """What a program in it prints, run as the sandbox's user."""
        created = self._api.exec_create(
            self.container_id, list(argv), user=container_hardening.SANDBOX_USER, stderr=True
        )
        return (self._api.exec_start(created["Id"], detach=detach) or b"").decode()

    def reaches(self, *addresses: str, port: int = PORT) -> set[str]:
        """Those of the addresses where a TCP connection succeeds."""
        found = self.run("python3", "-c", _PROBE, *(f"{a}_{port}" for a in addresses))
        return {line.rsplit("_", 1)[0] for line in found.splitlines()}


class Playground:
    """A network of the test's own with two sandboxes, and hosts around it."""

    def __init__(self) -> None:
        self.name = f"sgw-test-{os.getpid()}"
        self.interface = f"sgwt{os.getpid()}"
        self.policy = Policy()
        self._api = docker.APIClient(version="auto", timeout=60)
        self._engine = DockerEngine(60)
        self.filter = PacketFilter(lambda: self._engine.bridge(self.name), lambda: self.policy)
        self.sandboxes: list[Sandbox] = []
        self._others: OtherHosts | None = None
        # The other hosts' addresses are the machine's: one playground at a time, over all runs.
        self._turn = (Path(tempfile.gettempdir()) / "sandbox-gateway-playground.lock").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            self._others = OtherHosts([*PUBLIC, *PRIVATE, *METADATA, NAME_SERVER])
            self._api.create_network(self.name, **container_hardening.own_network(self.interface))
            self.sandboxes += [Sandbox(self._api, self.name, number) for number in (1, 2)]
        except BaseException:
            self.close()
            raise

    @property
    def host_address(self) -> str:
        """The host's on the sandboxes' bridge."""
        [configuration] = self._api.inspect_network(self.name)["IPAM"]["Config"]
        return configuration["Gateway"]

    def close(self) -> None:
        packet_filter.remove(self.interface)
        mine = {"label": f"{INSTANCE_LABEL}=test-{os.getpid()}-network"}
        for entry in self._api.containers(all=True, filters=mine):
            self._api.remove_container(entry["Id"], force=True, v=True)
        if self._api.networks(names=[self.name]):
            self._api.remove_network(self.name)
        if self._others is not None:
            self._others.close()
        self._turn.close()
        self._engine.close()
        self._api.close()


@pytest.fixture(scope="module")
def playground() -> Iterator[Playground]:
    made = Playground()
    yield made
    made.close()


@pytest.fixture
def unfiltered(playground: Playground) -> Iterator[Playground]:
    packet_filter.remove(playground.interface)
    playground.policy = Policy()
    yield playground
    packet_filter.remove(playground.interface)


@pytest.fixture
def filtered(unfiltered: Playground) -> Callable[..., Sandbox]:
    """Applies a policy, the default without arguments; a sandbox that lives under it."""

    def apply(*policy: object, **named: object) -> Sandbox:
        unfiltered.policy = Policy(*policy, **named)
        unfiltered.filter.apply()
        return unfiltered.sandboxes[0]

    return apply


@pytest.fixture
def host_service() -> Iterator[int]:
    """The port of a server on all addresses of this host."""
    with socket.create_server(("0.0.0.0", 0), backlog=50) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def _own_addresses(playground: Playground) -> set[str]:
    """Of this host, by which a sandbox might reach it."""
    shown = sh("ip", "-o", "-4", "address", "show", "scope", "global").splitlines()
    return {line.split()[3].partition("/")[0] for line in shown} | {playground.host_address}


def test_without_the_filter_all_are_reached(unfiltered: Playground, host_service: int) -> None:
    """Otherwise the denials below would show nothing."""
    sandbox = unfiltered.sandboxes[0]
    everything = {*PUBLIC, *PRIVATE, *METADATA}

    assert sandbox.reaches(*everything) == everything
    own = _own_addresses(unfiltered)
    assert sandbox.reaches(*own, port=host_service) == own
    ok, detail = unfiltered.filter.check()
    assert not ok
    assert "missing" in detail


def test_private_and_metadata_addresses_are_refused(filtered: Callable[..., Sandbox]) -> None:
    """At once, not by a time-out that keeps programs waiting."""
    sandbox = filtered()

    began = time.monotonic()
    assert sandbox.reaches(*PRIVATE, *METADATA) == set()
    assert time.monotonic() - began < 2


def test_the_internet_stays_reachable(filtered: Callable[..., Sandbox]) -> None:
    """Sandboxes download packages."""
    assert filtered().reaches(*PUBLIC) == {*PUBLIC}


def test_no_service_of_the_host_is_reached(
    filtered: Callable[..., Sandbox], playground: Playground, host_service: int
) -> None:
    """The gateway, the engine's API and whatever else listens there, at any of its addresses."""
    own = _own_addresses(playground)
    assert len(own) >= 2

    assert filtered().reaches(*own, port=host_service) == set()


def test_the_host_itself_may_begin(
    filtered: Callable[..., Sandbox], playground: Playground
) -> None:
    """A person on the host opens the page that a sandbox serves at its `ip_address`."""
    sandbox = filtered()
    sandbox.run("python3", "-m", "http.server", "8099", detach=True)

    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((sandbox.address, 8099), 2).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    other = playground.sandboxes[1]
    assert other.reaches(sandbox.address, port=8099) == set()


def test_sandboxes_have_no_ipv6(playground: Playground) -> None:
    """They would have link-local addresses, by which they reach each other and the host past
    every rule for IPv4."""
    assert playground.sandboxes[0].run("cat", "/proc/net/if_inet6") == ""
    found = playground.sandboxes[0].run("sh", "-c", "cat /proc/sys/net/ipv6/conf/*/disable_ipv6")
    assert set(found.split()) == {"1"}


def test_names_are_resolved_by_a_private_server(
    filtered: Callable[..., Sandbox], playground: Playground
) -> None:
    """Most hosts have their name server in a private network. The engine asks it from inside the
    container's namespace, so that the rules must know it."""
    api = docker.APIClient(version="auto", timeout=60)
    resolve = ["python3", "-c", "import socket; print(socket.gethostbyname('example.test'))"]
    created = api.create_container(
        image=os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image"),
        entrypoint=["sleep", "infinity"],
        command=[],
        labels={INSTANCE_LABEL: f"test-{os.getpid()}-network"},
        host_config=api.create_host_config(
            network_mode=playground.name, dns=[NAME_SERVER], init=True
        ),
    )
    try:
        api.start(created["Id"])

        def resolved() -> str:
            run = api.exec_create(created["Id"], resolve)
            return api.exec_start(run["Id"]).decode()

        filtered()
        assert "93.184.216.34" not in resolved()
        sandbox = filtered(name_servers=(ip_address(NAME_SERVER),))
        assert resolved() == "93.184.216.34\n"
        assert sandbox.reaches(NAME_SERVER, port=53) == {NAME_SERVER}
        assert sandbox.reaches(NAME_SERVER) == set()
    finally:
        api.remove_container(created["Id"], force=True, v=True)
        api.close()


def test_exceptions_are_reached(
    filtered: Callable[..., Sandbox], playground: Playground, host_service: int
) -> None:
    """SANDBOX_EGRESS_ALLOW: a network, and a single address that is this host's."""
    sandbox = filtered(allowed=(ip_network("10.77.0.0/16"), ip_network("172.16.0.0/12")))
    assert sandbox.reaches(*PRIVATE, *METADATA) == {"10.77.3.4", "172.16.99.7"}
    assert sandbox.reaches(playground.host_address, port=host_service) == set()

    sandbox = filtered(allowed=(ip_network(playground.host_address),))
    assert sandbox.reaches(playground.host_address, port=host_service) == {playground.host_address}
    assert sandbox.reaches(*PRIVATE) == set()


def test_with_egress_none_nothing_is_reached(filtered: Callable[..., Sandbox]) -> None:
    """But for exceptions."""
    sandbox = filtered("none", (ip_network("45.45.45.45"),))

    assert sandbox.reaches(*PUBLIC, *PRIVATE, *METADATA) == {"45.45.45.45"}


def test_with_egress_all_the_rules_go(
    filtered: Callable[..., Sandbox], playground: Playground
) -> None:
    """And what was set before is taken away again."""
    filtered()
    sandbox = filtered("all")

    assert sandbox.reaches(*PRIVATE) == {*PRIVATE}
    assert _own_rules(playground) == []
    assert playground.filter.check()[0] is False


def test_what_was_flushed_is_set_again(
    filtered: Callable[..., Sandbox], playground: Playground
) -> None:
    """A restarted firewalld leaves nothing; others put their rules first."""
    filtered()
    assert playground.filter.check() == (
        True,
        f"{playground.interface}: sandboxes reach the internet, not this host and private networks",
    )
    before = _rules()
    sh("iptables", "-F", f"SGW-FWD-{playground.interface}")
    sh(
        "iptables",
        "-D",
        "INPUT",
        *f"-i {playground.interface} -j SGW-IN-{playground.interface}".split(),
    )
    assert playground.filter.check()[0] is False

    playground.filter.apply()

    assert playground.filter.check()[0] is True
    assert playground.sandboxes[0].reaches(*PRIVATE) == set()
    assert sorted(_rules().splitlines()) == sorted(before.splitlines())


def test_applying_again_changes_nothing(
    filtered: Callable[..., Sandbox], playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel prints the rules as they are written here, or every look would set them anew."""
    filtered("internet", (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")),
             (ip_address("10.0.0.53"), ip_address("fd00::53")))  # fmt: skip
    monkeypatch.setattr(packet_filter, "_restore", lambda *_: pytest.fail("rules were set again"))

    playground.filter.apply()


def test_many_that_apply_at_once_agree(
    filtered: Callable[..., Sandbox], playground: Playground
) -> None:
    """Each worker sets the rules before its first sandbox."""
    sandbox = filtered()
    packet_filter.remove(playground.interface)
    code = (
        "import sys; from gateway.engine.docker.docker_engine import DockerEngine;"
        "from gateway.host.packet_filter import PacketFilter;"
        "from gateway.host.packet_filter_rules import Policy;"
        "PacketFilter(lambda: DockerEngine(60).bridge(sys.argv[1]), Policy).apply()"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, playground.name], cwd=ROOT) for _ in range(6)
    ]
    assert [worker.wait(60) for worker in workers] == [0] * 6

    playground.filter.apply()

    assert playground.filter.check()[0] is True
    assert len([rule for rule in _own_rules(playground) if rule.startswith("-A INPUT")]) == 2
    assert sandbox.reaches(*PRIVATE) == set()


def test_removal_leaves_nothing(filtered: Callable[..., Sandbox], playground: Playground) -> None:
    """`start.sh --stop-all`."""
    filtered()
    assert _own_rules(playground) != []

    packet_filter.remove(playground.interface)
    packet_filter.remove(playground.interface)

    assert _own_rules(playground) == []


def test_a_bridge_without_the_fixed_name_is_found() -> None:
    """Networks that an earlier version made have the engine's own name for the interface."""
    api = docker.APIClient(version="auto", timeout=60)
    engine = DockerEngine(60)
    name = f"sgw-test-{os.getpid()}-plain"
    made = api.create_network(name, driver="bridge")
    try:
        bridge = engine.bridge(name)
        assert bridge is not None
        assert bridge.interface == f"br-{made['Id'][:12]}"
        assert bridge.interface in sh("ip", "-o", "link")
        assert engine.bridge("none") is None
        assert engine.bridge(f"{name}-missing") is None
    finally:
        api.remove_network(made["Id"])
        engine.close()
        api.close()


def _rules() -> str:
    """All rules of both versions, without counters."""
    text = sh("iptables-save", "-t", "filter") + sh("ip6tables-save", "-t", "filter")
    return "\n".join(line for line in text.splitlines() if line.startswith("-A"))


def _own_rules(playground: Playground) -> list[str]:
    return [rule for rule in _rules().splitlines() if f"-{playground.interface} " in f"{rule} "]

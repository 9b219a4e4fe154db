"""Which isolation levels a host has, and what they leave of the network."""

from __future__ import annotations

from gateway.engine.container_hardening import GVISOR_RUNTIME
from gateway.engine.interface import EngineHost, Isolation
from gateway.errors import IsolationUnavailable


def levels(host: EngineHost) -> frozenset[Isolation]:
    """The levels that the engine's host has."""
    found: set[Isolation] = {"standard", "strict"}
    if GVISOR_RUNTIME in host.runtimes:
        found.add("gvisor")
    return frozenset(found)


def demand(level: Isolation, host: EngineHost) -> None:
    """Raises IsolationUnavailable where the host does not have the level."""
    if level not in levels(host):
        raise IsolationUnavailable(
            f"the engine has no runtime {GVISOR_RUNTIME!r}, which isolation {level!r} needs; "
            "scripts/setup_gvisor.sh registers it"
        )


def has_network(level: Isolation, host: EngineHost) -> bool:
    """Whether a sandbox of this level can have a network: `strict` never has, and gVisor only
    where its runtime is not configured with `--network=none`."""
    if level == "gvisor":
        return GVISOR_RUNTIME not in host.offline_runtimes
    return level != "strict"


def has_snapshots(level: Isolation, host: EngineHost) -> bool:
    """Whether what a sandbox of this level writes is where the host finds it: `strict` writes to
    memory, and so does gVisor unless its runtime is configured with `--overlay2=none`."""
    if level == "gvisor":
        return GVISOR_RUNTIME in host.direct_runtimes
    return level == "standard"

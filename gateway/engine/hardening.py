"""How a sandbox's container is made safe: the arguments of the engine's create call."""

from __future__ import annotations

from typing import Any

from gateway.engine.interface import Isolation, Limits
from gateway.settings import MIB, OWN_NETWORK

SANDBOX_USER = "1000:1000"
"""Commands run as this user."""

HOLDER_USER = "65534:65534"
"""The container's first process runs as this one: `kill -9 -1` by the sandbox user, who may
signal only their own processes (kill(2)), then ends their commands and not the container."""

BRIDGE_NAME = "com.docker.network.bridge.name"
"""The network option that names the bridge's interface."""

OPEN_FILES = 16384
"""Below what an engine that was started by hand may hand on where root has no CAP_SYS_RESOURCE."""


def host_config(limits: Limits, network: str, isolation: Isolation) -> dict[str, Any]:
    """Arguments of `APIClient.create_host_config`, level `standard`.

    No capability, no way to gain one, an init that reaps, every resource with a limit, no logs on
    the host's disk, no restart. Swap is not counted on top: memory and memory+swap are equal.
    """
    file_size = limits.file_size_mb * MIB
    return {
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": limits.memory_mb * MIB,
        "memswap_limit": limits.memory_mb * MIB,
        "nano_cpus": int(limits.cpus * 1_000_000_000),
        "pids_limit": limits.pids,
        "ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": file_size, "Hard": file_size},
        ],
        "ipc_mode": "private",
        "log_config": {"Type": "none", "Config": {}},
        "restart_policy": {"Name": "no"},
        "network_mode": network,
    }


def own_network(interface: str = OWN_NETWORK) -> dict[str, Any]:
    """Arguments of `APIClient.create_network` for the gateway's own bridge: sandboxes reach the
    world and not each other.

    The bridge's interface has a fixed name, at most 15 characters, so that the packet filter is
    the same for every bridge that the engine makes in its place.
    """
    return {
        "driver": "bridge",
        "options": {
            "com.docker.network.bridge.enable_icc": "false",
            BRIDGE_NAME: interface,
        },
        "labels": {"io.sandbox-gateway.network": "own"},
    }

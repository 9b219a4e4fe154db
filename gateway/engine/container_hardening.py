"""How a sandbox's container is made safe: the arguments of the engine's create call."""

from __future__ import annotations

import math
from typing import Any

from gateway.engine import seccomp
from gateway.engine.interface import Isolation, Limits
from gateway.settings import MIB, OWN_NETWORK, SHARED_UID

SANDBOX_GROUP = 1000

SANDBOX_USER = f"{SHARED_UID}:{SANDBOX_GROUP}"
"""Who programs from outside run as in sandboxes that have no user of their own."""

HOLDER_USER = "65534:65534"
"""The container's first process runs as this one: `kill -9 -1` by the sandbox user, who may
signal only their own processes (kill(2)), then ends their commands and not the container."""

ROOT_USER = "0:0"
"""Whom programs from outside may run as in sandboxes with root."""


def holder_of(*, has_root: bool) -> str:
    """Whom the container's first process runs as. With root it is root: an engine gives an exec the
    capabilities that the first process begins with, and none where that one is somebody else."""
    return ROOT_USER if has_root else HOLDER_USER


ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
"""What package managers need, and no more (capabilities(7)). Only user 0 ever has them: nobody else
gains any, for `no_new_privs` holds for all."""

HOME = "/home/user"
"""Home of the sandbox user where the root file system is read-only."""

GVISOR_RUNTIME = "runsc"
"""Under this name the engine has gVisor; scripts/setup_gvisor.sh registers it."""

_GVISOR_THREADS = 64
_GVISOR_THREADS_PER_PROCESS = 9
"""What gVisor's own kernel takes of the limit, which counts threads on the host: 54 idle, and 8 to
9 for each process (measured with 50 to 350 of them, on the ptrace platform). When it cannot have
one, it ends, and the sandbox with it."""

OOM_SCORE_ADJ = 500
"""In thousandths of all memory, added to the size of each process of a sandbox when the kernel
looks for what to end (proc(5)): before the gateway. The agent adds to that for commands."""

BRIDGE_NAME = "com.docker.network.bridge.name"
"""The network option that names the bridge's interface."""

OPEN_FILES = 16384
"""Below what an engine that was started by hand may hand on where root has no CAP_SYS_RESOURCE."""

CPU_PERIOD_US = 10_000
"""A tenth of what the engine takes for a number of CPUs: who has used up its part waits for the
rest of the period, up to 90 ms of the engine's. See docs/measurements.md."""

_LEAST_QUOTA_US = 1_000
"""The kernel takes no smaller one."""

_KIB = 1024

_STRICT_SHARES = {HOME: 2, "/tmp": 4, "/var/tmp": 8, "/run": 16, "/dev/shm": 16}  # noqa: S108
"""Each writable place gets one n-th of the whole; together that is all of it."""

_STRICT_OWN = {HOME, "/run"}
_STICKY = "1777"

_EXECUTABLE = {HOME, "/tmp", "/var/tmp"}  # noqa: S108
"""People compile, and pip builds in the temporary directory."""


def user_of(uid: int) -> str:
    """Whom commands run as in a sandbox whose user has this number. The group is the image's: the
    kernel counts by user, and files of the group stay readable."""
    return f"{uid}:{SANDBOX_GROUP}"


def host_config(
    limits: Limits,
    network: str,
    isolation: Isolation,
    uid: int = SHARED_UID,
    *,
    has_root: bool = False,
) -> dict[str, Any]:
    """Arguments of `APIClient.create_host_config`; `uid` is the user that commands run as.

    At every level: no capability (with `has_root` those of `ROOT_CAPABILITIES`, for user 0), no way
    to gain one, few system calls, an init that reaps, every resource with a limit, no logs on the
    host's disk, no restart. Swap is not counted on top: memory and memory+swap are equal. `strict`
    has a read-only root file system and small, writable places in memory; that it has no network
    either is up to the caller. `gvisor` is `standard` on a kernel of its own.
    """
    file_size = limits.file_size_mb * MIB
    return {
        "init": True,
        "cap_drop": ["ALL"],
        "cap_add": list(ROOT_CAPABILITIES) if has_root else [],
        "security_opt": ["no-new-privileges:true", f"seccomp={seccomp.profile()}"],
        "mem_limit": limits.memory_mb * MIB,
        "memswap_limit": limits.memory_mb * MIB,
        **_cpu_time(limits.cpus),
        "pids_limit": pids_limit(limits, isolation),
        "oom_score_adj": OOM_SCORE_ADJ,
        "ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": file_size, "Hard": file_size},
        ],
        "ipc_mode": "private",
        "log_config": {"Type": "none", "Config": {}},
        "restart_policy": {"Name": "no"},
        "network_mode": network,
        **_of_level(limits, isolation, uid),
    }


def _cpu_time(cpus: float) -> dict[str, int]:
    period_us, quota_us = cpu_quota(cpus)
    return {"cpu_period": period_us, "cpu_quota": quota_us}


def cpu_quota(cpus: float) -> tuple[int, int]:
    """Period and quota in microseconds: of every period a sandbox may compute for the quota
    (sched-bwc in the kernel's documentation)."""
    period_us = max(CPU_PERIOD_US, math.ceil(_LEAST_QUOTA_US / cpus))
    return period_us, round(cpus * period_us)


def pids_limit(limits: Limits, isolation: Isolation) -> int:
    """How many threads on the host the sandbox's processes may take."""
    if isolation == "gvisor":
        return _GVISOR_THREADS + _GVISOR_THREADS_PER_PROCESS * limits.pids
    return limits.pids


def _of_level(limits: Limits, isolation: Isolation, uid: int) -> dict[str, Any]:
    if isolation == "strict":
        return {"read_only": True, "tmpfs": writable_places(limits, uid)}
    if isolation == "gvisor":
        return {"runtime": GVISOR_RUNTIME}
    return {}


def writable_places(limits: Limits, uid: int = SHARED_UID) -> dict[str, str]:
    """The mount options (tmpfs(5)) of what user `uid` can write to at level `strict`, by path.

    Together they hold `disk_mb`, and no more than half of the memory, for they are part of it.
    """
    half = limits.memory_mb // 2
    whole_kib = min(limits.disk_mb or half, half) * _KIB
    return {path: _options(path, whole_kib // share, uid) for path, share in _STRICT_SHARES.items()}


def _options(path: str, size_kib: int, uid: int) -> str:
    execute = "exec" if path in _EXECUTABLE else "noexec"
    mode = f"0755,uid={uid},gid={SANDBOX_GROUP}" if path in _STRICT_OWN else _STICKY
    # Inodes are kernel memory: one per page, as the kernel has it for a whole machine.
    inodes = max(256, size_kib // 4)
    return f"rw,nosuid,nodev,{execute},size={size_kib}k,nr_inodes={inodes},mode={mode}"


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

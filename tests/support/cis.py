"""Section 5 (container runtime) of the CIS Docker Benchmark, as checks of `docker inspect`.

Numbers and subjects are those of version 1.6.0; the wording is our own. What concerns the image or
the operator and cannot be seen on a container is in NOT_OF_A_CONTAINER.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Inspected = dict[str, Any]

SENSITIVE = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr", "/var/run")

NOT_OF_A_CONTAINER = {
    "5.1": "swarm mode is not enabled without need",
    "5.23": "exec is not used with --privileged",
    "5.24": "exec is not used as root",
    "5.28": "images are updated",
}


def _host(found: Inspected) -> dict[str, Any]:
    return found["HostConfig"]


def _options(found: Inspected) -> list[str]:
    return _host(found)["SecurityOpt"] or []


def _sources(found: Inspected) -> list[str]:
    return [mount.get("Source") or "" for mount in found["Mounts"]]


def _has_seccomp(found: Inspected) -> bool:
    profiles = [option for option in _options(found) if option.startswith("seccomp=")]
    return len(profiles) <= 1 and not any("unconfined" in option for option in profiles)


CHECKS: dict[str, tuple[str, Callable[[Inspected], bool]]] = {
    "5.2": ("an AppArmor profile", lambda f: f["AppArmorProfile"] not in ("", "unconfined")),
    "5.3": ("SELinux labels", lambda f: any(o.startswith("label=") for o in _options(f))),
    "5.4": (
        "no more capabilities than needed",
        lambda f: _host(f)["CapDrop"] == ["ALL"] and not _host(f)["CapAdd"],
    ),
    "5.5": ("not privileged", lambda f: _host(f)["Privileged"] is False),
    "5.6": (
        "no sensitive directory of the host",
        lambda f: not _host(f)["Binds"] and not {*_sources(f)} & {*SENSITIVE},
    ),
    "5.7": ("no sshd", lambda f: "ssh" not in " ".join([f["Path"], *f["Args"]])),
    "5.8": ("no privileged ports", lambda f: not _host(f)["PortBindings"]),
    "5.9": (
        "no ports opened",
        lambda f: not f["NetworkSettings"]["Ports"] and not _host(f)["PublishAllPorts"],
    ),
    "5.10": ("not the host's network", lambda f: _host(f)["NetworkMode"] != "host"),
    "5.11": (
        "memory limited",
        lambda f: 0 < _host(f)["Memory"] == _host(f)["MemorySwap"],
    ),
    "5.12": (
        "cpu shared by priority",
        lambda f: _host(f)["NanoCpus"] > 0 or _host(f)["CpuQuota"] > 0 or _host(f)["CpuShares"] > 0,
    ),
    "5.13": ("read-only root file system", lambda f: _host(f)["ReadonlyRootfs"] is True),
    "5.14": (
        "incoming traffic bound to an interface",
        lambda f: not (_host(f)["PortBindings"] or {}),
    ),
    "5.15": (
        "restarted five times at most",
        lambda f: _host(f)["RestartPolicy"]["Name"] in ("", "no"),
    ),
    "5.16": ("not the host's processes", lambda f: _host(f)["PidMode"] != "host"),
    "5.17": ("not the host's ipc", lambda f: _host(f)["IpcMode"] == "private"),
    "5.18": (
        "no devices of the host",
        lambda f: not _host(f)["Devices"] and not _host(f)["DeviceRequests"],
    ),
    "5.19": (
        "ulimits only where needed",
        lambda f: {u["Name"] for u in _host(f)["Ulimits"]} == {"nofile", "core", "fsize"},
    ),
    "5.20": (
        "no shared mount propagation",
        lambda f: all(mount.get("Propagation") != "shared" for mount in f["Mounts"]),
    ),
    "5.21": ("not the host's uts", lambda f: _host(f)["UTSMode"] != "host"),
    "5.22": ("seccomp not disabled", _has_seccomp),
    "5.25": ("cgroup is the engine's", lambda f: not _host(f)["CgroupParent"]),
    "5.26": (
        "no additional privileges",
        lambda f: bool({"no-new-privileges", "no-new-privileges:true"} & {*_options(f)}),
    ),
    "5.27": (
        "health checked",
        lambda f: bool((f["Config"].get("Healthcheck") or {}).get("Test")),
    ),
    "5.29": ("pids limited", lambda f: (_host(f)["PidsLimit"] or 0) > 0),
    "5.30": ("not the default bridge", lambda f: "bridge" not in f["NetworkSettings"]["Networks"]),
    "5.31": ("not the host's user namespace", lambda f: _host(f)["UsernsMode"] != "host"),
    "5.32": (
        "no socket of the engine",
        lambda f: not any("docker.sock" in source for source in _sources(f)),
    ),
}


def deviations(found: Inspected) -> set[str]:
    """The numbers of the checks that a container does not pass."""
    return {number for number, (_, holds) in CHECKS.items() if not holds(found)}

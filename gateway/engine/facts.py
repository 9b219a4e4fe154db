"""What an engine says about itself and its host (Engine API, "SystemInfo" and "SystemVersion")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.engine.interface import EngineHost

_LIMITS = {
    "memory": "MemoryLimit",
    "swap": "SwapLimit",
    "cpu": "CpuCfsQuota",
    "pids": "PidsLimit",
}

_WITHOUT_OVERLAY = {"--overlay2=none", "-overlay2=none"}

_WITHOUT_NETWORK = {"--network=none", "-network=none"}


@dataclass(frozen=True)
class EngineFacts:
    """What the safety of sandboxes rests on."""

    versions: Mapping[str, str]
    """Of `engine`, `containerd` and `runc`, as far as they are known. A distribution's own
    revision is part of it."""
    security_options: frozenset[str]
    """Names: `seccomp`, `apparmor`, `selinux`, `userns`, `rootless`, …"""
    cgroup_version: str
    missing_limits: tuple[str, ...]
    """Of memory, swap, cpu, pids: what the host cannot limit, and the engine therefore drops."""


def host_of(info: Mapping[str, Any]) -> EngineHost:
    """From an answer of `GET /info`."""
    runtimes: Mapping[str, Mapping[str, Any]] = info.get("Runtimes") or {}
    return EngineHost(
        memory_bytes=int(info.get("MemTotal") or 0),
        cpus=int(info.get("NCPU") or 1),
        runtimes=frozenset(runtimes),
        offline_runtimes=_with_any(_WITHOUT_NETWORK, runtimes),
        direct_runtimes=_with_any(_WITHOUT_OVERLAY, runtimes),
        data_root=str(info.get("DockerRootDir") or ""),
    )


def _with_any(arguments: set[str], runtimes: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(
        name
        for name, runtime in runtimes.items()
        if arguments & {*(runtime.get("runtimeArgs") or ())}
    )


def facts_of(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """From answers of `GET /info` and `GET /version`."""
    options = [
        dict(part.partition("=")[::2] for part in option.split(","))
        for option in info.get("SecurityOptions") or ()
    ]
    return EngineFacts(
        versions=_versions(version),
        security_options=frozenset(option["name"] for option in options if "name" in option),
        cgroup_version=str(info.get("CgroupVersion") or "1"),
        missing_limits=tuple(name for name, key in _LIMITS.items() if info.get(key) is False),
    )


def _versions(version: Mapping[str, Any]) -> dict[str, str]:
    found = {"engine": str(version.get("Version") or "")}
    for component in version.get("Components") or ():
        name = str(component.get("Name", "")).lower()
        if name in ("containerd", "runc"):
            plain = str(component.get("Version") or "")
            # Distributions put their whole revision in the place of the commit.
            revision = str((component.get("Details") or {}).get("GitCommit") or "")
            found[name] = revision if plain and revision.startswith(plain) else plain
    return {name: text for name, text in found.items() if text}

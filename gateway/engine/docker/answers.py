"""What the engine's answers say, in the interface's words."""

from __future__ import annotations

import os
from typing import Any, cast

from gateway.engine import container_hardening
from gateway.engine.interface import (
    Bridge,
    ContainerEvent,
    ContainerInfo,
    ContainerState,
    ImageInfo,
)


def inspected(found: dict[str, Any]) -> ContainerInfo:
    """A container, of the answer to an inspect call."""
    state = found["State"]
    networks = found["NetworkSettings"]["Networks"] or {}
    return ContainerInfo(
        container_id=found["Id"],
        state=cast(ContainerState, state["Status"]),
        labels=found["Config"]["Labels"] or {},
        ip_address=_first_address(networks),
        name=found["Name"].lstrip("/"),
        pid=state["Pid"] or None,
        exit_code=None if state["Running"] else state["ExitCode"],
        oom_killed=bool(state.get("OOMKilled")),
        env=dict(entry.partition("=")[::2] for entry in found["Config"].get("Env") or []),
        layer=_layer(found.get("GraphDriver") or {}),
        image_id=found.get("Image"),
    )


def listed(entry: dict[str, Any]) -> ContainerInfo:
    """A container, of an entry of the list: it says less than an inspect call."""
    return ContainerInfo(
        container_id=entry["Id"],
        state=cast(ContainerState, entry["State"]),
        labels=entry["Labels"] or {},
        ip_address=_first_address(entry["NetworkSettings"]["Networks"] or {}),
        name=(entry["Names"] or [""])[0].lstrip("/"),
    )


def image_of(entry: dict[str, Any]) -> ImageInfo:
    """An image, of an entry of the list."""
    tags = [tag for tag in entry.get("RepoTags") or () if tag != "<none>:<none>"]
    return ImageInfo(entry["Id"], tuple(tags), entry.get("Labels") or {}, int(entry["Size"]))


def event_of(event: dict[str, Any]) -> ContainerEvent:
    """One that happened to a container."""
    actor = event["Actor"]
    return ContainerEvent(
        event["Action"],
        actor["ID"],
        actor.get("Attributes") or {},
        event["timeNano"] / 1e9,
    )


def bridge_of(network: dict[str, Any]) -> Bridge | None:
    """The bridge behind a network; None where there is none."""
    if network["Driver"] != "bridge":
        return None
    options = network.get("Options") or {}
    # The engine's own way of naming a bridge (moby, `bridge.go`).
    interface = options.get(container_hardening.BRIDGE_NAME) or f"br-{network['Id'][:12]}"
    configured = (network.get("IPAM") or {}).get("Config") or []
    gateways = [str(one["Gateway"]) for one in configured if one.get("Gateway")]
    gateway = next((one for one in gateways if ":" not in one), None)
    return Bridge(interface, bool(network.get("EnableIPv6")), gateway)


def layers_of(driver: dict[str, Any]) -> tuple[str, ...]:
    """The directories of an image, topmost first; none where the driver is not overlay2."""
    if driver.get("Name") != "overlay2":
        return ()
    data = driver.get("Data") or {}
    return tuple(part for part in (data.get("UpperDir"), *_lower(data)) if part)


def _first_address(networks: dict[str, Any]) -> str | None:
    """The IPv4 address in the first network that has one."""
    return next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), None)


def _layer(driver: dict[str, Any]) -> str | None:
    if driver.get("Name") != "overlay2":
        return None
    upper = (driver.get("Data") or {}).get("UpperDir")
    return os.path.dirname(upper) if upper else None


def _lower(data: dict[str, Any]) -> list[str]:
    """An image of one layer has none."""
    return (data.get("LowerDir") or "").split(":")

"""Puts the rules around the sandboxes' bridge in place, keeps them there, takes them away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Protocol

from gateway.errors import GatewayError, HostToolFailed
from gateway.host import packet_filter_rules, programs
from gateway.host.name_servers import name_servers
from gateway.host.packet_filter_rules import Flows, Plan, Policy
from gateway.settings import OWN_NETWORK, Settings

log = logging.getLogger(__name__)

_BRIDGED_PACKETS = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_IPV6 = Path("/proc/net/if_inet6")

Version = Literal[4, 6]

_TRIES = 3


class Bridge(Protocol):
    """The sandboxes' network on the engine's host."""

    @property
    def interface(self) -> str: ...

    @property
    def ipv6(self) -> bool: ...

    @property
    def gateway(self) -> str | None: ...


class PacketFilter:
    """The rules of one bridge. Several processes may keep the same ones at the same time.

    `find_bridge` asks the engine: None when there is no such network (yet). `hindrance` says why
    this process may not set rules; then `apply` does nothing and `check` says so.
    """

    def __init__(
        self,
        find_bridge: Callable[[], Bridge | None],
        policy: Callable[[], Policy],
        hindrance: str | None = None,
    ) -> None:
        self._find_bridge = find_bridge
        self._policy = policy
        self._hindrance = hindrance

    @property
    def active(self) -> bool:
        """Whether this process sets rules."""
        return self._hindrance is None

    def apply(self) -> None:
        """Set what is missing of the rules. Called before the first sandbox is made and every few
        seconds: a restarted engine puts its own chains first, and firewalld flushes all.

        Raises HostToolFailed and the engine's errors.
        """
        if self._hindrance is not None:
            return
        bridge = self._find_bridge()
        if bridge is None:
            return
        for version in _versions():
            self._repair(version, bridge)

    def _repair(self, version: Version, bridge: Bridge) -> None:
        for tries_left in reversed(range(_TRIES)):
            saved = _saved(version)
            change = packet_filter_rules.repairs(saved, self._plan(version, saved, bridge))
            change += self._withdrawn(saved, bridge)
            if not change:
                return
            try:
                _restore(version, change)
                log.info("packet filter of %s set (IPv%d)", bridge.interface, version)
                return
            except HostToolFailed:
                # Refused as a whole when another worker has changed the rules since they were read.
                if not tries_left:
                    raise

    def _withdrawn(self, saved: str, bridge: Bridge) -> str:
        """What an earlier configuration left when there shall be no rules."""
        if self._policy().egress != "all" or self._policy().flows != Flows():
            return ""
        return packet_filter_rules.removal(saved, bridge.interface)

    def check(self) -> tuple[bool, str]:
        """Whether sandboxes are kept off the host and private networks, and how or why not."""
        if self._hindrance is not None:
            return False, self._hindrance
        policy = self._policy()
        if policy.egress == "all":
            return False, "SANDBOX_EGRESS=all: sandboxes reach this host and private networks"
        try:
            bridge = self._find_bridge()
            if bridge is None:
                return True, "no sandbox network yet"
            missing = list(self._missing(bridge))
        except GatewayError as error:
            return False, str(error)
        if missing:
            return False, f"{bridge.interface}: {', '.join(missing)}"
        return True, f"{bridge.interface}: {_told(policy)}"

    def _missing(self, bridge: Bridge) -> Iterator[str]:
        for version in _versions():
            saved = _saved(version)
            if packet_filter_rules.repairs(saved, self._plan(version, saved, bridge)):
                yield f"rules for IPv{version} are missing"
        # Without it packets between two ports of a bridge pass no rule, those of the engine's
        # `enable_icc=false` included.
        if not _BRIDGED_PACKETS.exists() or _BRIDGED_PACKETS.read_text().strip() != "1":
            yield "sandboxes may reach each other (net.bridge.bridge-nf-call-iptables is not 1)"

    def _plan(self, version: Version, saved: str, bridge: Bridge) -> Plan:
        policy = self._policy()
        if version == 6 and not bridge.ipv6 and policy.egress != "all":
            # The bridge has a link-local address none the less, by which the host is reached.
            policy = Policy("none")
        parent = (
            "DOCKER-USER" if "DOCKER-USER" in packet_filter_rules.chains_in(saved) else "FORWARD"
        )
        return packet_filter_rules.plan(version, bridge.interface, policy, parent=parent)


def remove(interface: str) -> None:
    """Take the rules of a bridge away, also when the bridge is gone. May be repeated.

    Raises HostToolFailed.
    """
    for version in _versions():
        change = packet_filter_rules.removal(_saved(version), interface)
        if change:
            _restore(version, change)


def policy_of(settings: Settings, find_bridge: Callable[[], Bridge | None]) -> Policy:
    """What the operator wants, with name servers and the proxy's address as they are now."""
    allowed = tuple(settings.egress_networks)
    flows = Flows(settings.connections, settings.connection_rate, settings.name_rate)
    if settings.egress_domains:
        bridge = find_bridge()
        if bridge is None or bridge.gateway is None:
            return Policy("none", allowed, flows=flows)
        proxy = (ip_address(bridge.gateway), settings.egress_proxy_port)
        return Policy("none", allowed, proxy=proxy, flows=flows)
    return Policy(settings.egress, allowed, tuple(name_servers()), flows=flows)


def proxy_variables(address: str, port: int) -> dict[str, str]:
    """The environment by which programs in a sandbox find the proxy; some read only the one
    spelling or the other."""
    url = f"http://{address}:{port}"
    found = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": "localhost,127.0.0.1,::1"}
    return found | {name.lower(): value for name, value in found.items()}


def hindrance_of(settings: Settings, *, local: bool) -> str | None:
    """Why this gateway sets no rules; None when it does. `local`: the engine is on this host."""
    if settings.network == "none":
        return "sandboxes have no network (SANDBOX_NETWORK=none)"
    if settings.network != OWN_NETWORK:
        return (
            f"sandboxes may reach this host and private networks: SANDBOX_NETWORK="
            f"{settings.network} is not the gateway's own, and no rules are set for it"
        )
    may = "sandboxes may reach the engine's host and private networks: "
    if not local:
        return may + "the engine is on another host"
    if not programs.is_root():
        return may + "only root sets packet filter rules"
    if programs.find("iptables-restore") is None:
        return may + "iptables is not installed"
    return None


def _told(policy: Policy) -> str:
    if policy.proxy is not None:
        reach = f"the domains that the proxy on port {policy.proxy[1]} allows"
    elif policy.egress == "none":
        reach = "nothing"
    else:
        reach = "the internet, not this host and private networks"
    if policy.allowed:
        reach += f", and {', '.join(map(str, policy.allowed))}"
    return f"sandboxes reach {reach}"


def _versions() -> list[Version]:
    return [4, 6] if _IPV6.exists() else [4]


def _program(version: Version, name: str) -> str:
    return f"{'iptables' if version == 4 else 'ip6tables'}-{name}"


def _saved(version: Version) -> str:
    return programs.run([_program(version, "save"), "-t", "filter"])


def _restore(version: Version, change: str) -> None:
    try:
        # Others set rules at the same time: wait for their lock, but not for ever.
        programs.run([_program(version, "restore"), "--noflush", "-w", "5"], given=change)
    except HostToolFailed as error:
        raise HostToolFailed(f"packet filter (IPv{version}): {error}") from error

"""The rules around the sandboxes' bridge, as texts: pure, nothing here touches the host.

Written the way iptables-save(8) prints them, so that what is there can be compared with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from gateway.host.name_servers import Address

Egress = Literal["internet", "all", "none"]
Network = IPv4Network | IPv6Network

NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        # IANA's IPv4 Special-Purpose Address Registry (RFC 6890), and multicast.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # Public by its looks: the metadata service of Azure.
        "168.63.129.16/32",
        # IPv6: all that is no global unicast (2000::/3; RFC 4291). In it are those that stand for
        # IPv4 addresses, private ones too: ::/96, ::ffff:0:0/96, ::ffff:0:0:0/96, 64:ff9b::/96.
        *("::/3", "4000::/2", "8000::/1"),
        # Of the rest: Teredo and 6to4, which carry IPv4 addresses, and what is for documentation.
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)

_PREFIX = "SGW-"
_REFUSED = {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}


@dataclass(frozen=True)
class Flows:
    """What each sandbox may have the host keep track of; 0 is no limit."""

    open: int = 0
    """Connections at a time. Those that are closed count no more, but stay for two minutes."""
    new_per_s: int = 0
    """On average; `BURST_S` times as many at once."""
    names_per_s: int = 0
    """Queries for names, likewise. Each is a connection to the kernel, but of its own sort: a
    sandbox that waits for its names is not kept from connecting as well."""


BURST_S = 10


@dataclass(frozen=True)
class Policy:
    """What sandboxes may reach."""

    egress: Egress = "internet"
    allowed: tuple[Network, ...] = ()
    """In spite of `egress`. One that is a single address may be this host's own; a wider one does
    not open the host, which is in some network too."""
    name_servers: tuple[Address, ...] = ()
    """Reachable on port 53 unless `egress` is `none`."""
    proxy: tuple[Address, int] | None = None
    """Address and TCP port of the filtering proxy on this host. With it nothing else is reached:
    `egress` is `none`."""
    flows: Flows = Flows()


@dataclass(frozen=True)
class Plan:
    """What shall be in the filter table of one IP version."""

    chains: dict[str, list[str]]
    """Rules of the chains that are ours, without `-A <chain>`."""
    jumps: list[tuple[str, str]]
    """(chain of others, rule) by which packets come to ours: once, before all other rules."""


def plan(version: Literal[4, 6], interface: str, policy: Policy, *, parent: str) -> Plan:
    """The rules for packets that come from the bridge `interface`.

    `parent` is the chain that forwarded packets pass: DOCKER-USER, or FORWARD where there is none.
    With `egress` `all` there are none but those that limit connections.
    """
    refusal, to_host, onwards, limits = _chains_of(interface)
    refuse = f"-j {refusal}"
    limiting = _limiting(version, interface, policy.flows, refuse)
    if policy.egress == "all" and not limiting:
        return Plan({}, [])
    enter = [*_names_limited(interface, policy.flows), *_entered(limits, limiting)]
    asked = [server for server in policy.name_servers if server.version == version]
    dns = [
        f"-d {server}/{server.max_prefixlen} -p {protocol} -m {protocol} --dport 53 -j RETURN"
        for server in asked
        if policy.egress != "none"
        for protocol in ("udp", "tcp")
    ]
    allowed = _of(version, policy.allowed)
    input_rules = [
        *enter,
        # Answers to what the host itself has begun.
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        *dns,
        *(f"-d {net} -j RETURN" for net in allowed if net.num_addresses == 1),
        *_way_to_proxy(version, policy),
        *(_NEIGHBOURS if version == 6 else []),
        refuse,
    ]
    forward_rules = [*enter, *dns, *(f"-d {net} -j RETURN" for net in allowed)]
    if policy.egress == "all":
        input_rules, forward_rules = [*enter], [*enter]
    elif policy.egress == "none":
        forward_rules.append(refuse)
    else:
        forward_rules += [f"-d {net} {refuse}" for net in _of(version, NOT_PUBLIC)]
    return Plan(
        {
            refusal: [
                # Resets are not limited in rate, as ICMP errors are: programs need not wait.
                "-p tcp -j REJECT --reject-with tcp-reset",
                f"-j REJECT --reject-with {_REFUSED[version]}",
            ],
            **({limits: limiting} if limiting else {}),
            to_host: input_rules,
            onwards: forward_rules,
        },
        [
            ("INPUT", f"-i {interface} -j {to_host}"),
            (parent, f"-i {interface} -j {onwards}"),
        ],
    )


_NEIGHBOURS = [f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j RETURN" for kind in (133, 135, 136)]
"""Without neighbour discovery (RFC 4861) nothing at all is found on a link."""


def _names_limited(interface: str, flows: Flows) -> list[str]:
    """For every packet, as one connection may carry any number of queries (RFC 1035)."""
    if not flows.names_per_s:
        return []
    above = _above(flows.names_per_s, f"{interface}-dns")
    return [f"-p udp -m udp --dport 53 {above} -j DROP"]


def _entered(chain: str, limiting: list[str]) -> list[str]:
    return [f"-m conntrack --ctstate NEW -j {chain}"] if limiting else []


def _limiting(version: int, interface: str, flows: Flows, refuse: str) -> list[str]:
    """The rules for the first packet of a connection.

    What comes too fast is dropped, for it comes again; what would be too many is refused, or
    programs would wait in vain.
    """
    rules = []
    if flows.new_per_s:
        rules.append(f"{_above(flows.new_per_s, f'{interface}-new')} -j DROP")
    if flows.open:
        mask = f"--connlimit-mask {32 if version == 4 else 128} --connlimit-saddr"
        rules.append(f"-m connlimit --connlimit-above {flows.open} {mask} {refuse}")
    if rules and flows.names_per_s:
        rules.insert(0, "-p udp -m udp --dport 53 -j RETURN")
    return rules


def _above(per_s: int, name: str) -> str:
    return (
        f"-m hashlimit --hashlimit-above {per_s}/sec --hashlimit-burst {per_s * BURST_S} "
        f"--hashlimit-mode srcip --hashlimit-name {name}"
    )


def _way_to_proxy(version: int, policy: Policy) -> list[str]:
    if policy.proxy is None or policy.proxy[0].version != version:
        return []
    address, port = policy.proxy
    return [f"-d {address}/{address.max_prefixlen} -p tcp -m tcp --dport {port} -j RETURN"]


def _chains_of(interface: str) -> tuple[str, str, str, str]:
    """For refusing, for packets to the host, for packets beyond, and for what begins a connection.
    28 characters at most."""
    refusal, to_host, onwards, limits = (
        f"{_PREFIX}{what}-{interface}" for what in ("NO", "IN", "FWD", "NEW")
    )
    return refusal, to_host, onwards, limits


def _of(version: int, networks: Iterable[Network]) -> list[Network]:
    return [network for network in networks if network.version == version]


def chains_in(saved: str) -> dict[str, list[str]]:
    """The rules of each chain in what iptables-save(8) prints of the filter table."""
    chains: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith(":"):
            chains.setdefault(line[1:].split(" ", 1)[0], [])
        elif line.startswith("-A "):
            _, chain, rule = (*line.split(" ", 2), "")[:3]
            chains.setdefault(chain, []).append(rule)
    return chains


def repairs(saved: str, wanted: Plan) -> str:
    """What iptables-restore(8) has to be given, with --noflush, so that `wanted` holds; "" when
    it does already. It is carried out as a whole or not at all."""
    chains = chains_in(saved)
    lines = []
    for name, rules in wanted.chains.items():
        if chains.get(name) != rules:
            # Naming a chain makes it, or empties the one that is there.
            lines += [f":{name} - [0:0]", *(f"-A {name} {rule}" for rule in rules)]
    for parent, rule in wanted.jumps:
        present = chains.get(parent, [])
        if not _comes_first(rule, present):
            lines += [f"-D {parent} {rule}"] * present.count(rule)
            lines.append(f"-I {parent} 1 {rule}")
    return _restorable(lines)


def removal(saved: str, interface: str) -> str:
    """What iptables-restore(8) has to be given to take away all rules for `interface`; "" when
    there are none."""
    ours = _chains_of(interface)
    chains = chains_in(saved)
    lines = [
        f"-D {parent} {rule}"
        for parent, rules in chains.items()
        if parent not in ours
        for rule in rules
        if rule.rpartition(" ")[2] in ours
    ]
    there = [name for name in ours if name in chains]
    lines += [f":{name} - [0:0]" for name in there]
    lines += [f"-X {name}" for name in there]
    return _restorable(lines)


def _comes_first(rule: str, present: list[str]) -> bool:
    """Whether it is there once, and only jumps of other gateways' bridges stand before it."""
    if present.count(rule) != 1:
        return False
    before = present[: present.index(rule)]
    return all(f" -j {_PREFIX}" in other for other in before)


def _restorable(lines: list[str]) -> str:
    return "\n".join(["*filter", *lines, "COMMIT", ""]) if lines else ""

"""Which name servers the engine asks on behalf of the sandboxes.

The engine's resolver in a container (127.0.0.11) asks the host's name servers from inside the
container's network namespace, unless they are loopback addresses of the host (moby, libnetwork
`resolver.go`). So their packets pass the packet filter like those of the sandbox itself.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_RESOLV_CONF = Path("/etc/resolv.conf")
_SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
"""Read in its place where the other names only systemd's stub, as the engine does."""

_STUB = ip_address("127.0.0.53")
_ENGINE_CONFIGURATION = Path("/etc/docker/daemon.json")

Address = IPv4Address | IPv6Address


def name_servers() -> list[Address]:
    """Those of this host that are not on its loopback, in the order of their files."""
    found = named_in(_text(_RESOLV_CONF))
    if found == [_STUB]:
        found = named_in(_text(_SYSTEMD_RESOLV_CONF))
    found = named_for_engine(_text(_ENGINE_CONFIGURATION)) or found
    return [address for address in found if not address.is_loopback]


def named_in(resolv_conf: str) -> list[Address]:
    """The `nameserver` lines (resolv.conf(5)); what is no address is left out."""
    words = [line.split() for line in resolv_conf.splitlines()]
    return _addresses([line[1] for line in words if line[:1] == ["nameserver"] and line[1:]])


def named_for_engine(daemon_json: str) -> list[Address]:
    """What the engine's own configuration names, which then goes before the host's."""
    try:
        configured = json.loads(daemon_json or "{}")["dns"]
    except (ValueError, KeyError, TypeError):
        return []
    return _addresses(configured) if isinstance(configured, list) else []


def _addresses(texts: list[object] | list[str]) -> list[Address]:
    found: list[Address] = []
    for text in texts:
        try:
            found.append(ip_address(str(text).partition("%")[0]))
        except ValueError:
            continue
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

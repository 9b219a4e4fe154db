"""What a client asks of the filtering proxy, and whether it may: pure (RFC 9110, RFC 9112)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from gateway.host.packet_filter_rules import NOT_PUBLIC

PORTS = frozenset({80, 443})

_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9-]{1,63}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_TARGET = re.compile(r"[!-~]{1,8192}")
"""Visible ASCII: all that a URI consists of, and more (RFC 3986)."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""All but the tab (RFC 9110, section 5.5)."""
_CONNECTION_HEADERS = {"connection", "proxy-connection", "keep-alive", "te", "upgrade", "host"}


class Refused(Exception):
    """The proxy's answer in the place of the server's."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True)
class ProxyRequest:
    """Where to connect, and what to send there first."""

    host: str
    port: int
    tunnel: bool
    head: bytes = b""
    body_bytes: int = 0
    """How much of what follows belongs to the request. Without a tunnel there is one request on
    a connection: another one could name another host."""


def read_request(head: bytes) -> ProxyRequest:
    """A request's head, with the empty line at its end. Raises Refused."""
    lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise Refused("400 Bad Request", "not an HTTP request") from None
    # Servers differ in what they make of other characters, and so might the filter and a server.
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise Refused("400 Bad Request", "not an HTTP request")
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise Refused("505 HTTP Version Not Supported", "HTTP/1.1 only")
    headers = [_header(line) for line in lines[1:] if line]
    if method == "CONNECT":
        host, port = _authority(f"//{target}", None)
        return ProxyRequest(host, port, tunnel=True)
    if not target.lower().startswith("http://"):
        raise Refused("400 Bad Request", "this is a proxy: it takes CONNECT and http:// addresses")
    host, port = _authority(target, 80)
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # The server is told the host that was checked, whatever the client's own header says
    # (RFC 9112, section 3.2.2).
    kept = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    kept += [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() not in _CONNECTION_HEADERS and not name.lower().startswith("proxy-")
    ]
    sent = ("\r\n".join(kept) + "\r\n\r\n").encode("latin-1")
    return ProxyRequest(host, port, tunnel=False, head=sent, body_bytes=_body_bytes(headers))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise Refused("400 Bad Request", "a header is broken")
    return name, value.strip()


def _body_bytes(headers: list[tuple[str, str]]) -> int:
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        raise Refused("411 Length Required", "no chunked requests over plain HTTP")
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    if not lengths:
        return 0
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,15}", next(iter(lengths))):
        raise Refused("400 Bad Request", "Content-Length is broken")
    return int(lengths.pop())


def _authority(url: str, default_port: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or default_port
    except ValueError:
        raise Refused("400 Bad Request", "the address is broken") from None
    if port is None or parts.username is not None:
        raise Refused("400 Bad Request", "the address is broken")
    if not _NAME.fullmatch(host):
        # Numbers too: a list of names says nothing about them.
        raise Refused("403 Forbidden", "hosts are named by their domain")
    return host, port


def check(request: ProxyRequest, domains: tuple[str, ...], ports: frozenset[int]) -> None:
    """Raises Refused unless the host is in the list and the port is one of the web's.

    `example.org` stands for itself, `*.example.org` for all below it.
    """
    if request.port not in ports:
        raise Refused("403 Forbidden", f"port {request.port} is not allowed")
    if not any(_matches(request.host, domain) for domain in domains):
        raise Refused("403 Forbidden", f"{request.host} is not in SANDBOX_EGRESS_DOMAINS")


def _matches(host: str, domain: str) -> bool:
    if domain.startswith("*."):
        return host.endswith(domain[1:])
    return host == domain


def public(addresses: list[str]) -> list[str]:
    """Those of the addresses that are public; a name may stand for private ones, now or the next
    time it is asked for (DNS rebinding)."""
    return [text for text in addresses if _is_public(text)]


def _is_public(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False  # with a scope: link-local
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not any(
        address in network for network in NOT_PUBLIC if network.version == address.version
    )

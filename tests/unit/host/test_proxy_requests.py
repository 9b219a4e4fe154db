"""What the filtering proxy lets through: names from the list, on the web's ports, and public."""

from __future__ import annotations

import pytest

from gateway.host.proxy_requests import (
    PORTS,
    ProxyRequest,
    Refused,
    check,
    public,
    read_request,
)

DOMAINS = ("pypi.org", "*.debian.org")


def _head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize("host", ["pypi.org", "deb.debian.org", "a.b.debian.org"])
def test_listed_names_get_through(host: str) -> None:
    """Themselves, or all below them with a star."""
    check(ProxyRequest(host, 443, tunnel=True), DOMAINS, PORTS)


@pytest.mark.parametrize(
    "host",
    ["debian.org", "evilpypi.org", "pypi.org.evil.net", "www.pypi.org", "xdebian.org", "evil"],
)
def test_other_names_do_not(host: str) -> None:
    """Neither by a common ending nor by a common beginning."""
    with pytest.raises(Refused, match="SANDBOX_EGRESS_DOMAINS"):
        check(ProxyRequest(host, 443, tunnel=True), DOMAINS, PORTS)


def test_other_ports_do_not() -> None:
    """A mail server or a shell at a listed host is not the web."""
    with pytest.raises(Refused, match="port 25"):
        check(ProxyRequest("pypi.org", 25, tunnel=True), DOMAINS, PORTS)


def test_a_tunnel_is_read() -> None:
    """As curl and pip write it; case and a dot at the end mean nothing in names."""
    request = read_request(_head("CONNECT PyPI.org.:443 HTTP/1.1", "Host: x"))

    assert request == ProxyRequest("pypi.org", 443, tunnel=True)


def test_a_plain_request_is_sent_on_with_the_checked_host() -> None:
    """The client's own Host header would choose another site on the same server; credentials for
    the proxy are not the server's business."""
    request = read_request(
        _head(
            "GET http://deb.debian.org/a?b=c HTTP/1.1",
            "Host: evil.net",
            "Proxy-Authorization: secret",
            "Connection: keep-alive",
            "Accept: */*",
        )
    )

    assert (request.host, request.port, request.tunnel) == ("deb.debian.org", 80, False)
    assert request.head == _head(
        "GET /a?b=c HTTP/1.1", "Host: deb.debian.org", "Connection: close", "Accept: */*"
    )
    assert request.body_bytes == 0


def test_a_body_is_bounded_by_its_length() -> None:
    """What follows would be a second request, unchecked."""
    head = _head("POST http://pypi.org/ HTTP/1.1", "Content-Length: 12")

    assert read_request(head).body_bytes == 12


@pytest.mark.parametrize(
    "lines",
    [
        ["GET / HTTP/1.1"],
        ["GET ftp://pypi.org/ HTTP/1.1"],
        ["GET http://pypi.org/"],
        ["GET  http://pypi.org/ HTTP/1.1"],
        ["GET http://pypi.org/ HTTP/2"],
        ["GET http://user@pypi.org/ HTTP/1.1"],
        ["GET http://pypi.org:99999/ HTTP/1.1"],
        ["GET http://[::1]/ HTTP/1.1"],
        ["GET http:///x HTTP/1.1"],
        ["CONNECT pypi.org HTTP/1.1"],
        ["CONNECT 127.0.0.1.:443 HTTP/1.1", "broken header"],
        ["CONNECT [::ffff:10.0.0.1]:443 HTTP/1.1"],
        ["CONNECT pypi.org%00.evil.net:443 HTTP/1.1"],
        ["CONNECT pypi.org@evil.net:443 HTTP/1.1"],
        ["POST http://pypi.org/ HTTP/1.1", "Transfer-Encoding: chunked"],
        ["POST http://pypi.org/ HTTP/1.1", "Content-Length: 1", "content-length: 2"],
        ["POST http://pypi.org/ HTTP/1.1", "Content-Length: -1"],
        ["GET http://pypi.org/ HTTP/1.1", "broken header"],
        ["GET http://pypi.org/ HTTP/1.1", "name : value"],
        ["GET http://pypi.org/ HTTP/1.1", "a: b\nHost: evil.net"],
        ["GET http://pypi.org/ HTTP/1.1", " folded: x"],
        ["\x00"],
        ["G\x07T http://pypi.org/ HTTP/1.1"],
        ["G\tT http://pypi.org/ HTTP/1.1"],
        ["GET http://pypi.org/a\x00b HTTP/1.1"],
        ["GET http://pypi.org/a\nb HTTP/1.1"],
        ["GET http://pypi.org/a\tb HTTP/1.1"],
        ["GET http://pypi.org/a\x7fb HTTP/1.1"],
        ["GET http://pypi.org/a\x85b HTTP/1.1"],
        ["GET http://pypi.org/\xe9 HTTP/1.1"],
        ["CONNECT pypi.org\x0b:443 HTTP/1.1"],
        ["CONNECT pypi.org:443 HTTP/1.1", "broken header"],
        ["GET http://pypi.org/ HTTP/1.1", "a: b\x1bc"],
        ["GET http://pypi.org/ HTTP/1.1", "a: b\x7f"],
        ["GET http://pypi.org/ HTTP/1.1\x00"],
        ["GET http://pypi.org/ HTTP/1.9"],
    ],
)
def test_what_is_not_clear_is_refused(lines: list[str]) -> None:
    """Two readings of one request are how filters are passed."""
    with pytest.raises(Refused):
        check(read_request(_head(*lines)), (*DOMAINS, "evil.net"), PORTS)


@pytest.mark.parametrize("number", ["10.0.0.1", "2130706433", "0x7f.1", "127.1"])
def test_numbers_are_in_no_list(number: str) -> None:
    """Nor would `*.1` be a domain in the settings."""
    with pytest.raises(Refused):
        check(read_request(_head(f"CONNECT {number}:443 HTTP/1.1")), DOMAINS, PORTS)


def test_only_public_addresses_are_left() -> None:
    """A listed name may be made to stand for a private one."""
    found = [
        "10.0.0.1",
        "93.184.216.34",
        "::ffff:10.0.0.1",
        "fe80::1%eth0",
        "169.254.169.254",
        "::1",
    ]

    assert public(found) == ["93.184.216.34"]
    assert public(["::ffff:127.0.0.1"]) == []


@pytest.mark.parametrize(
    "address",
    [
        *("::7f00:1", "::10.0.0.1", "::ffff:0:a9fe:a9fe", "::ffff:0:127.0.0.1", "64:ff9b::a00:1"),
        *("64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:a00:1::1", "fec0::1", "100::1", "4000::1"),
        *("2001:db8::1", "ff0e::1", "1fff::1", "c000::1"),
    ],
)
def test_addresses_that_stand_for_others_are_not_public(address: str) -> None:
    """Gateways of the host's network may lead each of these to a private IPv4 address."""
    assert public([address]) == []


def test_public_addresses_of_both_versions_are() -> None:
    """The internet stays reachable, by mapped addresses too."""
    found = ["2606:4700::1111", "2a00:1450::1", "8.8.8.8", "::ffff:8.8.8.8"]

    assert public(found) == found

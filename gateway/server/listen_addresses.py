"""Where the gateway listens."""

from __future__ import annotations

import socket

LOOPBACK = ("127.0.0.1", "::1")

_REACHED_AS_LOCALHOST = ("0.0.0.0", "::", "localhost", *LOOPBACK)  # noqa: S104  (compared only)


def is_localhost(host: str) -> bool:
    """Whether a gateway that listens on `host` is reached as `localhost`."""
    return host in _REACHED_AS_LOCALHOST


def listened_on(host: str) -> list[str]:
    """The addresses for a setting of `host`, which comes first.

    `localhost` is 127.0.0.1 for some programs and ::1 for others, and browsers try both: where the
    gateway is reached by that name it listens on either, as far as this machine has it.
    """
    first = LOOPBACK[0] if host == "localhost" else host
    if host == "::" or not is_localhost(host):
        return [first]  # `::` takes IPv4 as well (ipv6(7), IPV6_V6ONLY)
    covered = LOOPBACK[0] if host == "0.0.0.0" else first  # noqa: S104
    return [first, *(other for other in LOOPBACK if other != covered and _exists(other))]


def bound(host: str, port: int) -> str:
    """An address as gunicorn takes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _exists(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            attempt.bind((address, 0))
            return True
    except OSError:
        return False

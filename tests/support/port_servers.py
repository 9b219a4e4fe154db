"""Servers inside sandboxes, and ways to ask them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import in_background, result_of

ODD_SERVER = Path(__file__).with_name("odd_server.py")

ODD = 8000
"""Its port."""


def put_text(gateway: GatewayProcess, sandbox_id: str, name: str, text: str) -> None:
    """Write a file in the sandbox's home."""
    result_of(gateway, sandbox_id, f"mkdir -p $(dirname {name}) && cat > {name}", stdin=text)


def start_odd_server(
    gateway: GatewayProcess, sandbox_id: str, port: int = ODD, host: str = "127.0.0.1"
) -> None:
    """Let it listen, and wait until it does."""
    put_text(gateway, sandbox_id, "odd_server.py", ODD_SERVER.read_text())
    start_server(gateway, sandbox_id, f"python3 odd_server.py {port} {host}", port)


def start_server(
    gateway: GatewayProcess, sandbox_id: str, command: str, port: int, within_s: float = 30
) -> None:
    """Start a command that listens on a port, and wait until it does."""
    in_background(gateway, sandbox_id, command, f"server-{port}")
    eventually(lambda: port in open_ports(gateway, sandbox_id), within_s=within_s)


def open_ports(gateway: GatewayProcess, sandbox_id: str) -> dict[int, dict[str, Any]]:
    """What the gateway says that listens, by port."""
    answer = gateway.get(f"/sandboxes/{sandbox_id}/ports")
    assert answer.status_code == 200, answer.text
    return {entry["port"]: entry for entry in answer.json()}


def by_path(sandbox_id: str, path: str = "", port: int = ODD) -> str:
    return f"/sandboxes/{sandbox_id}/ports/{port}/{path}"


def host_of(gateway: GatewayProcess, sandbox_id: str, port: int = ODD) -> str:
    """The name of a port as a host, for `Host` and for addresses in browsers."""
    return f"{port}-{sandbox_id}.localhost:{gateway.port}"


def seen(answer: requests.Response) -> dict[str, str]:
    """The header fields that the odd server was sent, names in lower case."""
    assert answer.status_code == 200, answer.text
    return {name.lower(): value for name, value in json.loads(answer.text)["fields"]}

"""Commands over REST."""

from __future__ import annotations

from typing import Any

import requests

from tests.support.gateway_process import GatewayProcess


def run(gateway: GatewayProcess, sandbox_id: str, command: str, **fields: Any) -> requests.Response:
    return gateway.post(f"/sandboxes/{sandbox_id}/commands", json={"command": command, **fields})


def result_of(
    gateway: GatewayProcess, sandbox_id: str, command: str, **fields: Any
) -> dict[str, Any]:
    answer = run(gateway, sandbox_id, command, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def in_background(
    gateway: GatewayProcess, sandbox_id: str, command: str, request_id: str, **fields: Any
) -> str:
    """The address of a command that was started."""
    answer = run(gateway, sandbox_id, command, request_id=request_id, background=True, **fields)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def finished(gateway: GatewayProcess, address: str) -> dict[str, Any] | None:
    """The command at this address once it has ended; None before."""
    shown = gateway.get(address).json()
    return shown if shown["status"] == "finished" else None


def read_all(
    gateway: GatewayProcess, address: str, query: str = "", limit: int = 1024 * 1024
) -> bytes:
    """A stream of a command from its first byte to its end, by long polls, each on any worker."""
    read, offset, complete = b"", 0, "false"
    while complete == "false":
        answer = gateway.get(f"{address}/output?offset={offset}&limit={limit}&wait=20{query}")
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["X-Output-Offset"]) == offset, "a gap"
        read += answer.content
        assert int(answer.headers["X-Output-Next"]) == len(read)
        offset, complete = len(read), answer.headers["X-Output-Complete"]
    return read

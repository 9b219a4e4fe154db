"""What the gateway tells of a sandbox's life and of its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of

MakeGateway = Callable[..., GatewayProcess]


def certificate_of(
    gateway: GatewayProcess, sandbox_id: str, within_s: float = 10.0
) -> dict[str, Any]:
    """Why a sandbox ended, once it has."""

    def ended() -> dict[str, Any] | None:
        answer = gateway.get(f"/sandboxes/{sandbox_id}")
        return None if answer.status_code == 200 else problem_of(answer, 404).get("ended")

    return eventually(ended, within_s=within_s)


def events_of(gateway: GatewayProcess, sandbox_id: str) -> list[dict[str, Any]]:
    """All that happened to a sandbox, oldest first."""
    answer = gateway.get(f"/sandboxes/{sandbox_id}/events")
    assert answer.status_code == 200, answer.text
    return answer.json()


def kinds_of(gateway: GatewayProcess, sandbox_id: str) -> list[str]:
    """The kinds of these events."""
    return [event["event"] for event in events_of(gateway, sandbox_id)]


def shown(gateway: GatewayProcess, sandbox_id: str) -> dict[str, Any]:
    """The sandbox object."""
    answer = gateway.get(f"/sandboxes/{sandbox_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored_state(gateway: GatewayProcess, sandbox_id: str) -> str | None:
    """What the store says, which clients see less finely."""
    return next((state for found, state in states(gateway) if found == sandbox_id), None)


def states(gateway: GatewayProcess) -> list[tuple[str, str]]:
    """(sandbox_id, state) of all rows in the store."""
    database = sqlite3.connect(gateway.data_dir / "gateway.db")
    try:
        return database.execute("SELECT sandbox_id, state FROM sandboxes").fetchall()
    finally:
        database.close()

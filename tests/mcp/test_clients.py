"""Clients of other people, unmodified, in environments of their own
(`scripts/lib/client_environments.sh`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import MCP_TOOLS
from tests.support.gateway_process import ROOT, GatewayProcess
from tests.support.keys import ALICE, INLINE

PROGRAMS = Path(__file__).with_name("programs")
PLACES = ROOT / ".run" / "mcp-clients"

HANDSHAKE, NEWEST = "2025-11-25", "2026-07-28"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with keys, for all clients; each leaves it as it was."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), api_keys=INLINE, network="none")
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.mark.parametrize(
    ("program", "place", "version"),
    [
        ("mcp_1.py", "mcp-1", HANDSHAKE),
        ("mcp_2.py", "mcp-2", NEWEST),
        ("fast_mcp.py", "mcp-2", None),
        ("langchain_adapters.py", "mcp-1", None),
        ("openai_agents.py", "openai-agents", None),
        ("typescript_1.mjs", "npm", HANDSHAKE),
        ("typescript_2.mjs", "npm", NEWEST),
    ],
)
def test_a_client_does_its_task(
    keyed: GatewayProcess, tmp_path: Path, program: str, place: str, version: str | None
) -> None:
    """They check answers against the schemas that the gateway has shown; each speaks the newest
    revision that it can."""
    if program.endswith(".py"):
        command = _python(place, program)
    else:
        for module in PROGRAMS.glob("*.mjs"):
            (tmp_path / module.name).write_text(module.read_text())
        (tmp_path / "node_modules").symlink_to(PLACES / place / "node_modules")
        command = ["node", str(tmp_path / program)]
    assert _seen(command, keyed) == {
        "tools": sorted(MCP_TOOLS),
        "version": version,
        "ran": [3, "out\n", "err\n"],
        "read": "two\n",
        "listed": True,
        "deleted": True,
    }


def test_an_agent_does_a_task_of_many_steps(keyed: GatewayProcess) -> None:
    """Its longest command outlasts the wait of a call, and writes nothing until its end."""
    seen = _seen([*_python("mcp-2", "agent.py")], keyed, "6")

    assert seen["calls"] > 25
    assert seen["longest"] <= 20_000


def _python(place: str, program: str) -> list[str]:
    return [str(PLACES / place / "bin" / "python"), str(PROGRAMS / program)]


def _seen(command: list[str], gateway: GatewayProcess, *arguments: str) -> dict[str, Any]:
    """What a program has seen, by its last line."""
    ran = subprocess.run(
        [*command, f"http://127.0.0.1:{gateway.port}/mcp", ALICE, *arguments],
        env={**os.environ, "PYTHONPATH": "", "OPENAI_API_KEY": "none"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return seen

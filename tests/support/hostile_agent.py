"""A program in a sandbox that takes the agent's place and does what it is told, on every link.

    with hostile_agent(gateway, sandbox_id, [HELLO, SERVE, flood]) as agent:
        …
        assert agent.links() < 5

`tests/support/hostile_agent_program.py` says which steps there are. It got there as any tenant's
program does: by a command. The sandbox is good for nothing else afterwards.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

Step = dict[str, Any]

PROGRAM = (Path(__file__).parent / "hostile_agent_program.py").read_text()
LOG = "tmp/hostile.log"
GO = "tmp/hostile.go"

LIFE_S = 120.0
"""Then it ends by itself, whatever becomes of the test."""

HELLO: Step = {"do": "hello"}
SERVE: Step = {"do": "serve"}
CLOSE: Step = {"do": "close"}
HANG: Step = {"do": "hang"}


def serve_until(operation: str) -> Step:
    """Be honest until somebody asks for this operation, and leave that one unanswered."""
    return {"do": "serve", "until": operation}


class HostileAgent:
    """One that listens in a sandbox. What it notes is read from outside."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str) -> None:
        self._gateway = gateway
        self.sandbox_id = sandbox_id
        container_id = gateway.engine.container_of(sandbox_id)
        first = gateway.engine.api.inspect_container(container_id)["State"]["Pid"]
        self._root = Path(f"/proc/{first}/root")

    def notes(self) -> list[str]:
        """What happened, a line each: `listening PID`, `link direct`, `asked run`, `done`, …"""
        try:
            lines = (self._root / LOG).read_text().splitlines()
        except OSError:
            return []
        return [line.partition(" ")[2] for line in lines]

    def go(self) -> None:
        """Let it take the agent's place."""
        (self._root / GO).touch()

    def links(self) -> int:
        """How many links gateways have made to it."""
        return sum(note.startswith("link ") for note in self.notes())

    def listens(self) -> bool:
        """Whether it has taken the agent's place."""
        return any(note.startswith("listening ") for note in self.notes())

    def was_asked(self, operation: str) -> bool:
        """Whether a gateway has asked it for this operation."""
        return f"asked {operation}" in self.notes()

    def end(self) -> None:
        """Kill its processes, from outside. May be repeated."""
        try:
            processes = self._gateway.engine.processes(self.sandbox_id)
        except Exception as error:  # noqa: BLE001  (the docker SDK's many, for a container that went)
            print(f"no processes: {error}")
            return
        for process in processes:
            try:
                if any("hostile.py" in word for word in process.cmdline()):
                    process.kill()
            except psutil.NoSuchProcess:
                pass


@contextmanager
def hostile_agent(
    gateway: GatewayProcess,
    sandbox_id: str,
    steps: Sequence[Step],
    *,
    life_s: float = LIFE_S,
    protocol: int = 2,
) -> Iterator[HostileAgent]:
    """Let one take the agent's place in a sandbox, and kill it at the end. `protocol` is that of
    the agent which it claims to be."""
    agent = HostileAgent(gateway, sandbox_id)
    command = (
        f"cat > /tmp/hostile.py <<'EOF'\n{PROGRAM}\nEOF\n"
        f"setsid python3 -S -E /tmp/hostile.py {shlex.quote(json.dumps(list(steps)))} {life_s:g} "
        f"{protocol} "
        "</dev/null >/dev/null 2>/tmp/hostile.err &"
    )
    try:
        # The real agent answers this one. A command whose answer fails may run still, as far as the
        # gateway knows, and the sandbox would not be idle for minutes.
        put = gateway.post(
            f"/sandboxes/{sandbox_id}/commands", json={"command": command}, timeout=60
        )
        assert put.status_code == 200, put.text
        agent.go()
        eventually(agent.listens, within_s=20)
        yield agent
    finally:
        agent.end()

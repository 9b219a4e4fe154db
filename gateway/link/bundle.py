"""The agent's source, packed so that one docker exec can start it."""

from __future__ import annotations

from functools import cache
from importlib import resources

MODULES = (
    "load",
    "frames",
    "signals",
    "descriptors",
    "directories",
    "surroundings",
    "output",
    "loop",
    "lingering",
    "login",
    "process",
    "proctree",
    "terminal_line",
    "stdin",
    "command",
    "reader",
    "link",
    "session_script",
    "session_processes",
    "session_streams",
    "session",
    "session_signals",
    "session_stops",
    "sessions",
    "retention",
    "command_input",
    "command_output",
    "command_signals",
    "runner",
    "link_listener",
    "operations",
    "daemon",
)
"""In the order of their imports."""

SOCKET_NAME = "sandbox-agent-1"
"""Abstract socket of the daemon; the number is `frames.PROTOCOL`, so that a gateway of another
protocol starts its own."""

BOOTSTRAP = """
import os, sys
def take(size):
    taken = b""
    while len(taken) < size:
        piece = os.read(0, size - len(taken))
        if not piece:
            sys.exit(3)
        taken += piece
    return taken
sizes = take(16)
entry = take(int(sizes[:8]))
rest = take(int(sizes[8:]))
exec(compile(entry, "agent/entry.py", "exec"))
"""
"""What `python3 -c` runs: it reads exactly the bundle from stdin and not a byte of the link."""


def argv() -> list[str]:
    """The command line that makes a link: -S for a fast start; -I for no foreign code, neither
    from the environment nor from the working directory."""
    return ["python3", "-I", "-S", "-X", "utf8", "-c", BOOTSTRAP.strip(), SOCKET_NAME]


@cache
def bundle() -> bytes:
    """What goes to stdin first: two sizes of 8 digits, `entry`, then the modules."""
    package = resources.files("gateway.agent")
    entry = (package / "entry.py").read_bytes()
    rest = b""
    for name in MODULES:
        source = (package / f"{name}.py").read_bytes()
        rest += f"{name} {len(source)}\n".encode() + source
    return b"%08d%08d" % (len(entry), len(rest)) + entry + rest

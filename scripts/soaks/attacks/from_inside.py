"""What a sandbox does to its neighbours without any client."""

from __future__ import annotations

import json
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..caller import Caller, command
from .relentless import REFUSED, at_once, relentlessly

HOSTILE_AGENT = Path(__file__).parents[3] / "tests" / "support" / "hostile_agent_program.py"

ROUND_S = 60.0

INOTIFY = """
import ctypes, time
libc = ctypes.CDLL(None)
while True:
    while libc.inotify_init() >= 0: pass
    time.sleep(1)
"""

DESCRIPTORS_IN_FLIGHT = """
import array, socket, time
held = []
def full():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    held.append((a, b))
    fds = array.array("i", [a.fileno()] * 250)
    while True:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        a.sendmsg([b"x"], rights, socket.MSG_DONTWAIT)
while True:
    try: full()
    except OSError: time.sleep(0.1)
"""

NAMES = """
import os, socket, struct
server = ("127.0.0.11", 53)
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
while True:
    for one in sockets:
        name = os.urandom(8).hex().encode()
        query = os.urandom(2) + struct.pack("!5H", 256, 1, 0, 0, 0)
        query += bytes([len(name)]) + name + b"\\x04test\\0" + struct.pack("!2H", 1, 1)
        try: one.sendto(query, socket.MSG_DONTWAIT, server)
        except OSError: pass
"""

CONNECTIONS = """
import socket
held = []
while True:
    one = socket.socket(); one.setblocking(False)
    try: one.connect(("192.0.2.%d" % (len(held) % 250 + 1), 80))
    except OSError: pass
    held.append(one)
    if len(held) > 800: held.clear()
"""

SCRIPTS = {
    "inotify instances": INOTIFY,
    "descriptors in flight": DESCRIPTORS_IN_FLIGHT,
    "names": NAMES,
    "connections": CONNECTIONS,
}

SHELLS = {
    "disk": "while :; do cat /dev/zero > zeros; rm -f zeros; done",
    "syncs": "while :; do for n in 1 2 3 4; do dd if=/dev/zero of=s$n bs=64k count=16 conv=fsync "
    "2>/dev/null & done; wait; done",
    "CPU": "for n in 1 2 3 4; do (while :; do :; done) & done; wait",
    "processes": ":(){ :|:& };:",
}

_HELLO = {"do": "hello"}
_UNTIL_ASKED = {"do": "serve", "until": "list"}
_FORGED = {"event": "refused", "code": "x", "detail": "x\n2026-01-01 ERROR gateway: forged"}
FLOODS: list[list[dict[str, Any]]] = [
    # Empty frames on a channel that nobody opened.
    [_HELLO, {"do": "frame", "kind": 3, "payload": [], "ahead": 1000, "seconds": 60}],
    # A link that ends whenever it was made.
    [_HELLO, _UNTIL_ASKED, {"do": "close"}],
    # Output of one byte a frame, and gaps.
    [
        {"do": "hello"},
        {"do": "serve", "until": "list"},
        {"do": "gaps", "between": 1, "seconds": 60},
    ],
    # Words for the log.
    [_HELLO, _UNTIL_ASKED, {"do": "event", "event": _FORGED}],
]
"""What the program does on each link; see `tests/support/hostile_agent_program.py`."""


def all_of_it(caller: Caller) -> NoReturn:
    """Two sandboxes in which everything is used up at once, again and again."""

    def step() -> None:
        commands = {name: f"python3 -c '{script}'" for name, script in SCRIPTS.items()}
        _work_in(caller, commands)

    relentlessly(step)


def bombs(caller: Caller) -> NoReturn:
    """A sandbox that writes, flushes, computes and forks without an end."""
    relentlessly(lambda: _work_in(caller, SHELLS))


def agent_in_its_place(caller: Caller) -> NoReturn:
    """Sandboxes whose agent is the tenant's own program, which floods whoever asks it anything."""
    program = HOSTILE_AGENT.read_text()
    at_once([partial(_take_the_agents_place, caller, program, steps) for steps in FLOODS])


def _take_the_agents_place(caller: Caller, program: str, steps: list[dict[str, Any]]) -> None:
    start = (
        f"cat > /tmp/hostile.py <<'EOF'\n{program}\nEOF\n"
        f"setsid python3 -S -E /tmp/hostile.py {shlex.quote(json.dumps(steps))} {ROUND_S:g} "
        "</dev/null >/dev/null 2>&1 &"
    )
    sandbox_id = caller.create()
    try:
        commands = f"/sandboxes/{sandbox_id}/commands"
        with suppress(*REFUSED):  # it may be faster than the answer
            caller.ask("POST", commands, json={"command": start}, timeout=10)
        end = time.monotonic() + ROUND_S
        with ThreadPoolExecutor(6) as pool:
            while time.monotonic() < end:
                list(pool.map(lambda _: _ask(caller, commands), range(6)))
    finally:
        caller.delete(sandbox_id)


def _ask(caller: Caller, commands: str) -> None:
    with suppress(*REFUSED):
        caller.ask("GET", commands, timeout=5)


def _work_in(caller: Caller, commands: dict[str, str]) -> None:
    sandbox_id = caller.create()
    try:
        connection = caller.connect(sandbox_id)
        try:
            for name, text in commands.items():
                connection.send(command(text, request_id=name, timeout=ROUND_S))
            time.sleep(ROUND_S)
        finally:
            connection.close()
    finally:
        caller.delete(sandbox_id)

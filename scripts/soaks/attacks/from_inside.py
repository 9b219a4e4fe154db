"""What a sandbox does to its neighbours without any client."""

from __future__ import annotations

import time
from typing import NoReturn

from ..caller import Caller, command
from .relentless import relentlessly

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


def all_of_it(caller: Caller) -> NoReturn:
    """Two sandboxes in which everything is used up at once, again and again."""

    def step() -> None:
        commands = {name: f"python3 -c '{script}'" for name, script in SCRIPTS.items()}
        _work_in(caller, commands)

    relentlessly(step)


def bombs(caller: Caller) -> NoReturn:
    """A sandbox that writes, flushes, computes and forks without an end."""
    relentlessly(lambda: _work_in(caller, SHELLS))


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

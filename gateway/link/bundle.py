"""The agent's source, packed so that one docker exec can start it."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

import gevent

MODULES = (
    "agent.load",
    "protocol.frames",
    "protocol.credit",
    "protocol.streams",
    "agent.signals",
    "agent.descriptors",
    "agent.surroundings",
    "agent.loop",
    "agent.retention",
    "agent.processes.directories",
    "agent.processes.output",
    "agent.processes.lingering",
    "agent.processes.login",
    "agent.processes.process",
    "agent.processes.proctree",
    "agent.processes.terminal_line",
    "agent.processes.stdin",
    "agent.processes.command",
    "agent.processes.command_input",
    "agent.processes.command_output",
    "agent.processes.command_signals",
    "agent.sessions.session_script",
    "agent.sessions.session_processes",
    "agent.sessions.session_streams",
    "agent.sessions.session",
    "agent.sessions.session_signals",
    "agent.sessions.session_stops",
    "agent.sessions.sessions",
    "agent.processes.runner",
    "agent.links.channel",
    "agent.links.link",
    "agent.links.listener",
    "agent.links.serving",
    "agent.operations.table",
    "agent.operations.reader",
    "agent.operations.input",
    "agent.operations.commands",
    "agent.operations.sandbox",
    "agent.files.start",
    "agent.contexts.start",
    "agent.ports.listening",
    "agent.ports.connection",
    "agent.daemon",
)
"""From `gateway` on, in the order of their imports."""

FILE_MODULES = (
    "agent.files.become",
    "agent.files.wire",
    "agent.files.paths",
    "agent.files.records",
    "agent.files.details",
    "agent.files.bulk",
    "agent.files.reading",
    "agent.files.writing",
    "agent.files.in_place",
    "agent.files.trees",
    "agent.files.changing",
    "agent.files.listing",
    "agent.files.tar_format",
    "agent.files.packing",
    "agent.files.staging",
    "agent.files.unpacking",
    "agent.files.inotify",
    "agent.files.told_events",
    "agent.files.watched_tree",
    "agent.files.watcher",
    "agent.files.plain_watcher",
    "agent.files.watching",
    "agent.files.kept_watches",
    "agent.files.table",
    "agent.files.server",
)
"""Of the process that serves files: sent when the first file is asked for."""

CONTEXT_MODULES = (
    "protocol.frames",
    "protocol.credit",
    "agent.surroundings",
    "agent.loop",
    "agent.links.channel",
    "agent.links.link",
    "agent.links.listener",
    "agent.links.serving",
    "agent.operations.table",
    "agent.contexts.start",
    "agent.contexts.records",
    "agent.contexts.kernel",
    "agent.contexts.kernel_process",
    "agent.contexts.context",
    "agent.contexts.execution",
    "agent.contexts.charts",
    "agent.contexts.results",
    "agent.contexts.shell",
    "agent.contexts.warm",
    "agent.contexts.server",
)
"""Of the process that serves code contexts, which is a python3 of its own."""

CONTEXT_SOCKET = "sandbox-contexts-1"
"""Its abstract socket. The number changes with what is said on it, and not with each version: the
state of contexts outlives gateways, and their next versions."""

SOCKET_NAME = "sandbox-agent-2"
"""Abstract socket of the daemon; the number is `frames.PROTOCOL`."""

OLDER_SOCKET_NAMES = ("sandbox-agent-1",)
"""Of agents that earlier versions have started. One that is there goes on: it knows the commands.
"""

NAMES = (SOCKET_NAME, *OLDER_SOCKET_NAMES)
"""In the order in which an agent is looked for."""

ROOT_NAMES = ("sandbox-root-agent-2",)
"""Likewise, of root's agent in a sandbox with root."""

ROOT_MODULES = ("agent.sudo.request", "agent.sudo.program", "agent.sudo.listener")
"""What only root's agent has."""

OF_ROOT = (*MODULES[:-1], *ROOT_MODULES, MODULES[-1])
"""All of its modules, the daemon last."""

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


def argv(names: tuple[str, ...] = NAMES) -> list[str]:
    """The command line that makes a link: -S for a fast start; -I for no foreign code, neither
    from the environment nor from the working directory."""
    return ["python3", "-I", "-S", "-X", "utf8", "-c", BOOTSTRAP.strip(), *names]


@cache
def bundle() -> bytes:
    """What goes to stdin first: two sizes of 8 digits, `entry`, then the modules."""
    return _with_entry(_packed(MODULES))


@cache
def bundle_for_root() -> bytes:
    """Likewise, of root's agent."""
    return _with_entry(_packed(OF_ROOT))


@cache
def bundle_for_files() -> bytes:
    """The same, without modules: the process that serves files is there already, or not at all."""
    return _with_entry(b"")


@cache
def file_program(*, for_root: bool = False) -> tuple[str, bytes]:
    """The abstract socket of the process that serves files, and its modules. Each version of them
    has a socket of its own: one that is there may be another gateway's. So has each user."""
    program = _packed(FILE_MODULES)
    name = f"sandbox-files-{hashlib.sha256(program).hexdigest()[:16]}"
    return (f"{name}-root" if for_root else name), program


@cache
def context_program() -> bytes:
    """The modules of the process that serves code contexts."""
    return _packed(CONTEXT_MODULES)


def _with_entry(rest: bytes) -> bytes:
    entry = _source("agent.entry")
    return b"%08d%08d" % (len(entry), len(rest)) + entry + rest


def _packed(names: Iterable[str]) -> bytes:
    packed = b""
    for name in names:
        gevent.sleep(0)  # some milliseconds each, once per worker
        source = _source(name)
        packed += f"{name} {len(source)}\n".encode() + source
    return packed


def _source(name: str) -> bytes:
    package, _, module = f"gateway.{name}".rpartition(".")
    return without_words((resources.files(package) / f"{module}.py").read_text("utf-8")).encode()


def without_words(source: str) -> str:
    """Python source without docstrings and lines that are comments, a third of it. The other lines
    keep their numbers, which tracebacks tell.

    By line, and by statement: the tokenizer, which is Python, held a worker's hub for 0.3 s when it
    started its first agent. Source here has no text in triple quotes of another kind.
    """
    lines = source.splitlines()
    is_text = False
    for row, line in enumerate(lines):
        if not is_text and line.lstrip().startswith("#"):
            lines[row] = ""
        elif line.count(_QUOTES) % 2:
            is_text = not is_text
    for statement in _statements(ast.parse(source).body):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            # A body needs at least one statement.
            lines[statement.lineno - 1] = " " * statement.col_offset + "0"
            for row in range(statement.lineno, statement.end_lineno or 0):
                lines[row] = ""
    return "\n".join(lines) + "\n"


_QUOTES = '"' * 3
_BODIES = ("body", "orelse", "finalbody", "handlers")


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These and what is in them."""
    for statement in body:
        yield statement
        for name in _BODIES:
            yield from _statements(getattr(statement, name, ()))

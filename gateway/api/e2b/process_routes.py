"""`process.Process`: what E2B's clients start in a sandbox, and do with what runs there."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from typing import Any

from flask import Blueprint

from gateway.api.e2b import process_events
from gateway.api.e2b.client_socket import client_of_request
from gateway.api.e2b.connect_rpc import URL_PREFIX, ConnectRpc
from gateway.api.e2b.process_messages import (
    OfProcess,
    SendInput,
    SendSignal,
    Start,
    StreamedInput,
    Update,
    read,
)
from gateway.api.e2b.process_story import Story
from gateway.api.e2b.rpc_errors import RpcError
from gateway.api.e2b.rpc_requests import current_call
from gateway.api.e2b.rpc_streams import Message, Messages
from gateway.api.e2b.users import DEFAULT, user_of_request
from gateway.commands.command_name import Which
from gateway.commands.command_spec import process_of
from gateway.commands.processes import RunningProcess
from gateway.commands.run_and_steer import Commands
from gateway.errors import CommandFinished, CommandNotFound
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

SERVICE = "process.Process"

EARLY_S = 0.01
"""So much before its deadline a process is killed: it has ended when its client is told. Older SDKs
have a clock of their own, and do not wait for the word."""

_SHELL = ["/bin/bash", "-c"]
"""How commands that are no words are shown."""


def blueprint(rpc: ConnectRpc, commands: Commands, uses: SandboxUses) -> Blueprint:
    """The procedures, all of them."""
    routes = Blueprint("e2b_process", __name__, url_prefix=URL_PREFIX)
    processes = _Processes(rpc, commands, uses)
    for method, stream in (("Start", processes.start), ("Connect", processes.connect)):
        rpc.server_stream(routes, SERVICE, method, stream, keepalive=process_events.KEEPALIVE)
    rpc.client_stream(routes, SERVICE, "StreamInput", processes.stream_input)
    for method, handler in (
        ("List", processes.list),
        ("SendInput", processes.send_input),
        ("CloseStdin", processes.close_stdin),
        ("SendSignal", processes.send_signal),
        ("Update", processes.update),
    ):
        rpc.unary(routes, SERVICE, method, handler)
    rpc.otherwise(routes, SERVICE)
    return routes


class _Processes:
    def __init__(self, rpc: ConnectRpc, commands: Commands, uses: SandboxUses) -> None:
        self._rpc = rpc
        self._commands = commands
        self._uses = uses

    # --- streams ---------------------------------------------------------------------------------

    def start(self, sandbox_id: str, message: Message) -> Messages:
        asked = read(Start, message)
        if not asked.process.cmd:
            raise RpcError("invalid_argument", "the message has no command")
        user = user_of_request()
        if user != DEFAULT:  # before the answer begins: who is not there is a status
            with self._uses.of(sandbox_id) as use:
                self._commands.require_user(use.place, user)
        argv = [asked.process.cmd, *asked.process.args]
        spec = process_of(
            uuid.uuid4().hex,
            argv,
            command=shlex.join(argv),
            env=asked.process.envs,
            cwd=asked.process.cwd or None,
            tag=asked.tag,
            size=None if asked.pty is None else asked.pty.size.sides,
            with_stdin=asked.stdin,
            timeout_s=_life_s(current_call().left_s()),
            user=user,
        )
        story = Story(self._commands, client_of_request(), spec)
        return story.messages(
            self._uses, sandbox_id, lambda place: self._commands.follow(place, spec)
        )

    def connect(self, sandbox_id: str, message: Message) -> Messages:
        which = read(OfProcess, message).which
        story = Story(self._commands, client_of_request(), None)

        def messages() -> Messages:
            try:
                yield from story.messages(
                    self._uses,
                    sandbox_id,
                    lambda place: self._commands.attach_undelivered(place, which),
                )
            except CommandNotFound:
                raise _missing(which) from None

        return messages()

    def stream_input(self, sandbox_id: str, messages: Iterator[Message]) -> Message:
        """The first message says for which process. Each is written before the next is read."""
        which: Which | None = None
        with self._uses.of(sandbox_id) as use:
            for message in messages:
                sent = read(StreamedInput, message)
                if sent.start is not None:
                    which = sent.start.which
                elif sent.data is not None:
                    if which is None:
                        raise RpcError("invalid_argument", "the first message has to be `start`")
                    self._write(use.place, which, *sent.data.input.data)
        return {}

    # --- single calls ----------------------------------------------------------------------------

    def list(self, sandbox_id: str, _message: Message) -> Message:
        with self._uses.of(sandbox_id) as use:
            running = self._rpc.until(lambda: self._commands.processes(use.place))
        return {"processes": [_shown(one) for one in running]}

    def send_input(self, sandbox_id: str, message: Message) -> Message:
        asked = read(SendInput, message)
        which, (data, to_terminal) = asked.which, asked.input.data
        with self._uses.of(sandbox_id) as use:
            self._write(use.place, which, data, to_terminal)
        return {}

    def close_stdin(self, sandbox_id: str, message: Message) -> Message:
        which = read(OfProcess, message).which
        with self._uses.of(sandbox_id) as use:
            self._write(use.place, which, b"", False, eof=True)
        return {}

    def send_signal(self, sandbox_id: str, message: Message) -> Message:
        asked = read(SendSignal, message)
        which, name = asked.which, asked.name
        with self._uses.of(sandbox_id) as use:
            if name == "KILL":
                self._do(which, lambda: self._commands.kill(use.place, which))
            else:
                self._do(which, lambda: self._commands.send_signal(use.place, which, name))
        return {}

    def update(self, sandbox_id: str, message: Message) -> Message:
        asked = read(Update, message)
        which, pty = asked.which, asked.pty
        if pty is None:
            raise RpcError("invalid_argument", "the message has nothing to update")
        with self._uses.of(sandbox_id) as use:
            self._do(which, lambda: self._commands.resize(use.place, which, *pty.size.sides))
        return {}

    # ---------------------------------------------------------------------------------------------

    def _write(
        self, place: Place, which: Which, data: bytes, to_terminal: bool, *, eof: bool = False
    ) -> None:
        self._do(
            which,
            lambda: self._commands.write_stdin(place, which, data, eof, to_terminal=to_terminal),
        )

    def _do(self, which: Which, work: Any) -> None:
        try:
            self._rpc.until(work)
        except (CommandNotFound, CommandFinished):
            raise _missing(which) from None


def _life_s(left_s: float | None) -> float | None:
    return None if left_s is None else max(left_s - EARLY_S, left_s / 2)


def _missing(which: Which) -> RpcError:
    return RpcError("not_found", f"{which} not found")


def _shown(one: RunningProcess) -> Message:
    argv = [*_SHELL, one.command] if one.argv is None else one.argv
    config: Message = {"cmd": argv[0] if argv else "", "args": argv[1:], "envs": one.env}
    if one.cwd is not None:
        config["cwd"] = one.cwd
    shown: Message = {"config": config, "pid": one.pid}
    if one.tag is not None:
        shown["tag"] = one.tag
    return shown

"""A client that goes away in the middle of a command's output: the command is not followed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from gettext import NullTranslations
from typing import Any

import pytest

from gateway.api.ws.command_connection import Connection
from gateway.api.ws.outbox import Outbox
from gateway.api.ws.terminal import Terminal
from gateway.commands.command_spec import CommandSpec, spec_of, terminal_of
from gateway.middleware.language import Texts
from gateway.process.byte_budget import ByteBudget, Holding
from gateway.schemas.models import CommandRequest
from tests.unit.api.endless_output import EndlessOutput
from tests.unit.api.rest.fakes import FakeLease


class Commands:
    """Every command is the same one."""

    def __init__(self) -> None:
        self.followed = EndlessOutput()

    def for_one_client(self) -> Commands:
        return self

    def spec(self, request: CommandRequest, request_id: str) -> CommandSpec:
        spec = spec_of(request, request_id, 1000)
        spec.handed_over.set()
        return spec

    def follow(self, *_arguments: Any) -> EndlessOutput:
        return self.followed

    attach = open_terminal = follow


class Socket:
    """Takes two frames. The third finds the client gone."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_frame(self, _opcode: int, payload: bytes) -> None:
        if len(self.sent) == 2:
            raise ConnectionResetError
        self.sent.append(payload)


class Peer:
    """Sends these messages, and stays until its command is not followed any more."""

    connected = True

    def __init__(self, commands: Commands, *messages: dict[str, Any]) -> None:
        self.outbox = Outbox(Socket(), Texts("en", NullTranslations()), self.wake)
        self._commands = commands
        self._messages = messages

    def messages(self) -> Iterator[str]:
        yield from map(json.dumps, self._messages)
        self._commands.followed.is_closed.wait(timeout=5)

    def note(self, *_what: Any, **_more: Any) -> None: ...

    count = asks = wake = close = note


@pytest.fixture
def held() -> Holding:
    return Holding(ByteBudget(10**6, 10**6, own_full=RuntimeError, all_full=RuntimeError), "o")


@pytest.mark.parametrize(
    "message",
    [
        {"command": "yes", "request_id": "r", "stream": True},
        {"type": "attach", "request_id": "r"},
        {"type": "attach", "request_id": "r", "encoding": "base64"},
    ],
)
def test_output_that_cannot_be_sent_ends_the_following(
    held: Holding, message: dict[str, Any]
) -> None:
    """At once. It takes the agent's credit, a channel, and one of its owner's streams."""
    commands = Commands()
    peer = Peer(commands, message)

    Connection(peer, FakeLease("a1", "c"), commands, lambda: None, held).serve()

    assert commands.followed.closed == 1
    assert commands.followed.told == 3


def test_a_terminal_whose_viewer_is_gone_is_not_followed(held: Holding) -> None:
    """The terminal itself stays."""
    commands = Commands()

    Terminal(Peer(commands), FakeLease("a1", "c"), commands, terminal_of("r", 80, 24), held).serve()

    assert commands.followed.closed == 1
    assert commands.followed.told == 4

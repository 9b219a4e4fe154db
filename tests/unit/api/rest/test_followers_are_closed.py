"""A client that goes away in the middle of a command's output: the command is not followed on."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadOffset
from tests.unit.api.endless_output import EndlessOutput
from tests.unit.api.rest.fake_commands import FakeCommands
from tests.unit.api.rest.fakes import CheckedClient

RUN = "/sandboxes/a1/commands"
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def output(commands: FakeCommands, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> EndlessOutput:
    """What every command writes. `r1` runs already."""
    output = EndlessOutput()
    commands.add("r1").write(b"0123456789")
    monkeypatch.setattr(commands, "follow", lambda *_: output)
    monkeypatch.setattr(commands, "attach", lambda *_: output)
    return output


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "POST", "path": RUN, "json": {"command": "yes", "stream": True}},
        {"path": f"{RUN}/r1/output", "headers": EVENTS},
        {"path": f"{RUN}/r1/output?stream=stdout", "headers": EVENTS},
    ],
)
def test_events_that_nobody_reads_on_are_not_followed(
    client: CheckedClient, output: EndlessOutput, commands: FakeCommands, asked: dict[str, Any]
) -> None:
    """At once, whatever the garbage collector does."""
    commands.script = lambda command: None
    stream = client.open(**asked, buffered=False)
    pieces = stream.iter_encoded()
    assert next(pieces).startswith(b"event: started")
    assert next(pieces).startswith(b"event: stdout")
    assert output.closed == 0

    stream.close()

    assert output.closed == 1


def test_a_piece_of_the_output_is_followed_no_further(
    client: CheckedClient, output: EndlessOutput
) -> None:
    """The rest is for the next request."""
    assert client.get(f"{RUN}/r1/output?limit=3").data == b"xxx"

    assert output.closed == 1


def test_a_result_that_is_of_another_command_is_not_waited_for(
    client: CheckedClient,
    output: EndlessOutput,
    commands: FakeCommands,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command of the same id has begun in between: it is asked for anew."""
    commands.all[0].end()
    commands.all[0].pid = 7

    def attach(*_arguments: object) -> EndlessOutput:
        if output.closed:
            raise BadOffset("the third one")
        return output

    monkeypatch.setattr(commands, "attach", attach)
    listed = iter([commands.list, lambda *_: [], lambda *_: []])
    monkeypatch.setattr(commands, "list", lambda *given: next(listed)(*given))

    assert client.get(f"{RUN}/r1").status_code == 404
    assert output.closed == 1

"""Input and signals for running commands over REST."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from gateway.errors import (
    BadRequest,
)
from tests.unit.api.rest.fake_commands import FakeCommands

RUN = "/sandboxes/a1/commands"


def test_input_is_written(client: FlaskClient, sandbox: str, commands: FakeCommands) -> None:
    """As text or as base64, with its end or without; an empty body writes nothing."""
    command = commands.add("r/1", interactive=True)
    path = f"{RUN}/r%2F1/stdin"

    for body in (
        {"data": "più\n"},
        {"data": "/w==", "encoding": "base64", "eof": True},
        {"eof": True},
        {},
    ):
        assert client.post(path, json=body).status_code == 204

    assert command.received == [
        ("più\n".encode(), False),
        (b"\xff", True),
        (b"", True),
        (b"", False),
    ]


@pytest.mark.parametrize(
    "body",
    [{"data": "!", "encoding": "base64"}, {"data": 1}, {"data": "x", "request_id": "r1"}],
)
def test_input_that_does_not_fit_is_refused(
    client: FlaskClient, sandbox: str, commands: FakeCommands, body: object
) -> None:
    """Half of it would be worse than none."""
    command = commands.add("r1", interactive=True)

    assert client.post(f"{RUN}/r1/stdin", json=body).status_code == 422
    assert command.received == []


def test_signals_are_sent(client: FlaskClient, sandbox: str, commands: FakeCommands) -> None:
    """By name."""
    command = commands.add("r1")

    response = client.post(f"{RUN}/r1/signal", json={"signal": "INT"})

    assert response.status_code == 204
    assert response.data == b""
    assert command.signals == ["INT"]


@pytest.mark.parametrize("body", [{}, {"signal": "kill"}, {"signal": 9}, {"signal": "INT; ls"}])
def test_what_is_no_name_of_a_signal_is_refused(
    client: FlaskClient, sandbox: str, commands: FakeCommands, body: object
) -> None:
    """Before anybody is asked."""
    commands.add("r1")

    assert client.post(f"{RUN}/r1/signal", json=body).status_code == 422


def test_a_signal_that_does_not_exist_is_422(
    client: FlaskClient, sandbox: str, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the form of one, but the sandbox does not know it."""

    def refuse(*_: object) -> None:
        raise BadRequest("no signal 'FOO'")

    monkeypatch.setattr(commands, "send_signal", refuse)

    response = client.post(f"{RUN}/r1/signal", json={"signal": "FOO"})

    assert response.status_code == 422
    assert response.json["errors"] == [
        {"loc": ["signal"], "msg": "no signal 'FOO'", "type": "unknown_signal"}
    ]


@pytest.mark.parametrize(
    ("path", "body"), [("stdin", {"data": "x"}), ("signal", {"signal": "INT"})]
)
def test_a_command_that_has_ended_takes_nothing(
    client: FlaskClient, sandbox: str, commands: FakeCommands, path: str, body: object
) -> None:
    """409: it was there, and cannot come back."""
    commands.add("r1").end()

    response = client.post(f"{RUN}/r1/{path}", json=body)

    assert response.status_code == 409
    assert response.json["code"] == "command_finished"
    assert client.post(f"{RUN}/r2/{path}", json=body).status_code == 404


def test_a_command_without_stdin_takes_no_input(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """Its stdin was empty from the start."""
    commands.add("r1")

    response = client.post(f"{RUN}/r1/stdin", json={"data": "x"})

    assert response.status_code == 409
    assert response.json["code"] == "stdin_not_open"

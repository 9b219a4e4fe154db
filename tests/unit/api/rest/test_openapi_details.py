"""The document's parts: parameters, bodies, frames and events of each route."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator


def _operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_websocket_is_documented(document: Any) -> None:
    """OpenAPI knows no frames; an extension names their schemas."""
    operation = document["paths"]["/ws/{sandbox_id}"]["get"]

    assert {"101", "404", "426"} <= {*operation["responses"]}
    frames = operation["x-websocket-messages"]
    assert _names(frames["fromClient"]) == [
        "CommandRequest",
        "StdinMessage",
        "SignalMessage",
        "ResizeMessage",
        "AttachMessage",
        "ListMessage",
        "PingMessage",
    ]
    assert _names(frames["toClient"]) == [
        "CommandResult",
        "CommandStarted",
        "OutputPiece",
        "OutputGap",
        "CommandList",
        "Pong",
        "SocketError",
        "SandboxEnded",
        "SandboxRestored",
    ]
    named = {*_names(frames["fromClient"]), *_names(frames["toClient"]), "Truncated"}
    assert named <= {*document["components"]["schemas"]}
    assert "`CommandRequest`" in operation["description"]


def test_input_for_a_terminal_may_be_too_long(document: Any) -> None:
    """Clients switch over `code`: what the agent refuses there is answered over REST too."""
    path = "/sandboxes/{sandbox_id}/commands/{request_id}/stdin"
    answer = document["paths"][path]["post"]["responses"]["422"]
    [narrowed] = [part for part in _schema(answer)["allOf"] if "properties" in part]

    assert "line_too_long" in narrowed["properties"]["code"]["enum"]


def _schema(answer: Any) -> Any:
    return answer["content"]["application/problem+json"]["schema"]


def test_the_terminal_is_documented_with_its_query(document: Any) -> None:
    """Its size, its name and whose it is are all that a client can say before it opens."""
    operation = document["paths"]["/ws/{sandbox_id}/terminal"]["get"]

    in_query = {p["name"]: p["schema"] for p in operation["parameters"] if p.get("in") == "query"}
    assert {name: schema.get("default") for name, schema in in_query.items()} == {
        "cols": 80,
        "rows": 24,
        "request_id": None,
        "user": "user",
    }
    assert {"101", "404", "422", "426"} <= {*operation["responses"]}


def test_event_streams_are_documented(document: Any) -> None:
    """As a second type of the same answer, with the messages that its events are made of."""
    below = "/sandboxes/{sandbox_id}/commands"
    run = document["paths"][below]["post"]
    output = document["paths"][below + "/{request_id}/output"]["get"]

    for operation, usual in ((run, "application/json"), (output, "application/octet-stream")):
        content = operation["responses"]["200"]["content"]
        assert {*content} == {usual, "text/event-stream"}
        assert _names(content["text/event-stream"]["x-event-messages"]) == [
            "CommandStarted",
            "OutputPiece",
            "OutputGap",
            "CommandResult",
            "SocketError",
            "SandboxEnded",
        ]
        assert "`OutputPiece`" in operation["description"]
        assert "bytes of stdout" in operation["description"]
    assert [p["name"] for p in output["parameters"] if p.get("in") == "header"] == ["Last-Event-ID"]


@pytest.mark.parametrize("path", ["/events", "/sandboxes/{sandbox_id}/events"])
def test_event_streams_of_sandboxes_are_documented(document: Any, path: str) -> None:
    """With what their own `event` and `id` are, which is not what those of commands are."""
    operation = document["paths"][path]["get"]

    content = operation["responses"]["200"]["content"]
    assert _names(content["text/event-stream"]["x-event-messages"]) == ["Event"]
    assert "bytes of stdout" not in operation["description"]
    assert "`Last-Event-ID`" in operation["description"]


def test_a_change_has_no_defaults(document: Any) -> None:
    """What is not named stays as it is: a generated client that sends defaults would change it."""
    fields = document["components"]["schemas"]["SandboxChange"]["properties"]

    assert {*fields} == {"timeout", "idle_timeout", "labels"}
    assert all("default" not in field for field in fields.values())


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [("labels", "team/run-7", "team 7"), ("env", "STAGE", "2ND")],
)
def test_names_are_held_to_their_pattern(document: Any, field: str, good: str, bad: str) -> None:
    """JSON Schema's patternProperties alone would let any other name pass."""
    schema = document["components"]["schemas"]["SandboxCreate"]["properties"][field]
    validator = Draft202012Validator(schema)

    assert validator.is_valid({good: "x"})
    assert not validator.is_valid({bad: "x"})


def test_where_bytes_stand_is_documented(document: Any) -> None:
    """Whoever polls cannot go without these headers."""
    output = document["paths"]["/sandboxes/{sandbox_id}/commands/{request_id}/output"]["get"]

    assert {*output["responses"]["200"]["headers"]} == {
        "X-Output-Offset",
        "X-Output-Next",
        "X-Output-Complete",
    }


def test_bodies_are_required_where_a_field_is(document: Any) -> None:
    """Generated clients let one call without a body otherwise, or insist on an empty one."""
    required = {
        path: operation["requestBody"].get("required", False)
        for path, _, operation in _operations(document)
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }

    assert required == {
        "/sandboxes": False,
        "/sandboxes/{sandbox_id}": False,
        "/sandboxes/{sandbox_id}/token": False,
        "/sandboxes/{sandbox_id}/ports/{port}/token": False,
        "/sandboxes/{sandbox_id}/commands": True,
        "/sandboxes/{sandbox_id}/commands/{request_id}/stdin": False,
        "/sandboxes/{sandbox_id}/commands/{request_id}/signal": True,
        "/sandboxes/{sandbox_id}/files/mkdir": False,
        "/sandboxes/{sandbox_id}/files/move": False,
        "/sandboxes/{sandbox_id}/files/copy": False,
        "/sandboxes/{sandbox_id}/contexts": False,
        "/sandboxes/{sandbox_id}/contexts/{context_id}/execute": True,
        "/sandboxes/{sandbox_id}/snapshots": False,
        "/sandboxes/{sandbox_id}/fork": False,
        "/sandboxes/{sandbox_id}/restore": True,
    }


@pytest.mark.parametrize("name", ["CommandResult", "SocketError", "Pong", "Problem"])
def test_what_is_left_out_is_not_null(document: Any, name: str) -> None:
    """Optional fields of these are not there at all when they say nothing."""
    schema = document["components"]["schemas"][name]

    optional = {*schema["properties"]} - {*schema["required"]}
    assert optional
    for field in optional:
        assert {"type": "null"} not in schema["properties"][field].get("anyOf", [])
        assert schema["properties"][field].get("default", "") is not None


def test_parameters_explain_themselves(document: Any) -> None:
    """With a description each, and defaults and examples that fit."""
    found = 0
    for _, _, operation in _operations(document):
        for parameter in operation["parameters"]:
            if "$ref" in parameter:
                continue
            found += 1
            assert parameter["description"]
            schema = parameter["schema"]
            examples = [
                *schema.get("examples", []),
                *([schema["default"]] if "default" in schema else []),
            ]
            for example in examples:
                Draft202012Validator(schema).validate(example)
    assert found > 20


def _names(references: list[dict[str, str]]) -> list[str]:
    return [reference["$ref"].rpartition("/")[2] for reference in references]


def test_create_announces_its_body_and_location(document: Any) -> None:
    """The body is optional, and the new address is in a header."""
    operation = document["paths"]["/sandboxes"]["post"]

    assert "required" not in operation["requestBody"] or not operation["requestBody"]["required"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/SandboxCreate"
    }
    assert "Location" in operation["responses"]["201"]["headers"]


def test_ids_have_their_pattern(document: Any) -> None:
    """So that generated clients and fuzzers know what an id, or a name in its place, looks like."""
    for path, _, operation in _operations(document):
        in_path = {p["name"]: p for p in operation["parameters"] if p.get("in") == "path"}
        for name in ("sandbox_id", "snapshot_id"):
            assert (name in in_path) == (f"{{{name}}}" in path)
            if name in in_path:
                assert in_path[name]["schema"]["pattern"] == "^[a-z0-9][a-z0-9-]{0,63}$"
                assert in_path[name]["required"] is True

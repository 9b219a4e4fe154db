"""A `request_id` may hold any character, and stands in addresses."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.rest.request_id_in_path import RequestIdConverter, with_encoded_id
from tests.unit.api.rest.fake_commands import FakeCommands
from tests.unit.api.rest.fakes import FakeSandboxes

BELOW = "/sandboxes/a1/commands"

AWKWARD = [
    "a/b",
    "/",
    "//",
    "/a",
    "a/",
    "a/output",
    "output",
    "stdin",
    "a//signal/",
    "a%2Fb",
    "%",
    "%25",
    "a b+c",
    "a?b#c&d=e",
    ";a=b",
    "沙箱/ü",
    "\N{PILE OF POO}",
    "\x00\x01\x7f",
    "a\r\nb",
    "'\"<>\\^`{|}",
    "...",
    "x" * 256,
    "é" * 256,
]


@pytest.mark.parametrize("request_id", AWKWARD)
def test_every_command_has_an_address(
    client: FlaskClient, sandbox: str, commands: FakeCommands, request_id: str
) -> None:
    """The one that `Location` names, and everything below it."""
    commands.script = lambda command: command.write(b"123")
    body = {"command": "x", "request_id": request_id, "background": True, "interactive": True}

    address = client.post(BELOW, json=body).headers["Location"]

    assert address == f"{BELOW}/{quote(request_id, safe='')}"
    assert client.get(address).json["request_id"] == request_id
    assert client.get(address + "/output").data == b"123"
    assert client.post(address + "/signal", json={"signal": "INT"}).status_code == 204
    assert client.post(address + "/stdin", json={"data": "x"}).status_code == 204


def test_a_slash_that_is_encoded_is_part_of_the_id(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """`a/output` is a command, or what the command `a` wrote: only the address can tell."""
    commands.add("a").write(b"of a")
    commands.add("a/output").write(b"of a/output")

    assert client.get(f"{BELOW}/a%2Foutput").json["request_id"] == "a/output"
    assert client.get(f"{BELOW}/a%2foutput/output").data == b"of a/output"
    assert client.get(f"{BELOW}/a/output").data == b"of a"
    assert client.get(f"{BELOW}/a/output/output").json["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "request_id"),
    [
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("%61", "a"),
        ("a%252Fb", "a%2Fb"),
        ("%E6%B2%99", "沙"),
        ("%FF", "\N{REPLACEMENT CHARACTER}"),
        ("a/", "a"),
    ],
)
def test_ids_are_decoded_once(
    client: FlaskClient, sandbox: str, commands: FakeCommands, path: str, request_id: str
) -> None:
    """As UTF-8; and a trailing slash is no other address."""
    commands.add(request_id)

    assert client.get(f"{BELOW}/{path}").json["request_id"] == request_id


@pytest.mark.parametrize("path", ["//", "/a/b", "/a/b/c", "/a%2Fb/c/d", "/a/output/x"])
def test_other_addresses_lead_nowhere(
    client: FlaskClient, sandbox: str, commands: FakeCommands, path: str
) -> None:
    """Never to half of an id."""
    commands.add("a")

    response = client.get(BELOW + path)

    assert response.status_code == 404
    assert response.json["code"] == "not_found"


def test_an_id_of_a_sandbox_cannot_reach_over_a_slash(
    client: FlaskClient, sandboxes: FakeSandboxes, commands: FakeCommands
) -> None:
    """Only the id of a command is put back encoded."""
    assert client.get("/sandboxes/..%2f..%2fx/commands/y").status_code == 404
    assert sandboxes.asked == []


@pytest.mark.long
@given(st.text(min_size=1, max_size=256).filter(lambda text: text not in (".", "..")))
def test_any_text_survives_its_address(request_id: str) -> None:
    """Through a server that decodes the path, as PEP 3333 has it."""
    try:
        encoded = RequestIdConverter(map=None).to_url(request_id)  # type: ignore[arg-type]
    except UnicodeEncodeError:
        return  # a lone surrogate: no JSON text has one
    environ = {
        "RAW_URI": f"/mounted/sandboxes/a1/commands/{encoded}/output?x=/sandboxes/b/commands/c",
        "PATH_INFO": f"/sandboxes/a1/commands/{_as_wsgi(request_id)}/output",
    }

    routed = with_encoded_id(environ)

    assert routed == f"/sandboxes/a1/commands/{encoded}/output"
    assert RequestIdConverter(map=None).to_python(encoded) == request_id  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environ", "routed"),
    [
        ({"PATH_INFO": "/sandboxes/a/commands/b c"}, "/sandboxes/a/commands/b%20c"),
        ({"PATH_INFO": "/sandboxes/a/commands/100%25"}, "/sandboxes/a/commands/100%2525"),
        ({"PATH_INFO": "/sandboxes/a/commands/b/stdin"}, "/sandboxes/a/commands/b/stdin"),
        (
            {"PATH_INFO": "/sandboxes/a/commands/b", "RAW_URI": "/rewritten/before"},
            "/sandboxes/a/commands/b",
        ),
        (
            {
                "PATH_INFO": "/sandboxes/a/commands/b/c",
                "REQUEST_URI": "http://host/sandboxes/a/commands/b%2Fc",
            },
            "/sandboxes/a/commands/b%2Fc",
        ),
        ({"PATH_INFO": "/sandboxes/a/commands"}, "/sandboxes/a/commands"),
        ({"PATH_INFO": "/healthz", "RAW_URI": "/healthz"}, "/healthz"),
        ({}, ""),
    ],
)
def test_servers_that_keep_no_raw_path_still_serve(environ: dict[str, str], routed: str) -> None:
    """All but ids with a slash; and what a layer in between has rewritten is left alone."""
    assert with_encoded_id(environ) == routed


def _as_wsgi(text: str) -> str:
    return text.encode().decode("latin-1")

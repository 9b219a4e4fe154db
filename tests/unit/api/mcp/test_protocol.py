"""Both eras of the protocol on one route, without a session and without an engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from mcp_types.methods import validate_server_result
from werkzeug.test import TestResponse

from gateway.api.mcp.protocol_eras import VERSIONS
from gateway.app import create_app, runtime_of
from gateway.runtime import Runtime
from gateway.settings import MCP_TOOLS, Settings
from tests.support.keys import ALICE, INLINE, bearer
from tests.support.mcp_calls import META, NEWEST, message, modern

HANDSHAKES = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A gateway without keys."""
    yield from _client(Settings(data_dir=tmp_path_factory.mktemp("data")))


def _client(settings: Settings) -> Iterator[FlaskClient]:
    """The real application. Nothing in it starts: it would keep house on this machine's engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runtime, "start", lambda _runtime: None)
        yield from _client_of(create_app(settings))


def _client_of(app: Flask) -> Iterator[FlaskClient]:
    try:
        yield app.test_client()
    finally:
        runtime_of(app).close()
        runtime_of(app).release()


def _post(client: FlaskClient, body: Any, headers: dict[str, str] | None = None) -> TestResponse:
    return client.post("/mcp", json=body, headers={"Host": "localhost", **(headers or {})})


@pytest.mark.parametrize("version", [*HANDSHAKES, "1999-01-01"])
def test_initialize_needs_no_session(client: FlaskClient, version: str) -> None:
    """An unknown revision is answered with the newest one that has an `initialize`."""
    body = message(
        "initialize",
        protocolVersion=version,
        capabilities={},
        clientInfo={"name": "tests", "version": "1"},
    )
    answer = _post(client, body)
    result = answer.get_json()["result"]

    assert answer.status_code == 200
    assert "Mcp-Session-Id" not in answer.headers
    assert result["protocolVersion"] == (version if version in HANDSHAKES else "2025-11-25")
    assert result["capabilities"] == {"tools": {}}
    validate_server_result("initialize", "2025-11-25", result)


@pytest.mark.parametrize("version", [None, *HANDSHAKES])
def test_before_2026_everything_is_answered_without_what_is_new(
    client: FlaskClient, version: str | None
) -> None:
    """By any worker: what `initialize` said is not asked for."""
    headers = {"Mcp-Session-Id": "of another server"}
    if version is not None:
        headers["MCP-Protocol-Version"] = version
    listed = _post(client, message("tools/list"), headers)
    ping = _post(client, message("ping"), headers)
    unknown = _post(client, message("prompts/list"), headers)
    told = _post(client, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)

    result = listed.get_json()["result"]
    validate_server_result("tools/list", version or "2025-03-26", result)
    assert set(result) == {"tools"}
    assert ping.get_json() == {"jsonrpc": "2.0", "id": 7, "result": {}}
    assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (200, -32601)
    assert (told.status_code, told.data) == (202, b"")


def test_2026_07_28_says_all_with_each_request(client: FlaskClient) -> None:
    """Results say that they are complete, who has answered, and how long they may be kept."""
    for method in ("server/discover", "tools/list"):
        answer = _post(client, *modern(method))
        result = answer.get_json()["result"]
        validate_server_result(method, NEWEST, result)
        assert result["resultType"] == "complete"
        assert "io.modelcontextprotocol/serverInfo" in result["_meta"]
    discovered = _post(client, *modern("server/discover")).get_json()["result"]
    assert discovered["supportedVersions"] == [NEWEST, *reversed(HANDSHAKES)]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Mcp-Method": "ping"}, {}, 400, -32020),
        ({"Mcp-Method": ""}, {}, 400, -32020),
        ({"MCP-Protocol-Version": "2025-11-25"}, {}, 400, -32020),
        ({"Mcp-Name": "other"}, {"method": "tools/call", "name": "fork"}, 400, -32020),
        ({"Mcp-Name": "=?base64?Zm9yaw?="}, {"method": "tools/call", "name": "fork"}, 400, -32020),
        ({"MCP-Protocol-Version": "2027-01-01"}, {"version": "2027-01-01"}, 400, -32022),
        ({}, {"method": "ping"}, 404, -32601),
        ({}, {"method": "initialize"}, 404, -32601),
        ({}, {"method": "tools/call", "name": "no_such_tool"}, 400, -32602),
        ({}, {"method": "tools/call"}, 400, -32602),
        ({}, {"meta": {"io.modelcontextprotocol/protocolVersion": NEWEST}}, 400, -32602),
        ({}, {"cursor": "more"}, 400, -32602),
    ],
)
def test_headers_and_body_must_agree(
    client: FlaskClient, headers: dict[str, str], body: dict[str, Any], status: int, code: int
) -> None:
    """What stands between routes by the headers, and the gateway does what the body says."""
    method, meta = body.pop("method", "tools/list"), body.pop("meta", dict(META))
    if "version" in body:
        meta["io.modelcontextprotocol/protocolVersion"] = body.pop("version")
    _, given = modern(method, **body)
    answer = _post(client, message(method, **body, _meta=meta), given | headers)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert answer.get_json()["id"] == 7


def test_a_name_may_be_written_in_base64(client: FlaskClient) -> None:
    """As clients do with names that a header cannot carry."""
    body, headers = modern("tools/call", name="fork", arguments={"wrong": 1})
    answer = _post(client, body, headers | {"Mcp-Name": "=?base64?Zm9yaw==?="})

    assert answer.get_json()["result"]["isError"] is True


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"a": 1, "a": 2}', -32700),
        (b"[" * 5_000, -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": 3}', -32600),
    ],
)
def test_what_is_no_message_is_refused(client: FlaskClient, body: bytes, code: int) -> None:
    """In the protocol's own form, without an id."""
    answer = client.post(
        "/mcp", data=body, headers={"Host": "localhost", "Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, code)
    assert answer.get_json()["id"] is None


def test_batches_are_of_the_revisions_that_had_them(client: FlaskClient) -> None:
    """2025-03-26 asks servers to take them; 2025-06-18 has none any more."""
    batch = [message("ping"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, 3]
    answered = _post(client, batch).get_json()

    assert [one.get("error", {}).get("code") for one in answered] == [None, -32600]
    later = _post(client, batch, {"MCP-Protocol-Version": "2025-06-18"})
    assert (later.status_code, later.get_json()["error"]["code"]) == (400, -32600)
    assert _post(client, [message("ping")] * 17).status_code == 400


def test_the_list_is_short_and_complete(client: FlaskClient) -> None:
    """Each model that may call a tool reads all of it, in each conversation: under 2,500 tokens, by
    a token for every four characters."""
    tools = _post(client, message("tools/list")).get_json()["result"]["tools"]

    assert len(json.dumps(tools, ensure_ascii=False, separators=(",", ":"))) / 4 < 2500
    assert tuple(tool["name"] for tool in tools) == MCP_TOOLS
    for tool in tools:
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"


def test_other_ways_in_do_not_exist(client: FlaskClient) -> None:
    """No stream of the server's own, no session to end, no OAuth."""
    headers = {"Host": "localhost"}
    for method in ("GET", "DELETE"):
        answer = client.open("/mcp", method=method, headers=headers)
        assert (answer.status_code, "POST" in answer.headers["Allow"]) == (405, True)
    for name in ("oauth-protected-resource", "oauth-protected-resource/mcp", "oauth-x"):
        answer = client.get(f"/.well-known/{name}", headers=headers)
        assert (answer.status_code, answer.content_type) == (404, "application/json")
        assert answer.get_json()["error"] == "not_found"


def test_web_pages_of_others_are_refused(client: FlaskClient) -> None:
    """As on every route: a page could use the tools of whoever looks at it."""
    origin = {"Origin": "https://evil.example"}

    assert _post(client, message("ping"), origin).status_code == 403
    assert _post(client, message("ping"), {"Host": "evil.example"}).status_code == 403


def test_keys_are_asked_for_and_oauth_is_not_there(tmp_path: Path) -> None:
    """Clients that are refused look for OAuth, without a key, and must learn that there is none."""
    settings = Settings.model_validate({"data_dir": tmp_path, "api_keys": INLINE})
    for client in _client(settings):
        refused = _post(client, message("tools/list"))
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        looked_for = client.get(
            "/.well-known/oauth-protected-resource", headers={"Host": "localhost"}
        )
        assert looked_for.status_code == 404
        assert _post(client, message("tools/list"), bearer(ALICE)).status_code == 200


def test_an_operator_says_which_tools_there_are(tmp_path: Path) -> None:
    """Those that are not named can be neither seen nor called."""
    settings = Settings(data_dir=tmp_path, mcp_tools="read_file, list_files")
    for client in _client(settings):
        tools = _post(client, message("tools/list")).get_json()["result"]["tools"]
        assert [tool["name"] for tool in tools] == ["read_file", "list_files"]
        answer = _post(client, message("tools/call", name="run_command", arguments={}))
        assert answer.get_json()["error"]["code"] == -32602
    off = Settings(data_dir=tmp_path, mcp_tools="off")
    for client in _client(off):
        assert _post(client, message("tools/list")).status_code == 404
        with pytest.raises(ValueError, match="is none of create_sandbox"):
            Settings(data_dir=tmp_path, mcp_tools="run_comand")


def test_all_released_revisions_are_spoken() -> None:
    """Newest first."""
    assert (NEWEST, *reversed(HANDSHAKES)) == VERSIONS

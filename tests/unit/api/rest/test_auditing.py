"""What the audit log says about requests, and what it keeps to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.identity.access import Access
from gateway.logs.audit_log_file import AuditLog
from gateway.middleware import audit, authentication, origin_and_cors
from gateway.schemas.route_documentation import not_part_of_the_api
from gateway.settings import Settings
from tests.support.keys import ALICE, BOB, NOBODYS, bearer
from tests.unit.api.rest.fakes import FakeSandboxes

Entries = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def audited(app: Flask, access: Access, path: Path) -> FlaskClient:
    audit.install(app, AuditLog(path))
    origin_and_cors.install(app, Settings())
    authentication.install(app, access)
    return app.test_client()


@pytest.fixture
def entries(path: Path) -> Entries:
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def test_a_change_is_one_entry(audited: FlaskClient, entries: Entries) -> None:
    """Who, what, which, how it ended, from where, how long."""
    made = audited.post("/sandboxes", headers=bearer(ALICE)).json["sandbox_id"]

    [entry] = entries()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("at"))
    assert entry.pop("duration_ms") >= 0
    assert entry == {
        "action": "create",
        "caller": "alice",
        "by": "key",
        "sandbox_id": made,
        "method": "POST",
        "route": "/sandboxes",
        "client": "127.0.0.1",
        "status": 201,
    }


def test_reading_is_no_entry(audited: FlaskClient, entries: Entries) -> None:
    """It would be most of the log, and changes nothing."""
    for path in ("/healthz", "/docs", "/openapi.json"):
        audited.get(path)
    for path in ("/sandboxes", "/sandboxes/a1", "/nowhere"):
        audited.get(path, headers=bearer(ALICE))

    assert entries() == []


def test_changes_have_their_names(audited: FlaskClient, entries: Entries) -> None:
    """Failed ones too, with their status."""
    key = bearer(ALICE)
    token = bearer(audited.post("/sandboxes", headers=key).json["access_token"])
    made = entries()[0]["sandbox_id"]
    run = "/sandboxes/a1/commands"
    audited.post(run, json={"command": "echo hunter2", "request_id": "r1"}, headers=key)
    audited.post(f"{run}/r1/stdin", json={"data": "hunter2"}, headers=key)
    audited.post(f"{run}/r1/signal", json={"signal": "hunter2"}, headers=key)
    audited.post("/sandboxes/a1/token", headers=key)
    audited.delete("/sandboxes/a1/token", headers=key)
    audited.delete(f"/sandboxes/{made}", headers=token)
    audited.post("/sandboxes", data=b"hunter2", headers=key)

    assert [(entry["action"], entry["by"]) for entry in entries()] == [
        ("create", "key"),
        ("command_start", "key"),
        ("command_stdin", "key"),
        ("command_signal", "key"),
        ("token_issue", "key"),
        ("token_revoke", "key"),
        ("delete", "token"),
        ("create", "key"),
    ]
    assert entries()[-1]["status"] == 415
    assert "sandbox_id" not in entries()[-1]


def test_no_secret_is_in_it(audited: FlaskClient, path: Path) -> None:
    """No key, right or wrong, no token, nothing of a command or body."""
    key = bearer(ALICE)
    token = audited.post("/sandboxes", headers=key).json["access_token"]
    issued = audited.post("/sandboxes/a1/token", headers=key).json["access_token"]
    audited.post("/sandboxes/a1/commands", json={"command": "echo hunter2"}, headers=key)
    audited.get("/sandboxes", headers=bearer(token + "x"))
    audited.get("/sandboxes?key=hunter2", headers=bearer(NOBODYS + "x"))
    audited.get("/hunter2", headers={"X-API-Key": "hunter2", "User-Agent": "hunter2"})
    audited.delete("/sandboxes/hunter2-is-no-id", headers=key)

    text = path.read_text()
    assert len(text.splitlines()) >= 6
    for secret in (ALICE, NOBODYS, token, issued, "hunter2", "sgt_", "sgk_"):
        assert secret not in text


@pytest.mark.parametrize(
    ("headers", "reason", "caller"),
    [
        ({}, "unauthorized", None),
        (bearer("wrong"), "unauthorized", None),
        (bearer(BOB), "sandbox_not_found", "bob"),
        ({"Origin": "http://evil.example"}, "foreign_origin", None),
        ({"Host": "evil.example"}, "foreign_host", None),
    ],
)
def test_a_refusal_says_why(
    audited: FlaskClient,
    entries: Entries,
    headers: dict[str, str],
    reason: str,
    caller: str | None,
) -> None:
    """Reading too: who knocks at other tenants' doors shall be seen."""
    audited.get("/sandboxes/a1", headers=headers)

    [entry] = entries()
    assert (entry["action"], entry["reason"]) == ("denied", reason)
    assert entry.get("caller") == caller
    assert entry["sandbox_id"] == "a1"
    assert entry["route"] == "/sandboxes/<sandbox_id>"


def test_a_flood_of_refusals_is_counted_not_written(
    audited: FlaskClient, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can cause them: the log must not be a way to fill the disk, or to bury an entry."""
    for _ in range(500):
        audited.get("/sandboxes")
    noted = len(entries())
    assert 10 <= noted <= 10 + 10 * 10

    now = audit.clock.boot_s()
    monkeypatch.setattr(audit.clock, "boot_s", lambda: now + 10)
    audited.get("/sandboxes")
    unnoted = sum(entry.get("unnoted", 0) for entry in entries())
    assert len(entries()) + unnoted == 501
    assert unnoted >= 500 - noted > 0


INJECTED = 'x","action":"delete","y":"\r\n{"action":"forged"}\x1b[2J\u2028'


def test_nothing_can_be_injected(audited: FlaskClient, entries: Entries) -> None:
    """Through a request_id or a path; headers are not in it at all."""
    for sandbox_id in ("a1", INJECTED):
        audited.post(
            "/sandboxes/{}/commands/{}/signal".format(
                *(
                    audit.re.sub(r".", lambda m: f"%{ord(m[0]) % 256:02x}", part, flags=re.S)
                    for part in (sandbox_id, INJECTED)
                )
            ),
            json={"signal": "INT"},
            headers=bearer(ALICE),
        )

    assert [entry["action"] for entry in entries()] == ["command_signal", "denied"]
    assert "sandbox_id" not in entries()[1]


def test_routes_that_are_not_listed_are_noted_all_the_same(
    app: Flask, audited: FlaskClient, entries: Entries, sandboxes: FakeSandboxes
) -> None:
    """Whoever adds one that changes something need not think of it."""

    @not_part_of_the_api("of this test")
    def put(sandbox_id: str) -> str:
        return sandbox_id

    app.add_url_rule("/sandboxes/<sandbox_id>/files", "put", put, methods=["PUT"])
    app.test_client_class = None
    app.test_client().put("/sandboxes/a1/files?path=/etc/hunter2", headers=bearer(ALICE))

    assert entries()[0]["action"] == "PUT /sandboxes/{}/files"
    assert entries()[0]["sandbox_id"] == "a1"


@pytest.mark.parametrize(
    ("has_log", "noted"), [(True, ["create", "ws_connect"]), (False, [])], ids=["log", "off"]
)
def test_without_a_log_nothing_is_noted(
    app: Flask, path: Path, monkeypatch: pytest.MonkeyPatch, has_log: bool, noted: list[str]
) -> None:
    """SANDBOX_AUDIT_LOG=off: the same requests are served, and nothing is written anywhere."""
    written = []
    monkeypatch.setattr(AuditLog, "write", lambda _log, entry: written.append(entry["action"]))
    audit.install(app, AuditLog(path) if has_log else None)

    assert app.test_client().post("/sandboxes").status_code == 201
    with app.test_request_context("/sandboxes"):
        context = audit.audit_context()
    context.note("ws_connect")

    assert written == noted
    assert path.exists() == has_log
    assert (context == audit.AuditContext.nowhere()) == (not has_log)

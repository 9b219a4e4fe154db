"""The REST calls as people type them: Debian's curl."""

from __future__ import annotations

import json
import subprocess

from tests.support.gateway_process import GatewayProcess


def _curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_sandboxs_life_by_curl(gateway: GatewayProcess) -> None:
    """Create, list, show, delete, 404: without a single header given by hand."""
    created = json.loads(_curl("-X", "POST", f"{gateway.url}/sandboxes"))
    sandbox_id = created["sandbox_id"]

    listed = json.loads(_curl(f"{gateway.url}/sandboxes"))
    shown = json.loads(_curl(f"{gateway.url}/sandboxes/{sandbox_id}"))
    deleted = json.loads(_curl("-X", "DELETE", f"{gateway.url}/sandboxes/{sandbox_id}"))
    status = _curl(
        *("--output", "/dev/null", "--write-out", "%{http_code} %{content_type}"),
        f"{gateway.url}/sandboxes/{sandbox_id}",
    )

    assert shown in listed
    assert shown["status"] == "idle"
    assert deleted["message"] == f"Sandbox {sandbox_id} deleted successfully"
    assert status == "404 application/problem+json"


def test_a_create_with_expect_100_continue_is_answered_at_once(gateway: GatewayProcess) -> None:
    """curl sends `Expect: 100-continue` with larger bodies and waits a second without an answer;
    the body here is refused, not the header."""
    answer = _curl(
        *("-X", "POST", "-H", "Expect: 100-continue", "-H", "Content-Type: application/json"),
        *("--expect100-timeout", "20", "--max-time", "15"),
        *("--data", '{"unknown_field": "' + "x" * 5000 + '"}'),
        f"{gateway.url}/sandboxes",
    )

    assert json.loads(answer)["status"] == 422


def test_two_requests_on_one_connection(gateway: GatewayProcess) -> None:
    """Keep-alive: an error does not end the connection, and bodies do not run into each other."""
    answers = _curl(
        *("--write-out", "\n%{http_code} %{num_connects}\n"),
        f"{gateway.url}/healthz",
        f"{gateway.url}/sandboxes/unknown",
        f"{gateway.url}/healthz",
    )

    assert [line for line in answers.splitlines() if line[:3].isdigit()] == [
        "200 1",
        "404 0",
        "200 0",
    ]

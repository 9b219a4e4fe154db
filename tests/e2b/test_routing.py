"""How requests of E2B's clients find their sandbox, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.e2b_sdks import key_header
from tests.support.gateway_process import GatewayProcess

KEY = {"X-API-Key": "e2b_" + "0a" * 20}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/e2b/envd/{id}/health", {}),
        ("/e2b/control/sandboxes", KEY),
        ("/%65%32%62/envd/{id}/health", {}),
        ("//e2b/envd/{id}/health", {}),
        ("/e2b", {}),
    ],
)
def test_addresses_within_are_nobodys(
    gateway: GatewayProcess, module_sandbox: str, path: str, headers: dict[str, str]
) -> None:
    """They would pass by what decides whom a request is for."""
    answer = gateway.get(path.format(id=module_sandbox), headers=headers)

    assert answer.status_code == 404


def test_health_says_whether_a_sandbox_runs(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Clients ask it after each error, by header or by host, without a token."""
    by_header = gateway.get("/health", headers={"E2b-Sandbox-Id": module_sandbox})
    host = f"49983-{module_sandbox}.localhost:{gateway.port}"
    by_host = gateway.get("/health", headers={"Host": host})
    by_both = gateway.get("/health", headers={"Host": host, "E2b-Sandbox-Id": module_sandbox})
    foreign = {"Host": "evil.example", "E2b-Sandbox-Id": module_sandbox}
    elsewhere = gateway.get("/health", headers=foreign)
    unknown = gateway.get("/health", headers={"E2b-Sandbox-Id": "0" * 32})

    assert [one.status_code for one in (by_header, by_host, by_both)] == [204] * 3
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, 403)
    assert unknown.status_code == 502
    assert unknown.json() == {
        "sandboxId": "0" * 32,
        "message": "The sandbox was not found",
        "code": 502,
    }


def test_the_data_plane_takes_the_sandboxs_own_token_only(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Whoever has none is told so in these clients' form, before it is told what exists."""
    for token in (None, "x", module_sandbox + "0" * 64):
        shown = {} if token is None else {"X-Access-Token": token}
        answer = gateway.get("/nothing", headers={"E2b-Sandbox-Id": module_sandbox, **shown})

        assert answer.status_code == 401
        assert answer.json()["code"] == 401
        assert "unauthorized access" in answer.json()["message"]


def test_a_token_alone_finds_its_sandbox(
    e2b_gateway: GatewayProcess, e2b_sandbox: dict[str, str]
) -> None:
    """As old clients send it, and without an API key; it opens the data plane only."""
    token = {"X-Access-Token": e2b_sandbox["envdAccessToken"], "Authorization": ""}
    below = e2b_gateway.get("/nothing", headers=token)
    named = {**token, "E2b-Sandbox-Id": e2b_sandbox["sandboxID"]}
    same = e2b_gateway.get("/nothing", headers=named)
    bearer = {"Authorization": f"Bearer {token['X-Access-Token']}"}
    native = e2b_gateway.get("/sandboxes", headers=bearer)

    assert (below.status_code, same.status_code, native.status_code) == (404, 404, 401)
    assert below.json()["code"] == 404
    e2b_gateway.delete(f"/sandboxes/{e2b_sandbox['sandboxID']}/token")
    assert e2b_gateway.get("/nothing", headers=named).status_code == 401


def test_an_unknown_address_of_theirs_is_refused_in_their_form(gateway: GatewayProcess) -> None:
    """Their parsers end with a KeyError otherwise."""
    for method in ("GET", "POST", "PURGE"):
        answer = gateway.request(method, "/nothing/here", headers=KEY)

        assert answer.status_code in (404, 405)
        assert answer.json()["code"] == answer.status_code
        assert answer.json()["message"]


def test_another_port_is_passed_on(gateway: GatewayProcess, module_sandbox: str) -> None:
    """And one that is closed is told in the words that clients look for."""
    headers = {"E2b-Sandbox-Id": module_sandbox, "E2b-Sandbox-Port": "3999"}
    answer = gateway.get("/", headers=headers)

    assert (answer.status_code, answer.json()) == (
        502,
        {
            "sandboxId": module_sandbox,
            "message": "The sandbox is running but port is not open",
            "port": 3999,
            "code": 502,
        },
    )


@pytest.mark.parametrize(
    ("port", "method", "path"),
    [
        ("8000", "GET", "/"),
        ("49999", "GET", "/health"),
        ("49999", "GET", "/contexts"),
        ("49999", "POST", "/execute"),
    ],
)
def test_a_native_sandbox_is_opened_by_its_token_only(
    e2b_gateway: GatewayProcess, native: dict[str, str], port: str, method: str, path: str
) -> None:
    """Whoever knows nothing but its id gets nowhere, whichever port is named in a header; it was
    not made by a client whose ports are everybody's."""

    def ask(**more: str) -> int:
        named = {"E2b-Sandbox-Id": native["sandboxID"], "E2b-Sandbox-Port": port}
        headers = {**named, "Authorization": "", **more}
        body = {"code": "1"} if method == "POST" else None
        return e2b_gateway.request(method, path, headers=headers, json=body).status_code

    others = native["sandboxID"] + "0" * 64
    assert ask() == 401
    assert ask(**{"X-Access-Token": others}) == 401
    assert ask(**{"X-Access-Token": native["other_token"]}) == 401
    assert ask(**{"X-Access-Token": native["envdAccessToken"]}) not in (401, 403)


@pytest.fixture(scope="module")
def native(e2b_gateway: GatewayProcess, e2b_sandbox: dict[str, str]) -> Iterator[dict[str, str]]:
    """One that the native API has made, as a connect of E2B's shows it, and the token of another
    one."""
    sandbox_id = e2b_gateway.create()
    shown = e2b_gateway.post(
        f"/sandboxes/{sandbox_id}/connect", json={"timeout": 60}, headers=key_header()
    )
    assert shown.status_code == 200, shown.text
    yield {**shown.json(), "other_token": e2b_sandbox["envdAccessToken"]}
    e2b_gateway.delete(f"/sandboxes/{sandbox_id}")


def test_without_keys_any_key_of_their_form_is_taken(gateway: GatewayProcess) -> None:
    """On loopback, where nothing is configured. The data plane asks for the token all the same, and
    a closed port for its own; the native API sees the sandbox."""
    body = {"templateID": "base", "timeout": 60, "network": {"allowPublicTraffic": False}}
    made = gateway.post("/v2/sandboxes", json=body, headers=KEY)
    assert made.status_code == 201, made.text
    sandbox_id, token = made.json()["sandboxID"], made.json()["envdAccessToken"]
    try:
        named = {"E2b-Sandbox-Id": sandbox_id}
        without = gateway.get("/nothing", headers=named)
        with_it = gateway.get("/nothing", headers={**named, "X-Access-Token": token})
        host = {"Host": f"8000-{sandbox_id}.localhost:{gateway.port}"}
        closed = gateway.get("/", headers=host)
        traffic = {"E2b-Traffic-Access-Token": made.json()["trafficAccessToken"]}
        allowed = gateway.get("/", headers={**host, **traffic})
        listed = gateway.listed()
    finally:
        ended = gateway.delete(f"/sandboxes/{sandbox_id}", headers=KEY)

    assert (without.status_code, with_it.status_code) == (401, 404)
    assert (closed.status_code, closed.json()["code"]) == (403, 403)
    assert (allowed.status_code, allowed.json()["port"]) == (502, 8000)
    assert sandbox_id in listed
    assert ended.status_code == 204

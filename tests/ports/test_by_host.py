"""Servers in sandboxes under hosts of their own, and the addresses that are handed out."""

from __future__ import annotations

import time

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, NOBODYS, bearer
from tests.support.plain_http import answer_of, opened
from tests.support.port_servers import (
    ODD,
    ODD_SERVER,
    by_path,
    host_of,
    open_ports,
    put_text,
    seen,
    start_odd_server,
)
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of


def ask(
    gateway: GatewayProcess, host: str, path: str = "/", method: str = "GET", **headers: str
) -> requests.Response:
    """A request for a host, without the gateway's usual key."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            gateway.url + path,
            headers={"Host": host, **fields},
            timeout=20,
            allow_redirects=False,
        )


# --- hosts ---


def test_a_port_has_a_host_of_its_own(gateway: GatewayProcess, odd: str) -> None:
    """All addresses are the server's, those that would be the gateway's too."""
    for path in ("/", "/sandboxes", "/token", "/sandboxes/x/ports/8000/token"):
        answer = ask(gateway, host_of(gateway, odd), path, "POST")
        assert answer.status_code == 200
        assert answer.json()["line"] == f"POST {path} HTTP/1.1"


def test_answers_are_passed_as_they_are(gateway: GatewayProcess, odd: str) -> None:
    """An origin of its own has cookies of its own, but none for its neighbours."""
    answer = ask(gateway, host_of(gateway, odd), "/cookies")

    assert "Content-Security-Policy" not in answer.headers
    assert "X-Frame-Options" not in answer.headers
    assert answer.headers["Service-Worker-Allowed"] == "/"
    assert answer.raw.headers.getlist("Set-Cookie") == ["a=1; Path=/", "b=2"]


def test_the_servers_own_credentials_reach_it(gateway: GatewayProcess, odd: str) -> None:
    host = host_of(gateway, odd)

    told = seen(ask(gateway, host, Authorization="Basic eDp5", X_API_Key="mine", Cookie="a=1; b=2"))

    assert told["authorization"] == "Basic eDp5"
    assert told["x-api-key"] == "mine"
    assert told["cookie"] == "a=1; b=2"
    assert told["host"] == told["x-forwarded-host"] == host
    assert "x-forwarded-prefix" not in told


@pytest.mark.parametrize(
    "host", ["foo.localhost", "8000-.localhost", "8000-a.evil.example", "x.8000-a.localhost"]
)
def test_other_hosts_stay_foreign(gateway: GatewayProcess, odd: str, host: str) -> None:
    assert problem_of(ask(gateway, host), 403)["code"] == "foreign_host"


def test_the_gateway_refuses_pages_of_sandboxes(gateway: GatewayProcess, odd: str) -> None:
    """Content of a sandbox never acts in the gateway's name."""
    for host in (host_of(gateway, odd), f"8000-{odd}.localhost"):
        answer = gateway.get("/sandboxes", headers={"Origin": f"http://{host}"})
        assert problem_of(answer, 403)["code"] == "foreign_origin"
    answer = gateway.get(by_path(odd), headers={"Origin": "null"})
    assert problem_of(answer, 403)["code"] == "foreign_origin"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://8000-{id}.localhost:{port}", 200),
        ("http://5173-{id}.localhost:{port}", 200),
        ("http://8000-ffffffffffffffffffffffffffffffff.localhost:{port}", 403),
        ("http://localhost:{port}", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_a_port_is_for_pages_of_its_own_sandbox(
    gateway: GatewayProcess, odd: str, origin: str, status: int
) -> None:
    """A web page of another site cannot use what somebody has open in a browser."""
    shown = origin.format(id=odd, port=gateway.port)

    assert ask(gateway, host_of(gateway, odd), Origin=shown).status_code == status


def test_a_closed_port_is_told_by_host_too(gateway: GatewayProcess, odd: str) -> None:
    problem = problem_of(ask(gateway, host_of(gateway, odd, 9)), 502)

    assert problem["listening"] == [8000]
    assert problem_of(ask(gateway, f"99999-{odd}.localhost"), 422)["code"] == "invalid_fields"


# --- keys ---


@pytest.mark.parametrize("where", ["path", "host"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"X_API_Key": NOBODYS}, 401), ({"X_API_Key": BOB}, 404), (bearer(ALICE), 200)],
)
def test_keys_are_asked_for(
    keyed: GatewayProcess, alices: str, where: str, headers: dict[str, str], status: int
) -> None:
    host = host_of(keyed, alices) if where == "host" else f"127.0.0.1:{keyed.port}"
    path = "/" if where == "host" else by_path(alices)

    assert ask(keyed, host, path, **headers).status_code == status


def test_the_gateways_key_stays_with_it(keyed: GatewayProcess, alices: str) -> None:
    """By host what is not the gateway's own reaches the server: a login of its own, for one."""
    host = host_of(keyed, alices)

    told = seen(ask(keyed, host, X_API_Key=ALICE, Authorization="Basic eDp5"))
    assert told["authorization"] == "Basic eDp5"
    assert "x-api-key" not in told
    told = seen(ask(keyed, host, X_API_Key="mine", **bearer(ALICE)))
    assert told["x-api-key"] == "mine"
    assert "authorization" not in told


# --- addresses ---


def issue(keyed: GatewayProcess, sandbox_id: str, port: int = 8000, **fields: object) -> dict:
    answer = keyed.post(f"/sandboxes/{sandbox_id}/ports/{port}/token", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def local(keyed: GatewayProcess, url: str) -> str:
    """Path and query of an address of this gateway."""
    return "/" + url.split("/", 3)[3]


def test_an_address_works_without_a_key(keyed: GatewayProcess, alices: str) -> None:
    """For people to open; what is below it too, and the server never sees the token."""
    issued = issue(keyed, alices)
    path = local(keyed, issued["url"])

    assert issued["url"].startswith(f"http://127.0.0.1:{keyed.port}/sandboxes/{alices}/ports/8000/")
    assert 3500 < issued["expires_at"] - time.time() < 3601
    own = f"127.0.0.1:{keyed.port}"
    answer = ask(keyed, own, f"{path}sub?x=1")
    assert answer.json()["line"] == "GET /sub?x=1 HTTP/1.1"
    assert issued["token"] not in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    by_query = ask(keyed, own, f"{by_path(alices)}sub?a=1&port_token={issued['token']}&b=2")
    assert by_query.json()["line"] == "GET /sub?a=1&b=2 HTTP/1.1"
    redirected = ask(keyed, own, f"{path}redirect")
    assert redirected.headers["Location"] == f"{path}there?x=1"
    assert ask(keyed, own, path.rstrip("/")).headers["Location"] == path


def test_a_browser_is_given_a_cookie(keyed: GatewayProcess, alices: str) -> None:
    """Under a host of its own the token goes from the address into a cookie of that host only,
    which the server does not get."""
    issued = issue(keyed, alices)
    host = host_of(keyed, alices)
    assert issued["host_url"] == f"http://{host}/?port_token={issued['token']}"

    opened_page = ask(
        keyed, host, f"/page?a=1&port_token={issued['token']}", Sec_Fetch_Mode="navigate"
    )
    cookie = opened_page.headers["Set-Cookie"]
    assert (opened_page.status_code, opened_page.headers["Location"]) == (303, "/page?a=1")
    assert opened_page.headers["Referrer-Policy"] == "no-referrer"
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie

    told = seen(ask(keyed, host, "/page", Cookie=f"x=1; {cookie.split(';')[0]}; y=2"))
    assert told["cookie"] == "x=1; y=2"
    told = seen(ask(keyed, host, f"/?port_token={issued['token']}"))
    assert "cookie" not in told


def test_an_address_does_not_send_browsers_elsewhere(keyed: GatewayProcess, alices: str) -> None:
    """`//evil.example/` after a redirect would be another site."""
    issued = issue(keyed, alices)

    answer = ask(
        keyed,
        host_of(keyed, alices),
        f"//evil.example/?port_token={issued['token']}",
        Sec_Fetch_Mode="navigate",
    )

    assert answer.status_code == 200
    assert answer.json()["line"] == "GET //evil.example/ HTTP/1.1"


def test_an_address_opens_one_port_of_one_sandbox(keyed: GatewayProcess, alices: str) -> None:
    issued = issue(keyed, alices)
    own, token = f"127.0.0.1:{keyed.port}", issued["token"]
    other = keyed.create()
    try:
        refused = [
            ask(keyed, own, by_path(alices, f"{token}/", port=8001)),
            ask(keyed, own, by_path(other, f"{token}/")),
            ask(keyed, own, by_path(alices, f"{token[:-2]}xx/")),
            ask(keyed, own, f"/sandboxes/{alices}", **bearer(token)),
            ask(keyed, own, by_path(alices), **bearer(token)),
            ask(keyed, own, f"/sandboxes/{alices}/ports?port_token={token}"),
            ask(keyed, own, f"{by_path(alices, 'token')}?port_token={token}", "DELETE"),
            ask(keyed, host_of(keyed, alices, 8001), f"/?port_token={token}"),
            ask(keyed, host_of(keyed, alices, 8001), Cookie=f"sandbox_port_token={token}"),
            ask(keyed, host_of(keyed, other), Cookie=f"sandbox_port_token={token}"),
        ]
    finally:
        keyed.delete(f"/sandboxes/{other}")
    wanted = [401, 404, 401, 401, 401, 401, 200, 401, 401, 404]
    assert [answer.status_code for answer in refused] == wanted


def test_an_address_ends_with_its_time(keyed: GatewayProcess, alices: str) -> None:
    """An answer that has begun ends with it too."""
    path = local(keyed, issue(keyed, alices, ttl=2)["url"])
    own = f"127.0.0.1:{keyed.port}"
    with requests.get(f"{keyed.url}{path}events", stream=True, timeout=10) as answer:
        assert answer.status_code == 200
        with pytest.raises(requests.exceptions.RequestException):
            for _piece in answer.iter_content(None):
                pass
    assert problem_of(ask(keyed, own, path), 401)["code"] == "unauthorized"


def test_addresses_are_revoked_with_the_sandboxs_tokens(keyed: GatewayProcess, alices: str) -> None:
    path = local(keyed, issue(keyed, alices)["url"])
    own = f"127.0.0.1:{keyed.port}"
    assert ask(keyed, own, path).status_code == 200

    assert keyed.delete(f"/sandboxes/{alices}/token").status_code == 204

    assert ask(keyed, own, path).status_code == 401


def test_addresses_end_with_the_sandbox(keyed: GatewayProcess) -> None:
    sandbox_id = keyed.create()
    path = local(keyed, issue(keyed, sandbox_id)["url"])
    own = f"127.0.0.1:{keyed.port}"
    assert problem_of(ask(keyed, own, path), 502)["code"] == "port_closed"

    keyed.delete(f"/sandboxes/{sandbox_id}")

    assert ask(keyed, own, path).status_code == 404
    assert keyed.post(f"/sandboxes/{sandbox_id}/ports/8000/token").status_code == 404


def test_who_may_issue_addresses(keyed: GatewayProcess, alices: str) -> None:
    """Whoever has found an access token could renew it for ever."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    address = f"/sandboxes/{alices}/ports/8000/token"

    assert keyed.post(address, headers={"X-API-Key": BOB}).status_code == 404
    refused = keyed.post(address, headers={"X-API-Key": token})
    assert problem_of(refused, 403)["code"] == "forbidden"
    for ttl in (0, -1, 86401, "x"):
        assert keyed.post(address, json={"ttl": ttl}).status_code == 422
    assert keyed.post(f"/sandboxes/{alices}/ports/0/token").status_code == 422


def test_without_keys_an_address_is_checked_too(gateway: GatewayProcess, odd: str) -> None:
    """Whoever gets it has the sandbox's id, but an address that has expired shows nothing."""
    issued = gateway.post(f"/sandboxes/{odd}/ports/8000/token").json()
    path = local(gateway, issued["url"])

    assert gateway.get(path).status_code == 200
    assert (
        gateway.get(path.replace(issued["token"], issued["token"][:-2] + "xx")).status_code == 401
    )
    assert gateway.get(by_path("0" * 32, f"{issued['token']}/")).status_code == 401


def test_a_page_of_an_address_may_post_forms(keyed: GatewayProcess, alices: str) -> None:
    """In the sandbox that the browser puts it into, its origin is `null`: the token in the address
    says that it was opened by it."""
    path = local(keyed, issue(keyed, alices)["url"])

    assert ask(keyed, f"127.0.0.1:{keyed.port}", path, "POST", Origin="null").status_code == 200


def test_pages_of_allowed_origins_use_ports_by_path(keyed: GatewayProcess, alices: str) -> None:
    """SANDBOX_CORS_ORIGINS holds for answers of servers too, whatever those say of it."""
    origin = "https://app.example.com"

    answer = keyed.get(by_path(alices), headers={"Origin": origin})

    assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_an_operators_domain_leads_to_ports(keyed: GatewayProcess, alices: str) -> None:
    host = f"8000-{alices}.ports.example.com"

    assert ask(keyed, host, X_API_Key=ALICE).status_code == 200
    assert (
        ask(keyed, host.upper().replace("EXAMPLE", "Example"), X_API_Key=ALICE).status_code == 200
    )


# --- use ---


def test_traffic_is_use_and_resumes(gateway: GatewayProcess) -> None:
    """A sandbox whose server is asked is not idle, and a paused one goes on."""
    sandbox_id = gateway.create()
    try:
        start_odd_server(gateway, sandbox_id)
        assert gateway.post(f"/sandboxes/{sandbox_id}/pause").status_code == 200
        assert gateway.status_of(sandbox_id) == "paused"
        assert gateway.get(by_path(sandbox_id)).status_code == 200
        assert gateway.status_of(sandbox_id) != "paused"
        with opened(gateway) as client:
            client.sendall(
                f"GET {by_path(sandbox_id, 'events')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            assert answer_of(client.recv(1000)).status == 200
            assert gateway.status_of(sandbox_id) == "connected"
    finally:
        gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_sandbox_that_is_asked_stays(gateway: GatewayProcess) -> None:
    """Idle time counts from the last request."""
    sandbox_id = gateway.create(idle_timeout=2)
    put_text(gateway, sandbox_id, "odd_server.py", ODD_SERVER.read_text())
    # No command of the sandbox's runs then, as far as the gateway knows.
    put = "setsid -f python3 odd_server.py 8000 > /dev/null 2>&1 < /dev/null"
    assert result_of(gateway, sandbox_id, put)["success"]
    eventually(lambda: ODD in open_ports(gateway, sandbox_id))
    with opened(gateway) as client:
        client.sendall(
            f"GET {by_path(sandbox_id, 'events')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert client.recv(1000)
        assert gateway.status_of(sandbox_id) == "connected"
    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=15)

"""Section 5 of the contract: the service itself, and who may talk to it from a browser."""

from __future__ import annotations

import re

import pytest

from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import check_problem, problem_of


def test_the_api_describes_itself(gateway: GatewayProcess) -> None:
    """Every route of the core is in the document that clients are generated from."""
    document = gateway.get("/openapi.json").json()

    assert document["openapi"].startswith("3.")
    routes = {
        (path, method)
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("get", "post", "delete")
    }
    assert routes >= {
        ("/sandboxes", "get"),
        ("/sandboxes", "post"),
        ("/sandboxes/{sandbox_id}", "get"),
        ("/sandboxes/{sandbox_id}", "delete"),
        ("/ws/{sandbox_id}", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
    }


def test_the_documentation_can_be_read(gateway: GatewayProcess) -> None:
    """The one page that is HTML, and it works without another host."""
    answer = gateway.get("/docs")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert not address.startswith(("http:", "https:", "//")), address
        assert gateway.get(address if address[0] == "/" else f"/{address}").status_code == 200


FOREIGN = ["http://evil.example", "https://127.0.0.1.evil.example", "null", "file://"]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_web_page_of_another_origin_gets_no_websocket(
    gateway: GatewayProcess, module_sandbox: str, library: str, origin: str
) -> None:
    """Browsers let any page open a WebSocket to localhost; only the server can refuse."""
    with pytest.raises(Refused) as refused:
        connect(gateway, module_sandbox, library, origin=origin)

    assert refused.value.status == 403
    check_problem(refused.value.headers["content-type"], refused.value.body, 403)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_web_page_of_another_origin_creates_nothing(gateway: GatewayProcess, origin: str) -> None:
    """A cross-site form post needs no preflight."""
    before = gateway.listed()

    problem_of(gateway.post("/sandboxes", headers={"Origin": origin}), 403)

    assert gateway.listed() == before


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8003", "127.0.0.1.evil.example"])
def test_another_host_name_is_refused(gateway: GatewayProcess, host: str) -> None:
    """DNS rebinding: a page whose name suddenly means 127.0.0.1 is of the same origin to the
    browser; the Host header tells it apart."""
    problem_of(gateway.get("/sandboxes", headers={"Host": host}), 403)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_the_own_names_and_origins_are_welcome(
    gateway: GatewayProcess, module_sandbox: str, name: str
) -> None:
    """A page that the gateway itself serves, by any name of this machine."""
    headers = {"Host": f"{name}:{gateway.port}", "Origin": f"http://{name}:{gateway.port}"}

    assert gateway.get("/sandboxes", headers=headers).status_code == 200
    with connect(gateway, module_sandbox, origin=f"http://127.0.0.1:{gateway.port}") as client:
        assert client.output_of("echo welcome") == "welcome\n"


def test_it_listens_on_loopback_only(gateway: GatewayProcess) -> None:
    """Without keys, whoever reaches the port may use it."""
    listening = {
        connection.laddr.ip
        for worker in gateway.workers()
        for connection in worker.net_connections(kind="inet")
        if connection.status == "LISTEN"
    }

    assert listening == {"127.0.0.1", "::1"}


def test_answers_may_not_be_cached_or_sniffed(gateway: GatewayProcess, sandbox: str) -> None:
    """Ids are capabilities; a cache on the way must not keep them."""
    for path in ("/sandboxes", f"/sandboxes/{sandbox}", "/sandboxes/unknown"):
        headers = gateway.get(path).headers
        assert "no-store" in headers["Cache-Control"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers

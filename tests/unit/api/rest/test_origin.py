"""Which web pages may use the gateway, and under which names it is known."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.middleware import origin_and_cors
from gateway.schemas.models import SandboxCreate
from gateway.settings import Settings
from tests.unit.api.rest.fakes import FakeSandboxes


def _client(app: Flask, **settings: Any) -> FlaskClient:
    origin_and_cors.install(app, Settings(**settings))
    return app.test_client()


def _status(client: FlaskClient, host: str, origin: str | None = None, **options: Any) -> int:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    return client.open("/sandboxes", headers=headers, **options).status_code


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8003", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8003", 200),
        ("[::1]:8003", 200),
        ("gateway.example", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1", 403),
        ("localhost@evil.example", 403),
        ("evil.example:80:localhost", 403),
        ("localhost:x", 403),
        ("[::1", 403),
        ("evil.example@localhost", 403),
        ("user:secret@localhost:8003", 403),
        ("@localhost", 403),
        ("localhost:", 403),
        ("localhost:0", 403),
        ("localhost:65536", 403),
        ("localhost:+80", 403),
        ("localhost.", 403),
        ("localhost..", 403),
        (".localhost", 403),
        ("local%68ost", 403),
        ("[::1%25lo]", 403),
        ("[::1]x", 403),
        ("[localhost]", 403),
        ("[127.0.0.1]", 403),
        ("[v1.x]", 403),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("local host", 403),
        ("localhost\tx", 403),
        ("localhost/x", 403),
        ("localhost?x", 403),
        ("localhost#x", 403),
        ("localhost,evil.example", 403),
        ("evil.example,localhost", 403),
        ("//localhost", 403),
        ("http://localhost", 403),
        ("localhost\\evil.example", 403),
        ("lo\u0441alhost", 403),
        ("", 403),
        ("a." * 2000 + "localhost", 403),
    ],
)
def test_on_loopback_only_its_names_are_known(app: Flask, host: str, status: int) -> None:
    """Another name may be an attacker's whose DNS says 127.0.0.1 (DNS rebinding)."""
    assert _status(_client(app), host) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("sandbox.example.com", 200),
        ("SANDBOX.example.com:443", 200),
        ("lan", 200),
        ("a.ports.example.com", 200),
        ("a.b.ports.example.com", 200),
        ("ports.example.com", 403),
        ("evilports.example.com", 403),
        ("other.example.com", 403),
        ("xlan", 403),
        ("localhost:8003", 200),
    ],
)
def test_public_names_are_known(app: Flask, host: str, status: int) -> None:
    """Of a proxy, in the LAN, and all names below one."""
    client = _client(app, public_hosts="Sandbox.example.com, lan,*.ports.example.com")

    assert _status(client, host) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [("192.0.2.7:8003", 200), ("[2001:db8::1]", 200), ("localhost", 200), ("lan", 403)],
)
def test_on_all_addresses_an_address_is_known(app: Flask, host: str, status: int) -> None:
    """No DNS server answers for it; names have to be configured."""
    assert _status(_client(app, host="0.0.0.0"), host) == status


@pytest.mark.parametrize(
    ("host", "page", "status"),
    [
        ("localhost:8003", "http://localhost:8003", 200),
        ("localhost:8003", "http://127.0.0.1:8003", 200),
        ("127.0.0.1:8003", "http://[::1]:8003", 200),
        ("localhost", "http://localhost", 200),
        ("localhost:8003", "http://localhost:3000", 403),
        ("localhost:8003", "http://localhost", 403),
        ("localhost:8003", "https://localhost", 403),
        ("localhost:8003", "http://sandbox.example.com:8003", 403),
        ("sandbox.example.com", "https://sandbox.example.com", 200),
        ("sandbox.example.com", "https://sandbox.example.com:443", 200),
        ("sandbox.example.com", "https://sandbox.example.com:444", 403),
        ("sandbox.example.com", "https://a.sandbox.example.com", 403),
        ("sandbox.example.com", "https://localhost", 403),
        ("localhost:8003", "null", 403),
        ("localhost:8003", "", 403),
        ("localhost:8003", "file://", 403),
        ("localhost:8003", "chrome-extension://localhost:8003", 403),
        ("localhost:8003", "http://localhost:8003.evil.example", 403),
        ("localhost:8003", "http://evil@localhost:8003x", 403),
        ("localhost:8003", "http://evil.example@localhost:8003", 403),
        ("localhost:8003", "http://localhost:8003/", 403),
        ("localhost:8003", "http://localhost.:8003", 403),
        ("localhost:8003", "http://local%68ost:8003", 403),
        ("localhost:8003", "http://localhost:8003,http://evil.example", 403),
    ],
)
def test_pages_of_the_same_host_and_port_are_welcome(
    app: Flask, host: str, page: str, status: int
) -> None:
    """Another port of this machine is another server: a sandbox's, or another user's."""
    client = _client(app, public_hosts="sandbox.example.com")

    assert _status(client, host, page) == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", None]
)
def test_a_foreign_page_changes_nothing(
    app: Flask, sandboxes: FakeSandboxes, method: str, content_type: str | None
) -> None:
    """A form, or `fetch` with `no-cors`, comes without a preflight, and may have an empty body."""
    client = _client(app)
    sandboxes.create(SandboxCreate())

    for path in ("/sandboxes", f"/sandboxes/{1:032x}", "/sandboxes/x/token", "/nowhere"):
        answer = client.open(
            path,
            method=method,
            headers={"Host": "localhost:8003", "Origin": "http://evil.example"},
            content_type=content_type,
        )
        assert answer.status_code == 403
        assert answer.json["code"] == "foreign_origin"
    assert len(sandboxes.kept) == 1
    assert sandboxes.asked == []


def test_every_body_must_be_json(app: Flask, sandbox: str) -> None:
    """On every route that reads one: a web page can send another type without asking."""
    client = _client(app)
    document = client.get("/openapi.json").json
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                continue  # what is uploaded may be of any type: `Origin` alone decides
            address = path.replace("{sandbox_id}", sandbox).replace("{request_id}", "r1")
            for content_type in ("text/plain", "application/x-www-form-urlencoded", None):
                answer = client.open(
                    address, method=method.upper(), data=b"{}", content_type=content_type
                )
                assert answer.status_code == 415, (method, path)
            tried += 1
    assert tried >= 5


PAGE = "https://app.example.com"


@pytest.fixture
def sharing(app: Flask) -> FlaskClient:
    return _client(app, cors_origins=f"{PAGE},http://localhost:3000")


def test_cors_is_off_unless_configured(app: Flask) -> None:
    """Not a header of it, whatever is asked."""
    client = _client(app)
    headers = {"Origin": "http://localhost", "Access-Control-Request-Method": "POST"}

    for method in ("GET", "OPTIONS"):
        answer = client.open("/sandboxes", method=method, headers=headers)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


def test_a_configured_page_gets_its_preflight_answered(sharing: FlaskClient) -> None:
    """For what the API takes: JSON, keys, any method. Without credentials of the browser."""
    answer = sharing.options(
        "/sandboxes/a1",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "authorization",
        },
    )

    assert answer.status_code == 204
    assert answer.data == b""
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    for name in ("Authorization", "X-API-Key", "Content-Type"):
        assert name in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_configured_page_may_read_answers_and_errors(sharing: FlaskClient) -> None:
    """Else a page could not tell its user what went wrong."""
    for path, status in (("/sandboxes", 200), ("/sandboxes/unknown", 404)):
        answer = sharing.get(path, headers={"Origin": PAGE})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "page",
    [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "http://localhost:3001",
        "null",
    ],
)
def test_other_pages_are_refused_all_the_same(sharing: FlaskClient, page: str) -> None:
    """Preflights too, and nothing says which pages would be welcome."""
    for method in ("GET", "POST", "OPTIONS"):
        answer = sharing.open(
            "/sandboxes",
            method=method,
            headers={"Origin": page, "Access-Control-Request-Method": "POST"},
        )
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_all_pages_may_be_let_in(app: Flask) -> None:
    """With keys (see the settings' own test): the answer is the same for all, so it says `*`."""
    client = _client(app, cors_origins="*")

    answer = client.get("/sandboxes", headers={"Origin": "https://any.example"})

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


EXPECTED = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path", "host"),
    [
        ("GET", "/healthz", "localhost"),
        ("GET", "/docs", "localhost"),
        ("GET", "/sandboxes/unknown", "localhost"),
        ("GET", "/nowhere", "localhost"),
        ("PUT", "/sandboxes", "localhost"),
        ("OPTIONS", "/sandboxes", "localhost"),
        ("GET", "/ws/unknown", "localhost"),
        ("GET", "/", "evil.example"),
    ],
)
def test_every_answer_has_the_security_headers(
    app: Flask, method: str, path: str, host: str
) -> None:
    """Errors and refusals too. Nothing may be framed, and only `/docs` may run anything."""
    answer = _client(app).open(path, method=method, headers={"Host": host})

    assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert ("script-src" in policy) == (path == "/docs")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/sandboxes", 200),
        ("http://localhost:8003/sandboxes", 200),
        ("HTTP://LOCALHOST:8003/sandboxes", 200),
        ("http://evil.example/sandboxes", 403),
        ("http://localhost/sandboxes", 403),
        ("http://evil.example@localhost:8003/sandboxes", 403),
        ("http://localhost:8003@evil.example/sandboxes", 403),
        ("http:///sandboxes", 403),
        ("ftp://localhost:8003/sandboxes", 403),
        ("localhost:8003", 403),
    ],
)
def test_a_whole_address_as_target_names_the_same_site(
    app: Flask, target: str, status: int
) -> None:
    """It counts more than `Host` (RFC 9112, section 3.2.2), so they must not differ."""
    answer = _client(app).get(
        "/sandboxes", headers={"Host": "localhost:8003"}, environ_overrides={"RAW_URI": target}
    )

    assert answer.status_code == status

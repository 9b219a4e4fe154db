"""Which requests speak E2B's protocol, and which sandbox and port they are for.

Decided once, before all else that happens to a request, by header, host, signature or token. What
follows is routed to addresses that nobody can ask for: `/e2b/control…` for what E2B calls the
control plane, `/e2b/envd/{id}…` for the service that is built into every sandbox,
`/e2b/interpreter/{id}…` for the code interpreter, `/e2b/signed/files` for addresses of files that
carry a signature. Any other port of a sandbox is a `port_target`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import parse_qs

from flask import Flask, request

from gateway.identity.envd_tokens import sandbox_id_in
from gateway.identity.keys import E2B_KEY
from gateway.middleware import port_target
from gateway.middleware.port_target import PortTarget, Wsgi, sandbox_host_of
from gateway.schemas.models import SANDBOX_ID_PATTERN

ENVD_PORT = "49983"
"""Of the service that E2B's clients expect in each sandbox. The gateway answers in its place."""

INTERPRETER_PORT = "49999"
"""Of the code interpreter, likewise."""

PREFIX = "/e2b/"
"""Of all addresses within. Whoever asks for one of them finds nothing."""

_ENVIRON = "gateway.e2b_target"
_NOWHERE = "/e2b"
_NO_ID = "-"
"""In the place of what cannot be an id; it cannot be one either."""

_SANDBOX_ID = re.compile(SANDBOX_ID_PATTERN)

Plane = Literal["control", "envd", "interpreter", "signed", "port"]


@dataclass(frozen=True)
class E2bTarget:
    """`sandbox_id` is what was asked for, if it can be an id; it is empty on the control plane, and
    where a signature alone says which sandbox is meant."""

    plane: Plane
    sandbox_id: str = ""
    port: str = ENVD_PORT
    token: str | None = field(default=None, repr=False)
    """What `X-Access-Token` says."""
    by_host: bool = False
    """Whether the host has the name of a sandbox's port; its header counts all the same."""


def install(app: Flask, domains: Collection[str]) -> None:
    """Route what speaks E2B; `domains` are those whose subdomains mean ports of sandboxes. Call it
    after `port_target.install`: this one looks first."""
    inner: Wsgi = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
        path = str(environ.get("PATH_INFO", ""))
        target = target_of(environ, domains)
        if target is not None:
            environ[_ENVIRON] = target
            if target.plane == "port":
                raw = str(environ.get("RAW_URI", "")).partition("#")[0]
                port = PortTarget(target.sandbox_id, target.port, raw, domain="")
                port_target.decide(environ, port)
            else:
                port_target.decide(environ, None)
                environ["PATH_INFO"] = _within(target, path)
        elif f"/{path.lstrip('/')}".startswith(PREFIX):  # werkzeug reads surplus ones as one
            environ["PATH_INFO"] = _NOWHERE
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # Flask's own way to wrap it


def e2b_target() -> E2bTarget | None:
    """That of the current request, if it speaks E2B."""
    return cast("E2bTarget | None", request.environ.get(_ENVIRON))


def adopt(target: PortTarget) -> None:
    """Take the current request, which is for a port by the name of its host, as one in E2B's
    protocol: its sandbox was made so."""
    adopted = E2bTarget("port", target.given, target.port, by_host=True)
    request.environ[_ENVIRON] = adopted


def target_of(environ: dict[str, Any], domains: Collection[str]) -> E2bTarget | None:
    """What a request is for; None when it speaks another protocol."""
    token = environ.get("HTTP_X_ACCESS_TOKEN")
    found = sandbox_host_of(str(environ.get("HTTP_HOST", "")), domains)
    if "HTTP_E2B_SANDBOX_ID" in environ:
        given = environ["HTTP_E2B_SANDBOX_ID"].strip()
        port = environ.get("HTTP_E2B_SANDBOX_PORT", "").strip() or ENVD_PORT
        return _data(environ, given, port, token, by_host=found is not None)
    if found is not None:
        given, port, _domain = found
        if port in (ENVD_PORT, INTERPRETER_PORT):
            return _data(environ, given, port, token, by_host=True)
        return None  # as servers in sandboxes are reached by everybody
    if _is_signed(environ):
        return E2bTarget("signed")
    owner_of_token = None if token is None else sandbox_id_in(token)
    if owner_of_token is not None:
        return _data(environ, owner_of_token, ENVD_PORT, token)
    if E2B_KEY.fullmatch(environ.get("HTTP_X_API_KEY", "").strip()):
        return E2bTarget("control")
    return None


def _data(
    environ: dict[str, Any], given: str, port: str, token: str | None, *, by_host: bool = False
) -> E2bTarget:
    sandbox_id = given if _SANDBOX_ID.fullmatch(given) else _NO_ID
    if port == ENVD_PORT:
        plane: Plane = "signed" if token is None and _is_signed(environ) else "envd"
    else:
        plane = "interpreter" if port == INTERPRETER_PORT else "port"
    return E2bTarget(plane, sandbox_id, port, token, by_host)


def _is_signed(environ: dict[str, Any]) -> bool:
    """Whether it asks for a file by an address that says why it may. Preflights do not count."""
    query = str(environ.get("QUERY_STRING", ""))
    if environ.get("PATH_INFO") != "/files" or "signature" not in query:
        return False
    return "signature" in parse_qs(query, keep_blank_values=True)


def _within(target: E2bTarget, path: str) -> str:
    if target.plane == "control":
        return f"/e2b/control{path}"
    if target.plane == "signed":
        return f"/e2b/signed{path}"
    return f"/e2b/{target.plane}/{target.sandbox_id}{path}"

"""Which requests speak E2B's protocol: told by header, host, signature, token or key."""

from __future__ import annotations

import pytest

from gateway.identity.envd_tokens import token_of
from gateway.middleware.e2b_target import E2bTarget, target_of

ID = "0123456789abcdef" * 2
KEY = "e2b_" + "0a" * 20
TOKEN = token_of(b"s" * 32, "envd", ID, "g")
DOMAINS = ["localhost"]


def _asked(path: str = "/", **headers: str) -> dict[str, str]:
    """A request; names of headers with `_` for `-`."""
    plain, _, query = path.partition("?")
    fields = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return {"PATH_INFO": plain, "QUERY_STRING": query, "RAW_URI": path, **fields}


@pytest.mark.parametrize(
    ("asked", "plane", "port"),
    [
        (_asked("/health", E2b_Sandbox_Id=ID), "envd", "49983"),
        (_asked("/files", E2b_Sandbox_Id=ID, E2b_Sandbox_Port="49983"), "envd", "49983"),
        (_asked("/sandboxes", E2b_Sandbox_Id=ID, X_API_Key=KEY), "envd", "49983"),
        (_asked("/execute", E2b_Sandbox_Id=ID, E2b_Sandbox_Port="49999"), "interpreter", "49999"),
        (_asked("/", E2b_Sandbox_Id=ID, E2b_Sandbox_Port="3000"), "port", "3000"),
        (_asked("/", E2b_Sandbox_Id=ID, E2b_Sandbox_Port="../x"), "port", "../x"),
        (_asked("/health", Host=f"49983-{ID}.localhost:8003"), "envd", "49983"),
        (_asked("/contexts", Host=f"49999-{ID}.localhost"), "interpreter", "49999"),
        (_asked("/files?path=a&signature=v1_x", Host=f"49983-{ID}.localhost"), "signed", "49983"),
        (_asked("/files?path=a&signature=v1_x", E2b_Sandbox_Id=ID), "signed", "49983"),
        (
            _asked("/files?signature=v1_x", E2b_Sandbox_Id=ID, X_Access_Token=TOKEN),
            *("envd", "49983"),
        ),
        (_asked("/process.Process/List", X_Access_Token=TOKEN), "envd", "49983"),
    ],
)
def test_a_request_of_the_data_plane_is_for_a_sandbox_and_a_port(
    asked: dict[str, str], plane: str, port: str
) -> None:
    """By header before all else, since each request of these clients has it."""
    target = target_of(asked, DOMAINS)

    assert target is not None
    assert (target.plane, target.port, target.sandbox_id) == (plane, port, ID)


def test_a_signature_alone_says_no_sandbox() -> None:
    """One address serves all sandboxes: only the live tokens tell whose it is."""
    target = target_of(_asked("/files?path=a&signature=v1_x"), DOMAINS)

    assert target == E2bTarget("signed")


@pytest.mark.parametrize("key", [KEY, "e2b_0", f" {KEY} "])
def test_a_key_of_their_form_asks_the_control_plane(key: str) -> None:
    """Some paths are the same in both APIs."""
    assert target_of(_asked("/sandboxes", X_API_Key=key), DOMAINS) == E2bTarget("control")


@pytest.mark.parametrize(
    "asked",
    [
        _asked("/sandboxes"),
        _asked("/sandboxes", X_API_Key="sgk_0123"),
        _asked("/sandboxes", X_API_Key="e2b_UPPER"),
        _asked("/sandboxes", X_API_Key="e2b_"),
        _asked("/sandboxes", Authorization=f"Bearer {KEY}"),
        _asked("/sandboxes", X_Access_Token="none"),
        _asked("/files?path=signature"),
        _asked(f"/sandboxes/{ID}/files?signature=v1_x"),
        _asked("/", Host=f"3000-{ID}.localhost"),
        _asked("/", Host=f"49983-{ID}.example.com"),
    ],
)
def test_all_else_is_the_native_api(asked: dict[str, str]) -> None:
    """It stays word for word as it was."""
    assert target_of(asked, DOMAINS) is None


@pytest.mark.parametrize("given", ["../../x", "A" * 32, "a-b", "x" * 65, "", "%2e", "a/b"])
def test_what_can_be_no_id_is_looked_for_nowhere(given: str) -> None:
    """It becomes part of an address within."""
    target = target_of(_asked("/health", E2b_Sandbox_Id=given), DOMAINS)

    assert target is not None
    assert target.sandbox_id == "-"


def test_a_host_of_a_sandbox_is_told_beside_the_header() -> None:
    """With a domain of their own the SDKs send both, and such a host is no foreign one."""
    both = target_of(_asked("/health", E2b_Sandbox_Id=ID, Host=f"49983-{ID}.localhost"), DOMAINS)
    header = target_of(_asked("/health", E2b_Sandbox_Id=ID, Host="evil.example"), DOMAINS)

    assert both is not None
    assert header is not None
    assert (both.by_host, header.by_host) == (True, False)

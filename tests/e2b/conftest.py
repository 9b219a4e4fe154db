"""One gateway for all that E2B's clients are tried with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.e2b_sdks import INLINE, KEYS, key_header
from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="session")
def e2b_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """With keys of alice and bob, which the SDKs take, and a warm pool of two. Its own requests,
    of the native API, are alice's."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("e2b-gateway"), pool_size="2", api_keys=INLINE, operators="alice"
    )
    gateway.headers = {"Authorization": f"Bearer {KEYS['alice']}"}
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def e2b_sandbox(e2b_gateway: GatewayProcess) -> Iterator[dict[str, str]]:
    """One sandbox of alice's for a module, as the create has answered: `sandboxID`,
    `envdAccessToken` and more."""
    made = e2b_gateway.post(
        "/sandboxes", json={"templateID": "base", "timeout": 900}, headers=key_header()
    )
    assert made.status_code == 201, made.text
    yield made.json()
    e2b_gateway.delete(f"/sandboxes/{made.json()['sandboxID']}", headers=key_header())

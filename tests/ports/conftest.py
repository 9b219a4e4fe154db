"""Sandboxes in which servers listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, INLINE
from tests.support.port_servers import start_odd_server


@pytest.fixture(scope="module")
def odd(shared_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox without a network, in which the odd server listens on localhost."""
    sandbox_id = shared_gateway.create(network="none")
    start_odd_server(shared_gateway, sandbox_id)
    yield sandbox_id
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with API keys, which reaches agents by docker exec only: connections into its
    sandboxes are channels of a link."""
    directory = tmp_path_factory.mktemp("keyed")
    gateway = GatewayProcess(
        directory,
        workers="1",
        api_keys=INLINE,
        link="exec",
        ports_domain="localhost,ports.example.com",
        cors_origins="https://app.example.com",
        port_connections_per_key="8",
    )
    gateway.headers = {"X-API-Key": ALICE}
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def alices(keyed: GatewayProcess) -> Iterator[str]:
    """A sandbox of Alice's in that gateway, in which the odd server listens on two ports."""
    sandbox_id = keyed.create(name="web", network="none")
    start_odd_server(keyed, sandbox_id)
    start_odd_server(keyed, sandbox_id, port=8001)
    yield sandbox_id
    keyed.delete(f"/sandboxes/{sandbox_id}")

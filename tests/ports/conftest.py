"""Sandboxes in which servers listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.port_servers import start_odd_server


@pytest.fixture(scope="module")
def odd(shared_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox without a network, in which the odd server listens on localhost."""
    sandbox_id = shared_gateway.create(network="none")
    start_odd_server(shared_gateway, sandbox_id)
    yield sandbox_id
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")

"""What fails is rarely a network: sandboxes have none but in modules that say otherwise."""

from __future__ import annotations

import pytest

from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="session")
def shared_gateway(offline_gateway: GatewayProcess) -> GatewayProcess:
    """For all tests of this folder that leave it whole."""
    return offline_gateway


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """As for the shared one."""
    return {"network": "none"}

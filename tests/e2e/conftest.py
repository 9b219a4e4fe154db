"""A gateway with API keys, for the tests that ask who may do what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, INLINE, bearer


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with two tenants, asked in alice's name unless a test says otherwise."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("keyed"), api_keys=INLINE)
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def alices(keyed: GatewayProcess) -> str:
    """A sandbox of alice's."""
    return keyed.create()

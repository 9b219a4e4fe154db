"""What stands in for the store's table of owners keeps what that one promises."""

from __future__ import annotations

import pytest

from tests.support import ownership_contract
from tests.unit.api.rest.fake_tenancy import FakeTenancy


@pytest.fixture
def owners() -> FakeTenancy:
    owners = FakeTenancy()
    owners.owners = {"a": "alice", "b": "alice"}
    return owners


def test_the_first_generation_stays_until_it_is_renewed(owners: FakeTenancy) -> None:
    """As in tests/unit/test_ownership.py."""
    ownership_contract.the_first_generation_stays_until_it_is_renewed(owners)


def test_what_has_ended_gets_no_token(owners: FakeTenancy) -> None:
    """Likewise."""
    ownership_contract.what_has_ended_gets_no_token(owners, owners.ended.add)


def test_what_is_unknown_gets_no_token(owners: FakeTenancy) -> None:
    """Likewise."""
    ownership_contract.what_is_unknown_gets_no_token(owners)

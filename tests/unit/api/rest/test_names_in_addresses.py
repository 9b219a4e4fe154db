"""A name in an address: what is behind the edge sees the id only, and nobody another's."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.identity.access import Access
from gateway.middleware import authentication
from tests.support.keys import ALICE, BOB, bearer
from tests.unit.api.rest.fake_tenancy import FakeTenancy
from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes

HERS, OTHER, HIS = "a" * 32, "c" * 32, "b" * 32
NAMES = {("alice", "my-box"): HERS, ("alice", "db"): OTHER, ("bob", "my-box"): HIS}


@pytest.fixture
def named(
    app: Flask, access: Access, tenancy: FakeTenancy, sandboxes: FakeSandboxes
) -> FlaskClient:
    """A client of the application with keys, and three sandboxes that have names."""

    def find(owner: str, name: str) -> str | None:
        return NAMES.get((owner, name))

    authentication.install(app, access, find_by_name=find)
    for (owner, name), sandbox_id in NAMES.items():
        sandboxes.kept[sandbox_id] = FakeSandbox(sandbox_id, name=name)
        tenancy.owners[sandbox_id] = owner
    return app.test_client()


def test_each_owner_gets_its_own(named: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """The same word, two sandboxes."""
    for secret, sandbox_id in ((ALICE, HERS), (BOB, HIS)):
        shown = named.get("/sandboxes/my-box", headers=bearer(secret))
        assert shown.status_code == 200, shown.text
        assert (shown.json["sandbox_id"], shown.json["name"]) == (sandbox_id, "my-box")
    assert sandboxes.asked == [HERS, HIS]


@pytest.mark.parametrize("path", ["db", "db/stats", "db/events", "db/token", "no-such"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_anothers_name_is_none(
    named: FlaskClient, sandboxes: FakeSandboxes, path: str, method: str
) -> None:
    """As if there were no such sandbox, and without its id."""
    answer = named.open(f"/sandboxes/{path}", method=method, headers=bearer(BOB))
    assert answer.status_code in (404, 405)
    assert OTHER not in answer.text
    assert sandboxes.asked == []


def test_a_token_knows_the_name_of_its_own_sandbox_only(
    named: FlaskClient, access: Access, sandboxes: FakeSandboxes
) -> None:
    """Whoever has been given one sandbox learns nothing of the others."""
    token = bearer(access.issue(HERS).text)
    assert named.get("/sandboxes/my-box", headers=token).json["sandbox_id"] == HERS
    refused = named.get("/sandboxes/db", headers=token)
    assert refused.status_code == 404
    assert OTHER not in refused.text
    assert sandboxes.asked == [HERS]


def test_a_page_goes_on_behind_a_name(named: FlaskClient) -> None:
    """`after` takes what an address takes; an unknown name is refused as an unknown id is."""
    behind = named.get("/sandboxes?after=my-box", headers=bearer(ALICE))
    assert [one["sandbox_id"] for one in behind.json] == [OTHER]
    assert named.get("/sandboxes?after=A_B", headers=bearer(ALICE)).status_code == 422

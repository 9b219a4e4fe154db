"""The list of sandboxes: what to leave out, and page by page."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes

_NEXT = re.compile(r'<([^<>]+)>; rel="next"')


@pytest.fixture
def seven(sandboxes: FakeSandboxes) -> list[str]:
    """The ids of seven sandboxes; every other one is of team blue, the third is paused."""
    ids = [f"s{number}" for number in range(7)]
    for number, sandbox_id in enumerate(ids):
        sandboxes.kept[sandbox_id] = FakeSandbox(
            sandbox_id,
            status="paused" if number == 2 else "idle",
            labels={"team": "red" if number % 2 else "blue", "run": str(number // 4)},
        )
    return ids


def _ids(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.text
    return [one["sandbox_id"] for one in response.json]


def _pages(client: FlaskClient, address: str) -> list[list[str]]:
    """All pages, as a client reads them that follows `Link` and nothing else."""
    pages = []
    while address:
        response = client.get(address)
        pages.append(_ids(response))
        link = response.headers.get("Link")
        match = _NEXT.fullmatch(link) if link else None
        assert bool(link) == bool(match), link
        address = match[1] if match else ""
    return pages


def test_pages_have_all_sandboxes_once(client: FlaskClient, seven: list[str]) -> None:
    """In their order, and the last page leads nowhere."""
    pages = _pages(client, "/sandboxes?limit=3")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [sandbox_id for page in pages for sandbox_id in page] == seven


@pytest.mark.parametrize("limit", [7, 8, 1000])
def test_what_fits_on_a_page_has_no_next_one(
    client: FlaskClient, seven: list[str], limit: int
) -> None:
    """A full page need not mean that there is more."""
    assert _pages(client, f"/sandboxes?limit={limit}") == [seven]


def test_without_a_limit_all_are_listed(client: FlaskClient, seven: list[str]) -> None:
    """As old clients expect it."""
    response = client.get("/sandboxes")

    assert _ids(response) == seven
    assert "Link" not in response.headers


def test_the_next_page_has_the_same_filters(client: FlaskClient, seven: list[str]) -> None:
    """Those that were given twice too, and with what must be quoted in an address."""
    pages = _pages(client, "/sandboxes?limit=1&label=team%3Dblue&label=run%3D0&status=idle")

    assert pages == [["s0"]]
    assert _pages(client, "/sandboxes?limit=1&label=team=blue&label=run=1") == [["s4"], ["s6"]]


def test_the_next_page_respects_the_mount_point(client: FlaskClient, seven: list[str]) -> None:
    """Behind a proxy that mounts the gateway below a path."""
    response = client.get("/sandboxes?limit=1", base_url="http://localhost/below")

    assert response.headers["Link"] == '</below/sandboxes?limit=1&after=s0>; rel="next"'


def test_status_and_labels_leave_out(client: FlaskClient, seven: list[str]) -> None:
    """All that is asked for must fit."""
    assert _ids(client.get("/sandboxes?status=paused")) == ["s2"]
    assert _ids(client.get("/sandboxes?label=team=red")) == ["s1", "s3", "s5"]
    assert _ids(client.get("/sandboxes?label=team=red&label=run=1")) == ["s5"]
    assert _ids(client.get("/sandboxes?label=team=green")) == []
    assert _ids(client.get("/sandboxes?label=team=red&status=paused")) == []


def test_a_label_may_have_any_value(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """The name ends at the first `=`."""
    sandboxes.kept["a1"] = FakeSandbox("a1", labels={"query": "a=b&c=沙"})

    response = client.get("/sandboxes", query_string={"label": "query=a=b&c=沙"})

    assert _ids(response) == ["a1"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=ready", "status"),
        ("status=idle&status=paused", "status"),
        ("label=team", "label"),
        ("label=team=blue&label=run", "label"),
        ("after=../x", "after"),
        ("after=", "after"),
        ("after=A1", "after"),
        ("colour=blue", "colour"),
        ("&".join(["label=a=b"] * 65), "label"),
    ],
)
def test_bad_queries_are_refused_by_name(
    client: FlaskClient, seven: list[str], query: str, field: str
) -> None:
    """A misspelt filter that was ignored would answer with everybody's sandboxes."""
    response = client.get(f"/sandboxes?{query}")

    assert response.status_code == 422
    assert {error["loc"][0] for error in response.json["errors"]} == {field}

"""The list: filtered, in pages, complete, and always a bare array."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, list[str]]]:
    """A gateway and seven sandboxes, oldest first: `number` 0 to 6, `team` blue and red in turn."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("crowded"), pool_size="1", network="none")
    try:
        gateway.start_ready()
        made = [
            gateway.create(labels={"number": str(n), "team": ("blue", "red")[n % 2]})
            for n in range(7)
        ]
        yield gateway, made
    finally:
        gateway.close()


def _page(gateway: GatewayProcess, query: str) -> tuple[list[str], requests.Response]:
    answer = gateway.get(f"/sandboxes?{query}")
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json(), list)
    return [sandbox["sandbox_id"] for sandbox in answer.json()], answer


def _next(answer: requests.Response) -> str | None:
    found = re.fullmatch(r'<(/sandboxes\?[^>]*)>; rel="next"', answer.headers.get("Link", ""))
    return found.group(1) if found else None


def test_the_whole_list_is_oldest_first(crowded: tuple[GatewayProcess, list[str]]) -> None:
    """Without a query everything comes, as it always did, and no pooled one."""
    gateway, made = crowded
    listed, answer = _page(gateway, "")
    assert listed == made
    assert "Link" not in answer.headers
    for sandbox in answer.json():
        assert {"sandbox_id", "status", "created_at", "ip_address"} <= set(sandbox)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("label=team=blue", [0, 2, 4, 6]),
        ("label=team=red&label=number=3", [3]),
        ("label=team=red&label=number=2", []),
        ("label=team=", []),
        ("label=no=such", []),
        ("status=idle", [0, 1, 2, 3, 4, 5, 6]),
        ("status=paused", []),
        ("status=idle&label=team=blue&limit=2", [0, 2]),
    ],
)
def test_filters(crowded: tuple[GatewayProcess, list[str]], query: str, numbers: list[int]) -> None:
    """All of what is asked for must fit."""
    gateway, made = crowded
    assert _page(gateway, query)[0] == [made[number] for number in numbers]


def test_status_is_that_of_now(crowded: tuple[GatewayProcess, list[str]]) -> None:
    """Connected in any worker, paused by anybody."""
    gateway, made = crowded
    gateway.post(f"/sandboxes/{made[1]}/pause")
    with connect(gateway, made[2]):
        assert _page(gateway, "status=connected")[0] == [made[2]]
        assert _page(gateway, "status=paused")[0] == [made[1]]
        assert _page(gateway, "status=idle")[0] == [made[n] for n in (0, 3, 4, 5, 6)]
    gateway.post(f"/sandboxes/{made[1]}/resume")
    eventually(lambda: len(_page(gateway, "status=idle")[0]) == 7)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_pages_put_together_are_the_list(
    crowded: tuple[GatewayProcess, list[str]], limit: int
) -> None:
    """Following `Link` gives everything once and in order, then no `Link` any more."""
    gateway, made = crowded
    seen: list[str] = []
    address: str | None = f"/sandboxes?limit={limit}"
    while address is not None:
        answer = gateway.get(address)
        page = [sandbox["sandbox_id"] for sandbox in answer.json()]
        assert 0 < len(page) <= limit
        seen += page
        address = _next(answer)
    assert seen == made


def test_filters_hold_over_the_pages(crowded: tuple[GatewayProcess, list[str]]) -> None:
    """`Link` keeps the query; the last page has no `Link`, even where others follow that do not
    fit."""
    gateway, made = crowded
    first, answer = _page(gateway, "label=team=red&limit=2")
    assert first == [made[1], made[3]]
    address = _next(answer)
    assert address is not None
    answer = gateway.get(address)
    assert [sandbox["sandbox_id"] for sandbox in answer.json()] == [made[5]]
    assert "Link" not in answer.headers


def test_a_page_goes_on_although_its_last_sandbox_has_ended(
    crowded: tuple[GatewayProcess, list[str]],
) -> None:
    """Who pages through while others delete loses nothing and gets nothing twice."""
    gateway, made = crowded
    extra = gateway.create()
    last = gateway.create()
    _, answer = _page(gateway, "limit=8")
    address = _next(answer)
    gateway.delete(f"/sandboxes/{extra}")

    assert [s["sandbox_id"] for s in gateway.get(str(address)).json()] == [last]
    gateway.delete(f"/sandboxes/{last}")
    assert _page(gateway, "")[0] == made


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after=" + "0" * 32, "after"),
        ("after=../etc", "after"),
        ("status=unknown", "status"),
        ("label=nothing", "label"),
        ("color=blue", "color"),
    ],
)
def test_wrong_queries_are_refused(
    crowded: tuple[GatewayProcess, list[str]], query: str, field: str
) -> None:
    """By name; a filter that is misspelt must not look like an empty list."""
    problem: dict[str, Any] = problem_of(crowded[0].get(f"/sandboxes?{query}"), 422)
    assert problem["errors"][0]["loc"][0] == field

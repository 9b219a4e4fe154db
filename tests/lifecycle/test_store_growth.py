"""What tenants can make the gateway write down: bounded, and nobody else waits for it."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, bearer
from tests.support.lifecycle import events_of
from tests.support.problems import problem_of

LARGEST = {f"l{n:02d}".ljust(63, "x"): "v" * 256 for n in range(64)}
"""The labels that a client may give one sandbox."""

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Two tenants, and little to keep of each."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("store-growth"),
        api_keys=INLINE,
        network="none",
        store_mb_per_key="1",
        followers_per_key="3",
    )
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(autouse=True)
def _no_sandbox_outlives_its_test(keyed: GatewayProcess) -> Iterator[None]:
    """Its labels would count in the next one."""
    yield
    for key in (ALICE, BOB):
        for one in keyed.get("/sandboxes", headers=bearer(key)).json():
            keyed.delete(f"/sandboxes/{one['sandbox_id']}", headers=bearer(key))


def _kept(gateway: GatewayProcess) -> int:
    """Bytes in pages that are in use, whether they are in the file already or in the log. The log
    is copied once a second, and as long as a busy machine lets it become."""
    with closing(sqlite3.connect(gateway.data_dir / "gateway.db")) as store:
        pages, free, size = (
            store.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _patch_again_and_again(gateway: GatewayProcess, sandbox_id: str, times: int) -> None:
    """Change the largest labels so many times, over one connection."""
    labels = dict(list(LARGEST.items())[:63])
    with requests.Session() as session:
        for number in range(times):
            answer = session.patch(
                f"{gateway.url}/sandboxes/{sandbox_id}",
                json={"labels": labels | {"n": str(number)}},
                headers=gateway.headers,
                timeout=30,
            )
            assert answer.status_code == 200, answer.text


def test_labels_changed_again_and_again_fill_nothing(keyed: GatewayProcess) -> None:
    """The largest ones, on one connection: an event kept all of them, for a week. It names what
    was changed, and small ones are repeated as before."""
    sandbox_id = keyed.create()
    bobs = keyed.post("/sandboxes", headers=bearer(BOB)).json()["sandbox_id"]
    before = _kept(keyed)
    _patch_again_and_again(keyed, sandbox_id, 300)

    # 300 times 20 KB fill all that a tenant's events may take, a quarter of the megabyte.
    assert _kept(keyed) - before < MIB // 6
    told = events_of(keyed, sandbox_id)
    assert told[-1]["changed"] == ["labels"]
    assert told[-1]["labels_changed"] == ["n"]
    assert "labels" not in told[-1]
    assert len(keyed.get(f"/sandboxes/{sandbox_id}").json()["labels"]) == 64
    kinds = keyed.get(f"/sandboxes/{bobs}/events", headers=bearer(BOB)).json()
    assert [event["event"] for event in kinds] == ["created"]


def test_labels_of_all_sandboxes_together_are_refused_beyond_a_bound(
    keyed: GatewayProcess,
) -> None:
    """They are in use, so nothing can be let go: 429, for that tenant alone, until there are
    fewer. One sandbox's alone are refused beyond 32 KiB."""
    more = {f"m{n}": "沙" * 256 for n in range(40)}
    sandbox_id = keyed.create()
    path = f"/sandboxes/{sandbox_id}"
    too_many = keyed.patch(path, json={"labels": {f"m{n}": "沙" * 256 for n in range(50)}})
    assert problem_of(too_many, 422)["code"] == "invalid_fields"
    made = [sandbox_id, *(keyed.create(labels=more) for _ in range(4))]

    assert problem_of(keyed.patch(path, json={"labels": more}), 429)["code"] == "too_many_labels"
    assert problem_of(keyed.post("/sandboxes", json={"labels": more}), 429)
    bobs = keyed.post("/sandboxes", json={"labels": more}, headers=bearer(BOB))
    assert bobs.status_code == 201
    keyed.delete(f"/sandboxes/{made.pop()}")
    assert keyed.patch(path, json={"labels": more}).status_code == 200


def test_loops_of_reads_do_not_hold_up_others(keyed: GatewayProcess) -> None:
    """Four clients that read a full page of events over and over; another tenant changes a
    sandbox meanwhile. Pages carried all labels and were decoded and written at once."""
    sandbox_id = keyed.create()
    bobs = keyed.post("/sandboxes", headers=bearer(BOB)).json()["sandbox_id"]
    _patch_again_and_again(keyed, sandbox_id, 400)
    alone = _changes_s(keyed, bobs)
    stop = Event()

    def read_again_and_again() -> int:
        pages = 0
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.get(f"{keyed.url}/events", headers=bearer(ALICE), timeout=30)
                assert answer.status_code == 200
                pages += 1
        return pages

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_again_and_again) for _ in range(4)]
        try:
            beside = _changes_s(keyed, bobs)
        finally:
            stop.set()
        assert all(reader.result(timeout=30) > 0 for reader in readers)

    print(f"PATCH alone {alone * 1000:.0f} ms, beside four readers {beside * 1000:.0f} ms")
    assert beside < max(0.1, 6 * alone)


def _changes_s(gateway: GatewayProcess, sandbox_id: str) -> float:
    """The median time of a PATCH of bob's."""
    took = []
    for number in range(15):
        started = time.monotonic()
        answer = gateway.patch(
            f"/sandboxes/{sandbox_id}", json={"idle_timeout": 600 + number}, headers=bearer(BOB)
        )
        assert answer.status_code == 200
        took.append(time.monotonic() - started)
    return statistics.median(took)


def test_one_key_has_so_many_followers(keyed: GatewayProcess) -> None:
    """429 beyond, at once; another key is not asked to wait, and one that leaves makes room."""
    stream = {"Accept": "text/event-stream"}
    with keyed.only(keyed.workers()[0]):
        streams = [keyed.get("/events", headers=stream | bearer(ALICE), stream=True)]
        while streams[-1].status_code == 200:
            assert len(streams) <= 3
            streams.append(keyed.get("/events", headers=stream | bearer(ALICE), stream=True))
        assert problem_of(streams.pop(), 429)["code"] == "too_many_followers"
        assert len(streams) == 3
        bobs = keyed.get("/events", headers=stream | bearer(BOB), stream=True)
        assert bobs.status_code == 200
        bobs.close()
        keyed.create()
        for one in streams:
            assert any(b"created" in piece for piece in one.iter_content(None))
            one.close()

        def fits() -> bool:
            answer = keyed.get("/events", headers=stream | bearer(ALICE), stream=True)
            answer.close()
            return answer.status_code == 200

        # A client that has gone is noticed when something is written to it.
        eventually(fits, within_s=40, every_s=1.0)

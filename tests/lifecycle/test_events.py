"""What happened to sandboxes: as a list afterwards, and live, over both workers."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from tests.support.events import EventStream
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import MakeGateway, certificate_of, events_of
from tests.support.problems import problem_of


class Follower:
    """Reads an event stream in a thread. `messages` grow; `is_over` once the stream ended well."""

    def __init__(self, gateway: GatewayProcess, path: str, **headers: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_over = False
        self.failure: BaseException | None = None
        self._stream = EventStream(gateway, "GET", path, headers=headers)
        self._stream.__enter__()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self._stream:
                assert event.id == str(event.message["id"])
                self.messages.append(event.message | {"seen_at": time.time()})
            self.is_over = True
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.failure = error

    def kinds(self, sandbox_id: str) -> list[str]:
        return [m["event"] for m in self.messages if m["sandbox_id"] == sandbox_id]

    def close(self) -> None:
        self._stream.__exit__()
        self._thread.join(5)


def test_a_life_is_told_in_order(gateway: GatewayProcess) -> None:
    """From the creation to the end, also afterwards; ids rise, times do not go back."""
    sandbox_id = gateway.create()
    gateway.patch(f"/sandboxes/{sandbox_id}", json={"labels": {"a": "b"}})
    gateway.post(f"/sandboxes/{sandbox_id}/pause")
    gateway.post(f"/sandboxes/{sandbox_id}/resume")
    gateway.delete(f"/sandboxes/{sandbox_id}")

    told = events_of(gateway, sandbox_id)

    assert [event["event"] for event in told] == [
        "created",
        "updated",
        "paused",
        "resumed",
        "ended",
    ]
    assert told[1]["labels"] == {"a": "b"}
    assert told[2]["by"] == "client"
    assert told[-1]["reason"] == "deleted"
    assert {event["sandbox_id"] for event in told} == {sandbox_id}
    assert [e["id"] for e in told] == sorted({e["id"] for e in told})
    assert [e["at"] for e in told] == sorted(e["at"] for e in told)
    after = gateway.get(f"/sandboxes/{sandbox_id}/events?after={told[1]['id']}").json()
    assert after == told[2:]
    few = gateway.get(f"/sandboxes/{sandbox_id}/events?limit=2").json()
    assert few == told[:2]


def test_unknown_sandboxes_have_no_events(gateway: GatewayProcess) -> None:
    """404 as a document, also when a stream was asked for: never an empty stream for ever."""
    path = "/sandboxes/" + "0" * 32 + "/events"
    problem_of(gateway.get(path), 404)
    problem_of(gateway.get(path, headers={"Accept": "text/event-stream"}), 404)


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", "no_such=1", "after=1&after=2"]
)
def test_wrong_queries_are_refused(gateway: GatewayProcess, sandbox: str, query: str) -> None:
    """422 with the name, not a guess."""
    problem = problem_of(gateway.get(f"/sandboxes/{sandbox}/events?{query}"), 422)
    assert problem["errors"][0]["loc"][0] == query.split("=")[0]


def test_a_follower_in_each_worker_sees_everything_live(gateway: GatewayProcess) -> None:
    """What one worker does, followers in both learn within a second, once and in order."""
    sandbox_id = gateway.create()
    followers = []
    for worker in gateway.workers():
        with gateway.only(worker):
            followers.append(Follower(gateway, f"/sandboxes/{sandbox_id}/events"))
    for worker in gateway.workers():
        with gateway.only(worker):
            gateway.post(f"/sandboxes/{sandbox_id}/pause")
            gateway.post(f"/sandboxes/{sandbox_id}/resume")
    gateway.delete(f"/sandboxes/{sandbox_id}")

    for follower in followers:
        eventually(lambda f=follower: f.is_over, within_s=5)
        assert follower.kinds(sandbox_id) == [
            "created",
            *["paused", "resumed"] * 2,
            "ended",
        ]
        for message in follower.messages[1:]:
            assert message["seen_at"] - message["at"] < 2
        follower.close()


def test_a_stream_goes_on_where_it_broke(gateway: GatewayProcess, sandbox: str) -> None:
    """By `Last-Event-ID`, as browsers do it by themselves: nothing twice, nothing left out."""
    gateway.post(f"/sandboxes/{sandbox}/pause")
    gateway.post(f"/sandboxes/{sandbox}/resume")
    told = events_of(gateway, sandbox)
    follower = Follower(
        gateway, f"/sandboxes/{sandbox}/events", **{"Last-Event-ID": str(told[0]["id"])}
    )
    eventually(lambda: follower.kinds(sandbox) == ["paused", "resumed"])
    gateway.post(f"/sandboxes/{sandbox}/pause")
    eventually(lambda: follower.kinds(sandbox) == ["paused", "resumed", "paused"])
    follower.close()
    answer = gateway.get(
        f"/sandboxes/{sandbox}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": "none of ours"},
    )
    problem_of(answer, 400)


def test_the_stream_of_an_ended_sandbox_ends(gateway: GatewayProcess) -> None:
    """All of its story, and then the end of the answer: nobody waits for more. Who has it all
    already gets an empty one."""
    sandbox_id = gateway.create()
    gateway.delete(f"/sandboxes/{sandbox_id}")
    with EventStream(gateway, "GET", f"/sandboxes/{sandbox_id}/events") as stream:
        told = [event.message["event"] for event in stream]
    assert told == ["created", "ended"]
    last = stream.last_id
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
    # 204 is what makes a browser stop (HTML standard, section 9.2.3).
    again = gateway.get(f"/sandboxes/{sandbox_id}/events", headers=headers, timeout=5)
    assert (again.status_code, again.content) == (204, b"")


def test_all_sandboxes_can_be_followed_at_once(gateway: GatewayProcess) -> None:
    """Without `after` from now on, with it from there; other sandboxes' pasts are not replayed."""
    gone = gateway.create()
    gateway.delete(f"/sandboxes/{gone}")
    follower = Follower(gateway, "/events")
    first, second = gateway.create(), gateway.create()
    gateway.delete(f"/sandboxes/{first}")
    certificate_of(gateway, first)

    eventually(lambda: follower.kinds(first) == ["created", "ended"])
    eventually(lambda: follower.kinds(second) == ["created"])
    assert follower.kinds(gone) == []
    start = follower.messages[0]["id"]
    listed = gateway.get(f"/events?after={start}").json()
    assert [m["id"] for m in follower.messages[1:]] == [m["id"] for m in listed]
    follower.close()
    replay = Follower(gateway, f"/events?after={start - 1}")
    eventually(lambda: replay.kinds(first) == ["created", "ended"])
    replay.close()
    gateway.delete(f"/sandboxes/{second}")


def test_a_quiet_stream_is_kept_alive(gateway: GatewayProcess, sandbox: str) -> None:
    """Comments come while nothing happens, so that proxies do not cut it."""
    with EventStream(gateway, "GET", f"/sandboxes/{sandbox}/events", timeout=30) as stream:
        reader = iter(stream)
        assert next(reader).kind == "created"
        threading.Timer(17, gateway.post, (f"/sandboxes/{sandbox}/pause",)).start()
        assert next(reader).kind == "paused"
        assert stream.comments >= 1


def test_stop_ends_streams_cleanly(own_gateway: MakeGateway) -> None:
    """SIGTERM: the answers come to their end at once, and are whole; afterwards a follower goes
    on where it was."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    followers = []
    for worker in gateway.workers():
        for path in (f"/sandboxes/{sandbox_id}/events", "/events"):
            with gateway.only(worker):
                followers.append(Follower(gateway, path))
    started = time.monotonic()
    gateway.signal(signal.SIGTERM)

    for follower in followers:
        eventually(lambda f=follower: f.is_over, within_s=3)
        assert follower.failure is None
    assert gateway.wait_stopped() == 0
    assert time.monotonic() - started < 8
    gateway.start_ready()
    last = followers[0].messages[-1]["id"]
    again = Follower(gateway, f"/sandboxes/{sandbox_id}/events", **{"Last-Event-ID": str(last)})
    gateway.delete(f"/sandboxes/{sandbox_id}")
    eventually(lambda: again.is_over)
    assert again.kinds(sandbox_id) == ["ended"]
    for follower in (*followers, again):
        follower.close()


def test_followers_that_leave_are_forgotten(gateway: GatewayProcess, sandbox: str) -> None:
    """Two hundred streams opened and dropped: no descriptor and no greenlet of theirs is left."""
    before = [worker.num_fds() for worker in gateway.workers()]
    for _ in range(100):
        for path in (f"/sandboxes/{sandbox}/events", "/events"):
            with EventStream(gateway, "GET", path):
                pass
    gateway.post(f"/sandboxes/{sandbox}/pause")

    def as_before() -> bool:
        return all(
            worker.num_fds() <= fds + 15
            for worker, fds in zip(gateway.workers(), before, strict=True)
        )

    eventually(as_before, within_s=40, every_s=0.5)

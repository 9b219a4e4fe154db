"""What is sent again, and what must not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.client.api_error import ApiError, ConnectionLost, GatewayUnreachable
from gateway.client.core import command_calls, sandbox_calls, snapshot_calls
from gateway.client.core.retrying import Patience, Retrying, error_of
from gateway.client.core.steps import Answer, Body, Broken, Request
from gateway.client.error_codes import (
    CapacityExhausted,
    RateLimited,
    SandboxNotFound,
    StoreUnavailable,
)
from tests.unit.client.steps import LOST, NOT_SENT, Script, answered, problem

GET = Request("GET", "/x")
POST = Request("POST", "/x", is_repeatable=False)
FULL = problem(503, "capacity_exhausted", retry_after="2")
BUSY = problem(429, "rate_limited", retry_after="1")
OK = answered(200, {})


@pytest.mark.parametrize("refused", [FULL, BUSY])
@pytest.mark.parametrize("request_", [GET, POST])
def test_a_refusal_for_now_is_waited_out(refused: Answer, request_: Request) -> None:
    """Nothing was done: so any request is sent again, as `Retry-After` says."""
    script = Script([refused, refused, OK])

    assert script.call(script.retrying().exchange(request_)) is OK
    assert script.pauses == [float(refused.headers["retry-after"])] * 2


@pytest.mark.parametrize(("refused", "kind"), [(FULL, CapacityExhausted), (BUSY, RateLimited)])
def test_the_wait_ends_with_the_timeout(refused: Answer, kind: type[ApiError]) -> None:
    """All attempts together; and it does not begin a pause that leads beyond it."""
    script = Script([refused] * 99)

    with pytest.raises(kind):
        script.call(script.retrying(5.0).exchange(GET))

    assert script.now <= 5.0


def test_a_limit_that_time_does_not_lift_is_said_at_once() -> None:
    """429 without `Retry-After`: as many sandboxes as the key may have."""
    script = Script([problem(429, "too_many_sandboxes")])

    with pytest.raises(ApiError, match="too_many_sandboxes"):
        script.call(script.retrying().exchange(GET))


def test_what_may_have_been_done_is_not_sent_twice() -> None:
    """A second snapshot, fork or line of input would be made."""
    for answer, kind in ((LOST, ConnectionLost), (problem(503, "engine_timeout"), ApiError)):
        script = Script([answer])
        with pytest.raises(kind):
            script.call(script.retrying().exchange(POST))
        assert len(script.requests) == 1


def test_a_broken_connection_is_made_again() -> None:
    """And what never left is sent again, whatever it is."""
    script = Script([LOST, NOT_SENT, LOST, OK])
    assert script.call(script.retrying().exchange(GET)) is OK

    script = Script([NOT_SENT, NOT_SENT, OK])
    assert script.call(script.retrying().exchange(POST)) is OK


@pytest.mark.parametrize("broken", [NOT_SENT, LOST])
def test_an_address_where_nobody_ever_was_is_said_at_once(broken: Broken) -> None:
    """A wrong port shall not take a minute."""
    script = Script([broken])

    with pytest.raises((GatewayUnreachable, ConnectionLost)):
        script.call(script.retrying(was_reached=False).exchange(GET))

    assert script.pauses == []


@pytest.mark.parametrize("answer", [LOST, FULL, BUSY])
def test_a_body_that_is_read_once_is_not_sent_again(answer: Any) -> None:
    """What a pipe gave is gone: the rest of it would be taken for the whole."""
    body = Body(lambda: iter([b"x"]), is_once=True)
    script = Script([answer])

    with pytest.raises((ConnectionLost, ApiError)):
        script.call(script.retrying().exchange(Request("PUT", "/x", body=body)))

    assert len(script.requests) == 1


def test_a_create_has_one_key_for_all_attempts() -> None:
    """Two sandboxes would be made otherwise, one of which nobody knows."""
    made = answered(201, {"sandbox_id": "a", "status": "created", "message": "m", "new": 1})
    script = Script([LOST, problem(503, "engine_failed"), made])

    found = script.call(sandbox_calls.create(script.retrying(), {"memory_mb": 5, "name": None}))

    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert (found.sandbox_id, len(script.requests), len(keys)) == ("a", 3, 1)
    assert all(request.json == {"memory_mb": 5} for request in script.requests)


def _deletes(retrying: Retrying) -> Iterator[Any]:
    yield sandbox_calls.delete(retrying, "a"), "sandbox_not_found"
    yield snapshot_calls.delete(retrying, "a"), "snapshot_not_found"


def test_a_delete_that_had_arrived_is_no_error_the_second_time() -> None:
    """The first was carried out, only its answer was lost. Without that it is one."""
    for number in range(2):
        script = Script([])
        call, code = list(_deletes(script.retrying()))[number]
        script.answers = [LOST, problem(404, code)]
        script.call(call)

        call, code = list(_deletes(script.retrying()))[number]
        script.answers = [problem(404, code)]
        with pytest.raises(ApiError):
            script.call(call)


def test_a_command_has_a_name_and_runs_once() -> None:
    """`once` and one `request_id` for all attempts."""
    body = command_calls.command_body(["printf", "%s", "a b", "$x"], {"stdin": "in", "tty": None})

    assert body["once"] is True
    assert len(body["request_id"]) == 36
    assert body["command"] == "exec printf %s 'a b' '$x'"
    assert (body["stdin"], body["stdin_encoding"]) == ("aW4=", "base64")


def test_lists_are_read_to_their_last_page() -> None:
    """However many there are."""
    first = answered(200, [{"sandbox_id": "a"}], link='</sandboxes?limit=1&after=a>; rel="next"')
    script = Script([first, answered(200, [{"sandbox_id": "b"}])])

    found = script.call(sandbox_calls.find_all(script.retrying(), labels={"a b": "c"}))

    assert [one.sandbox_id for one in found] == ["a", "b"]
    assert script.requests[0].target == "/sandboxes?label=a%20b%3Dc&limit=1000"
    assert script.requests[1].target == "/sandboxes?limit=1&after=a"


def test_errors_are_classes_by_code() -> None:
    """One that is newer than the client, and a proxy's page, are ApiErrors that say what came."""
    gone = answered(
        404,
        {
            "code": "sandbox_not_found",
            "message": "weg",
            "ended": {"reason": "idle", "detail": "d", "last_commands": [{"request_id": "r"}]},
        },
    )
    error = error_of(gone)
    assert isinstance(error, SandboxNotFound)
    assert error.ended is not None
    assert (error.ended.reason, error.ended.last_commands[0].request_id) == ("idle", "r")
    assert error.status == 404

    unknown = error_of(problem(418, "is_a_teapot"))
    assert (type(unknown), unknown.code, unknown.ended) == (ApiError, "is_a_teapot", None)

    page = error_of(Answer(502, {}, b"<html>Bad gateway"))
    assert (type(page), page.code) == (ApiError, "http_502")
    assert "Bad gateway" in str(page)

    fields = {"code": "invalid_fields", "message": "m", "errors": [{"loc": ["cpus"], "msg": "x"}]}
    assert "cpus: x" in str(error_of(answered(422, fields)))
    assert isinstance(error_of(problem(503, "store_unavailable")), StoreUnavailable)


def test_patience_ends_when_nothing_works() -> None:
    """A connection that held counts, though nothing came: a terminal is quiet for hours."""
    script = Script([])
    patience = Patience(script.retrying(60.0))

    def fail_for(seconds: float) -> None:
        end = script.now + seconds
        while script.now < end:
            script.now += patience.failed(ConnectionLost("broke")) + 5.0

    fail_for(50.0)
    patience.worked()
    fail_for(50.0)
    script.now += 3600.0
    fail_for(50.0)
    with pytest.raises(ConnectionLost):
        fail_for(50.0)


@pytest.mark.parametrize(
    "answer", [Answer(301, {"location": "https://x/"}), Answer(200, {}, b"<html>"), Answer(200)]
)
def test_who_answers_as_no_gateway_does_is_told(answer: Answer) -> None:
    """A proxy's redirect or page is no list of sandboxes."""
    script = Script([answer])

    with pytest.raises(ApiError):
        script.call(sandbox_calls.find_all(script.retrying()))

"""Whole answers count until they are sent."""

from __future__ import annotations

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from gateway.errors import GatewayFull, TooMuchUnread
from gateway.middleware import unread_answers
from gateway.process.byte_budget import ByteBudget

SHARE = 100_000


@pytest.fixture
def plain(app: Flask, held: ByteBudget) -> FlaskClient:
    """One that does not hold answers against the document, where these routes are not."""
    return FlaskClient(app, app.response_class)


@pytest.fixture
def held(app: Flask) -> ByteBudget:
    """With routes that answer with as many bytes as they are asked for."""
    held = ByteBudget(3 * SHARE, SHARE, own_full=TooMuchUnread, all_full=GatewayFull)
    app.add_url_rule("/bytes/<int:size>", "bytes", lambda size: Response(b"x" * size))
    app.add_url_rule("/of/<sandbox_id>", "of", lambda sandbox_id: Response(b"x" * SHARE))
    app.add_url_rule(
        "/stream/<int:size>", "stream", lambda size: Response(b"x" for _ in range(size))
    )
    unread_answers.install(app, held)
    return held


def test_an_answer_counts_until_it_is_closed(plain: FlaskClient, held: ByteBudget) -> None:
    """The server closes it when it was sent, or the client given up."""
    answer = plain.get("/bytes/50000", buffered=False)
    assert held.held == 50_000

    answer.close()
    answer.close()

    assert held.held == 0


@pytest.mark.parametrize("path", ["/bytes/16000", "/stream/50000", "/bytes/0"])
def test_what_is_small_or_not_there_yet_does_not(
    plain: FlaskClient, held: ByteBudget, path: str
) -> None:
    """Streams count by what they bring along."""
    answer = plain.get(path, buffered=False)

    assert held.held == 0
    answer.close()


def test_one_too_many_is_refused_at_once(plain: FlaskClient, held: ByteBudget) -> None:
    """And is not held meanwhile. Another owner's is served."""
    first = plain.get("/bytes/90000", buffered=False)

    refused = plain.get("/bytes/20000")

    assert (refused.status_code, refused.json["code"]) == (429, "too_much_unread")
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert held.held == 90_000
    with plain.get("/of/a1") as anothers:
        assert anothers.status_code == 200
    first.close()
    with plain.get("/bytes/20000") as answer:
        assert answer.status_code == 200
    assert held.held == 0


def test_an_answer_whose_place_is_taken_by_an_error_counts_no_more(
    app: Flask, plain: FlaskClient, held: ByteBudget
) -> None:
    """What sees answers after this one may fail."""

    def fail(_response: Response) -> Response:
        app.after_request_funcs[None].remove(fail)
        raise ValueError("a test's")

    app.after_request_funcs[None].insert(0, fail)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    with plain.get("/bytes/50000") as failed:
        assert failed.status_code == 500
    assert held.held == 0

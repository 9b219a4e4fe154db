"""Answers that are there as a whole count against their owner's share until they are sent."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, current_app, g, request

from gateway.errors import TooMuchUnread
from gateway.middleware import authentication
from gateway.process.byte_budget import ByteBudget

UNCOUNTED_BYTES = 16 * 1024
"""The kernel takes that much of an answer for a client that has read those before."""


def install(app: Flask, held: ByteBudget) -> None:
    """Hold answers against their owner's share. Call it after the others that change answers: their
    hooks then run after this one, and see the refusal too.

    An answer for which there is no room is refused at once. It is in memory already, so to let it
    wait would not save any.
    """

    def hold(response: Response) -> Response:
        before: Callable[[], None] | None = g.pop("let_answer_go", None)
        if before is not None:
            before()  # another has taken its place
        size = 0 if response.is_streamed else response.calculate_content_length() or 0
        if size <= UNCOUNTED_BYTES:
            return response
        owner = authentication.caller().name or (request.view_args or {}).get("sandbox_id", "")
        taken = held.try_take(owner, size)
        if not taken:
            response.close()
            refusal = current_app.handle_user_exception(TooMuchUnread())
            return current_app.make_response(refusal)
        let_go = _once(lambda: held.give_back(owner, taken))
        g.let_answer_go = let_go
        response.call_on_close(let_go)
        return response

    app.after_request(hold)


def _once(work: Callable[[], None]) -> Callable[[], None]:
    left = [work]

    def do() -> None:
        while left:
            left.pop()()

    return do

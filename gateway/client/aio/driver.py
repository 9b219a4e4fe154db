"""Carries out the steps of calls, over httpx2, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, closing
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx2

from ..core.address import Address
from ..core.retrying import Retrying
from ..core.steps import Answer, Body, Broken, Call, Pause, Read, Request, Step, Story, Told
from ..sync.driver import headers_of
from ..sync.httpx_driver import client_options, is_before_arrival, timeout_of

T = TypeVar("T")
E = TypeVar("E")


class AsyncDriver:
    """Sends requests to one gateway. Close it."""

    def __init__(self, address: Address, retrying: Retrying) -> None:
        self.address = address
        self.retrying = retrying
        self.http = httpx2.AsyncClient(**client_options(address))

    async def aclose(self) -> None:
        """May be repeated."""
        await self.http.aclose()

    async def call(self, call: Call[T]) -> T:
        """What the call returns. Raises what it raises."""
        async with aclosing(_Carrier(self)) as carrier:
            answer: Any = None
            failure: Broken | None = None
            while True:
                try:
                    step = call.send(answer) if failure is None else call.throw(failure)
                except StopIteration as end:
                    result: T = end.value
                    return result
                answer, failure = await carrier.carry_out(step)

    async def follow(self, story: Story[E]) -> AsyncGenerator[E, None]:
        """What the story tells. Close it to leave early."""
        with closing(story):
            async with aclosing(_Carrier(self)) as carrier:
                answer: Any = None
                failure: Broken | None = None
                while True:
                    try:
                        step = story.send(answer) if failure is None else story.throw(failure)
                    except StopIteration:
                        return
                    if isinstance(step, Told):
                        yield step.event
                        answer, failure = None, None
                    else:
                        answer, failure = await carrier.carry_out(step)


class _Carrier:
    """Carries out the steps of one call: at most one streamed answer is open."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        self._streamed: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def aclose(self) -> None:
        if self._streamed is not None:
            streamed, self._streamed, self._pieces = self._streamed, None, None
            await streamed.aclose()

    async def carry_out(self, step: Step) -> tuple[Any, Broken | None]:
        """What came of it, or how it broke."""
        try:
            if isinstance(step, Pause):
                await anyio.sleep(step.seconds)
                return None, None
            if isinstance(step, Read):
                return await self._read(), None
            return await self._send(step), None
        except (httpx2.TransportError, httpx2.StreamError) as error:
            await self.aclose()
            reason = str(error) or type(error).__name__
            return None, Broken(reason, may_have_arrived=not is_before_arrival(error))

    async def _read(self) -> bytes:
        if self._pieces is not None:
            async for piece in self._pieces:
                return piece
        return b""

    async def _send(self, request: Request) -> Answer:
        await self.aclose()
        http, body = self._driver.http, request.content
        response = await http.send(
            http.build_request(
                request.method,
                self._driver.address.url + request.target,
                headers=headers_of(request),
                content=None if body is None else _pieces_of(body),
                timeout=timeout_of(request),
            ),
            stream=True,
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        if request.is_streamed and response.status_code < 300:
            self._streamed, self._pieces = response, response.aiter_raw()
            return Answer(response.status_code, headers)
        try:
            return Answer(response.status_code, headers, await response.aread())
        finally:
            await response.aclose()


async def _pieces_of(body: Body) -> AsyncIterator[bytes]:
    """In threads where it is large: it may be read from a disk."""
    pieces = body.chunks()
    if body.size_bytes is not None and body.size_bytes <= 64 * 1024:
        for piece in pieces:
            yield piece
        return
    while True:
        found = await anyio.to_thread.run_sync(next, pieces, None)
        if found is None:
            return
        yield found

"""Something that is awaited, or entered at once: `async with AsyncSandbox.create() as sandbox`."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

M = TypeVar("M", bound=AbstractAsyncContextManager[Any])


class Opening(Generic[M]):
    """`await` gives what is opened; `async with` enters it."""

    def __init__(self, work: Coroutine[Any, Any, M]) -> None:
        self._work = work
        self._opened: M | None = None

    def __await__(self) -> Generator[Any, None, M]:
        return self._work.__await__()

    async def __aenter__(self) -> M:
        self._opened = await self._work
        await self._opened.__aenter__()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._opened is not None
        await self._opened.__aexit__(kind, error, trace)

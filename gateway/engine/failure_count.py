"""An engine whose failures are counted, whichever call they come from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from types import GeneratorType
from typing import Any, cast

from gateway.engine.interface import Engine
from gateway.errors import EngineFault


def counted(engine: Engine, failed: Callable[[str], None]) -> Engine:
    """`engine` itself, but `failed` is told the code of each EngineFault that a call raises, or
    the iterator that it gives. Not what happens later on a stream: that ends a link."""
    return cast(Engine, _Counted(engine, failed))


class _Counted:
    """By name and not by writing the interface down again, so that no new call is forgotten."""

    def __init__(self, engine: Engine, failed: Callable[[str], None]) -> None:
        self._engine = engine
        self._failed = failed

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._engine, name)

        @functools.wraps(call)
        def counting(*arguments: Any, **named: Any) -> Any:
            try:
                answer = call(*arguments, **named)
            except EngineFault as error:
                self._failed(error.code)
                raise
            return self._each_of(answer) if isinstance(answer, GeneratorType) else answer

        setattr(self, name, counting)
        return counting

    def _each_of(self, answers: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from answers
        except EngineFault as error:
            self._failed(error.code)
            raise

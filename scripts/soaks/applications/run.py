"""`applications`: whether they all work, and how long each step takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.gateway import private_gateway

from ..judgement import Figure
from . import flask_stream, jupyter, vite
from .sandbox import Sandbox

AT_MOST_S = {"flask: the latest line": 1.0, "vite: the same, the worst of ten": 5.0}
SET_UP_S = 180.0
"""For all the rest, which is told rather than judged."""


def run(root: Path, stream_s: float, kept: Path | None, say: Callable[[str], None]) -> list[Figure]:
    """`kept`: where packages are kept from one run to the next. Raises BenchmarkFailed for the
    first application that does not do what it must."""
    with ExitStack() as held:
        fresh = held.enter_context(tempfile.TemporaryDirectory(prefix="applications."))
        directory = kept or Path(fresh)
        directory.mkdir(parents=True, exist_ok=True)
        gateway = held.enter_context(private_gateway(root, workers=2))
        sandbox = held.enter_context(closing(Sandbox(gateway.url, memory_mb=1024)))
        figures = jupyter.seconds(sandbox, directory, say)
        figures |= flask_stream.seconds(sandbox, stream_s)
        say("flask: streamed")
        figures |= vite.seconds(sandbox, directory, say)
    return [
        Figure(what, 1000 * seconds, 1000 * AT_MOST_S.get(what, SET_UP_S), "ms")
        for what, seconds in figures.items()
    ]

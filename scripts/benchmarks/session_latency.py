"""`session`: a command in a warm stateful shell against one in a shell of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from .client import CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (Target("session", "plain", "at most", 1.5),)

WARM_UP = 30


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure both on one connection to one sandbox. Raises BenchmarkFailed."""
    with (
        sandbox(gateways.measured) as sandbox_id,
        closing(CommandSocket(gateways.measured, sandbox_id)) as commands,
    ):

        def plain(count: int) -> list[float]:
            return commands.time("true", count)

        def session(count: int) -> list[float]:
            return commands.time("true", count, session="benchmark")

        plain(WARM_UP)
        session(WARM_UP)
        subjects = [
            Subject("plain", "each in a shell of its own", plain, samples),
            Subject("session", "one after the other in one shell", session, samples),
        ]
        return measure(subjects, rounds, say)

"""How a command ended, as its agent says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway import clock
from gateway.link.incoming import is_count
from gateway.protocol import frames

EARLIEST = 1.6e9

LONGEST_FAILURE = 4096
"""Characters of why a command could not be run. It goes into results, and into end records."""

LARGEST_SIGNAL = 64

LARGEST = 2**62
"""Bytes. No stream is larger, whatever an agent says."""


@dataclass(frozen=True)
class Exited:
    """The command has ended. `sizes` are those of stdout and stderr, in bytes; `failure` says why
    it could not be run."""

    returncode: int
    failure: str | None
    timed_out: bool
    session_ended: bool
    sizes: tuple[int, int]
    at: float | None = None
    """Seconds since the epoch, by the sandbox's word; None where it says nothing sensible."""
    signal: int | None = None
    """The number of the signal that ended it; None also where the agent is of an earlier version.
    """


def writable(text: str) -> str:
    """`text` without what UTF-8 cannot write: Python strings may hold lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")


def exited_from(event: dict[str, Any]) -> Exited:
    """The agent's word on how a command ended. Raises FrameError when it is none."""
    returncode, failure = event.get("returncode"), event.get("failure")
    stdout, stderr = event.get("stdout"), event.get("stderr")
    if not is_count(returncode, 256):
        raise frames.FrameError("exit without a return code")
    if not (failure is None or isinstance(failure, str)):
        raise frames.FrameError("exit with a broken failure")
    if not is_count(stdout, LARGEST) or not is_count(stderr, LARGEST):
        raise frames.FrameError("exit without its sizes")
    return Exited(
        returncode,
        None if failure is None else writable(failure[:LONGEST_FAILURE]),
        event.get("timed_out") is True,
        event.get("session_ended") is True,
        (stdout, stderr),
        _sensible_time(event.get("at")),
        _signal(event.get("signal")),
    )


def _signal(number: object) -> int | None:
    return number if number and is_count(number, LARGEST_SIGNAL + 1) else None


def _sensible_time(at: object) -> float | None:
    """The time a command ended: in the past, and not before there were sandboxes."""
    if isinstance(at, float) and EARLIEST <= at <= clock.wall_s() + 1:
        return at
    return None

"""Why a container that does not run any more came to its end."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engine.interface import ContainerInfo

KILLED = 137
"""128 + SIGKILL, which is what the kernel sends when memory runs out, and what others send too."""

OOM_BEFORE_S = 5.0
"""So long before its end at most does a want of memory explain it."""


@dataclass(frozen=True)
class Ending:
    """`reason` is one of the contract's, `detail` English."""

    reason: str
    detail: str
    exit_code: int | None = None


WANTED = frozenset(("idle", "timeout", "deleted"))
"""Reasons of the ends that a client or the clock has asked for."""

GONE = Ending("engine_lost", "the container was removed behind the gateway's back")


def ending_of(
    container: ContainerInfo, *, oom_seen_s_ago: float | None, engine_was_away: bool
) -> Ending:
    """From a container that stopped, and what was heard of it.

    `oom_seen_s_ago`: since the engine said that the kernel killed something in it for want of
    memory, None when it has not been heard; then the engine's own mark counts, which says that it
    happened at some time. `engine_was_away`: it stopped while nobody could look.
    """
    if container.state in ("removing", "dead"):
        return GONE
    code = container.exit_code
    starved = oom_seen_s_ago <= OOM_BEFORE_S if oom_seen_s_ago is not None else container.oom_killed
    if code == KILLED and starved:
        return Ending("oom", "the kernel killed it for want of memory", code)
    if engine_was_away:
        return Ending("engine_lost", "it stopped while the engine was away", code)
    if code is not None and code > 128:
        return Ending("exited", f"its first process was killed by signal {code - 128}", code)
    return Ending("exited", f"its first process ended with {code}", code)

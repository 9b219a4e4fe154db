"""When a sandbox ends, or is paused: pure decisions about a row and the time.

All times are boot time in seconds (`gateway.clock`): the wall clock may jump, and must cull
nobody when it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.store.rows import SandboxRow

USED_STATES = ("ready", "paused")


@dataclass(frozen=True)
class Deadline:
    """What is done to a sandbox at a time, if nothing comes between."""

    due: float
    action: Literal["delete", "pause"]
    reason: Literal["timeout", "idle"]


def deadline_of(row: SandboxRow, *, boot_id: str) -> Deadline | None:
    """The first one of a row; None where there is none.

    A row of an earlier boot is due at once, unless somebody uses it: its clock does not exist any
    more.
    """
    if row.state not in USED_STATES:
        return None
    found = [one for one in (_end_of_life(row), _end_of_idleness(row)) if one is not None]
    first = min(found, key=lambda deadline: deadline.due, default=None)
    if row.boot_id != boot_id and not row.lease_count:
        return Deadline(0.0, "delete", "idle")
    return first


def _end_of_life(row: SandboxRow) -> Deadline | None:
    if row.expires is None:
        return None
    if option_of(row, "timeout_action") != "pause":
        return Deadline(row.expires, "delete", "timeout")
    return None if row.state == "paused" else Deadline(row.expires, "pause", "timeout")


def end_after_pause(row: SandboxRow, *, now: float) -> float | None:
    """When the lifetime is over of one that is resumed at `now`: what was paused by its end, or
    without one, begins anew; for others it went on. None: never."""
    if row.timeout_s is None:
        return row.expires
    is_over = row.expires is not None and row.expires <= now
    if row.expires is None or (is_over and option_of(row, "timeout_action") == "pause"):
        return now + row.timeout_s
    return row.expires


def _end_of_idleness(row: SandboxRow) -> Deadline | None:
    """Idle is where nobody is connected and nothing runs. In a paused sandbox nothing can run, so
    only clients count; one that was to be paused stays paused."""
    is_paused = row.state == "paused"
    if row.client_count + row.request_count if is_paused else row.lease_count:
        return None
    if row.idle_action == "pause":
        if is_paused:
            return None
        return Deadline(row.idle_since + row.idle_timeout_s, "pause", "idle")
    return Deadline(row.idle_since + row.idle_timeout_s, "delete", "idle")


def warning_of(row: SandboxRow, *, now: float, boot_id: str, warning_s: float) -> Deadline | None:
    """The end that followers of the sandbox's events are to be told of now, if there is one.

    A short-lived sandbox is warned of in the last tenth of its time.
    """
    deadline = deadline_of(row, boot_id=boot_id)
    if deadline is None or deadline.action != "delete" or deadline.due <= now:
        return None
    whole_s = row.timeout_s if deadline.reason == "timeout" else row.idle_timeout_s
    ahead_s = min(warning_s, (whole_s or warning_s) / 10) if warning_s else 0.0
    if deadline.due - now > ahead_s or row.warned_of == deadline.due:
        return None
    return deadline

"""When sandboxes end or are paused: pure functions of a row and the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandboxes.ending.idle_and_lifetime import (
    Deadline,
    deadline_of,
    end_after_pause,
    warning_of,
)
from gateway.store.rows import SandboxRow
from tests.support.rows import row_of

BOOT = "this boot"


def _row(**changed: object) -> SandboxRow:
    usual = {"state": "ready", "idle_since": 1000.0, "idle_timeout_s": 60.0, "boot_id": BOOT}
    return row_of(**(usual | changed))


def _deadline(**changed: object) -> Deadline | None:
    return deadline_of(_row(**changed), boot_id=BOOT)


def test_idle_time_is_counted_from_the_last_use() -> None:
    """To the second: an hour is an hour."""
    assert _deadline() == Deadline(1060.0, "delete", "idle")


def test_a_leased_sandbox_is_not_idle() -> None:
    """A client or a command holds it, however long ago it became idle before."""
    assert _deadline(lease_count=1) is None


def test_a_lifetime_ends_whoever_uses_it() -> None:
    """`timeout` is absolute."""
    assert _deadline(lease_count=1, expires=1010.0) == Deadline(1010.0, "delete", "timeout")


@pytest.mark.parametrize(
    ("expires", "reason"), [(1059.0, "timeout"), (1061.0, "idle"), (None, "idle")]
)
def test_what_comes_first_counts(expires: float | None, reason: str) -> None:
    """Both deadlines hold at the same time."""
    assert _deadline(expires=expires).reason == reason


def test_an_idle_sandbox_may_be_paused_instead() -> None:
    """Once: a paused one stays paused until its lifetime is over."""
    assert _deadline(idle_action="pause") == Deadline(1060.0, "pause", "idle")
    assert _deadline(idle_action="pause", state="paused") is None
    assert _deadline(idle_action="pause", state="paused", expires=5.0).reason == "timeout"


def test_frozen_commands_do_not_keep_a_paused_sandbox() -> None:
    """In it nothing can run, so that a forgotten one would stay for ever; clients do keep it."""
    assert _deadline(state="paused", lease_count=3, client_count=0).reason == "idle"
    assert _deadline(state="paused", lease_count=3, client_count=1) is None


@pytest.mark.parametrize("state", ["pooled", "starting", "pausing", "removing", "ended"])
def test_what_is_in_somebodys_hands_has_no_deadline(state: str) -> None:
    """The others are work in progress, or over."""
    assert _deadline(state=state, expires=1.0) is None


def test_a_row_of_another_boot_is_due_at_once() -> None:
    """Its clock does not exist any more: comparing with it could keep a sandbox for weeks."""
    assert _deadline(boot_id="another", idle_since=1e9) == Deadline(0.0, "delete", "idle")


def test_a_leased_row_of_another_boot_is_not() -> None:
    """Somebody uses it now."""
    assert _deadline(boot_id="another", lease_count=1) is None


def _warning(now: float, **changed: object) -> Deadline | None:
    return warning_of(_row(**changed), now=now, boot_id=BOOT, warning_s=5.0)


def test_the_end_is_warned_of_ahead_and_once() -> None:
    """Followers get a chance to come back in time, and no flood."""
    assert _warning(1054.9, idle_timeout_s=60.0) is None
    assert _warning(1055.1, idle_timeout_s=60.0).due == 1060.0
    assert _warning(1055.1, idle_timeout_s=60.0, warned_of=1060.0) is None
    # A later end is another end.
    assert _warning(1056.0, idle_timeout_s=60.0, warned_of=1030.0).due == 1060.0
    assert _warning(1061.0) is None


def test_short_lives_are_warned_of_in_their_last_tenth() -> None:
    """A warning at birth is none."""
    assert _warning(1007.9, idle_timeout_s=10.0) is None
    assert _warning(1009.1, idle_timeout_s=10.0).due == 1010.0


def test_a_pause_is_no_end() -> None:
    """Nothing is lost by it."""
    assert _warning(1059.0, idle_action="pause") is None


_ROWS = st.builds(
    lambda **changed: _row(**changed),
    state=st.sampled_from(["ready", "paused", "starting", "removing", "ended"]),
    lease_count=st.integers(0, 2),
    idle_since=st.floats(0, 200),
    expires=st.none() | st.floats(0, 300),
    idle_action=st.sampled_from(["delete", "pause"]),
    boot_id=st.sampled_from([BOOT, "another"]),
)


@given(row=_ROWS)
def test_nothing_in_use_ends_but_by_its_lifetime(row: SandboxRow) -> None:
    """Whatever else a row says."""
    deadline = deadline_of(row, boot_id=BOOT)
    if deadline is not None and row.lease_count and row.state == "ready":
        assert deadline == Deadline(row.expires, "delete", "timeout")
    if deadline is not None:
        assert row.state in ("ready", "paused")


PAUSES = {"timeout_action": "pause"}


def test_a_lifetime_may_end_in_a_pause() -> None:
    """Once: what is paused then waits to be resumed, and is not ended by the same deadline."""
    assert _deadline(options=PAUSES, expires=1010.0) == Deadline(1010.0, "pause", "timeout")
    assert _deadline(options=PAUSES, expires=1010.0, state="paused") == Deadline(
        1060.0, "delete", "idle"
    )


@pytest.mark.parametrize(
    ("changed", "expires"),
    [
        ({"timeout_s": 60.0, "expires": None}, 2060.0),
        ({"timeout_s": 60.0, "expires": 1900.0, "options": PAUSES}, 2060.0),
        ({"timeout_s": 60.0, "expires": 2030.0, "options": PAUSES}, 2030.0),
        ({"timeout_s": 60.0, "expires": 1900.0}, 1900.0),
        ({"timeout_s": None, "expires": None}, None),
    ],
)
def test_a_lifetime_that_stood_still_begins_anew(
    changed: dict[str, object], expires: float | None
) -> None:
    """Of others it went on while they were paused."""
    assert end_after_pause(_row(state="paused", **changed), now=2000.0) == expires

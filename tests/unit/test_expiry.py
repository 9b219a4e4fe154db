"""Which sandboxes are idle for too long: a pure function of rows and the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandboxes.expiry import expired
from gateway.store.sandboxes import SandboxRow

ROW = SandboxRow(
    sandbox_id="a",
    state="ready",
    container_id="c",
    worker_id=None,
    created_at=0.0,
    ip_address=None,
    idle_since=1000.0,
    boot_id="this boot",
    end_reason=None,
    lease_count=0,
)


def _expired(row: SandboxRow, now: float, timeout: float = 60) -> bool:
    return expired([row], idle_timeout_s=timeout, now=now, boot_id="this boot") == [row]


@pytest.mark.parametrize(
    ("now", "is_expired"), [(1000, False), (1059.9, False), (1060, True), (5000, True)]
)
def test_idle_time_is_counted_from_the_last_use(now: float, is_expired: bool) -> None:
    """To the second: an hour is an hour."""
    assert _expired(ROW, now) is is_expired


def test_a_leased_sandbox_never_expires() -> None:
    """A client or a command holds it, however long ago it became idle before."""
    assert not _expired(replace(ROW, lease_count=1), now=1e9)


@pytest.mark.parametrize("state", ["starting", "removing", "ended"])
def test_only_ready_sandboxes_expire(state: str) -> None:
    """The others are somebody's work in progress."""
    assert not _expired(replace(ROW, state=state), now=1e9)


def test_a_row_of_another_boot_has_expired() -> None:
    """Its clock does not exist any more: comparing with it could keep a sandbox for weeks."""
    assert _expired(replace(ROW, boot_id="another", idle_since=1e9), now=10)


def test_a_leased_row_of_another_boot_has_not() -> None:
    """Somebody uses it now."""
    assert not _expired(replace(ROW, boot_id="another", lease_count=1), now=10)


@given(
    rows=st.lists(
        st.builds(
            lambda **changed: replace(ROW, **changed),
            state=st.sampled_from(["ready", "starting", "removing", "ended"]),
            lease_count=st.integers(0, 2),
            idle_since=st.floats(0, 200),
            boot_id=st.sampled_from(["this boot", "another"]),
        ),
        max_size=10,
    ),
    now=st.floats(0, 300),
)
def test_expired_rows_stay_expired(rows: list[SandboxRow], now: float) -> None:
    """Time only goes on; what is due now is due later, and nothing in use is ever due."""
    due = expired(rows, idle_timeout_s=50, now=now, boot_id="this boot")
    later = expired(rows, idle_timeout_s=50, now=now + 10, boot_id="this boot")

    assert [row for row in later if row in due] == due
    assert all(row.lease_count == 0 and row.state == "ready" for row in later)

"""What one sandbox may have of the egress proxy while others want it too."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from gateway.host.proxy_shares import MAX_CONNECTIONS, MAX_PER_SANDBOX, Shares, may_enter


def _taken(stack: ExitStack, shares: Shares, sandbox: str, wanted: int) -> int:
    return sum(stack.enter_context(shares.enter(sandbox)) is not None for _ in range(wanted))


@pytest.mark.parametrize("greedy", [1, 8, 20, 100])
def test_however_many_take_all_they_get_there_is_room(greedy: int) -> None:
    """For somebody who has none yet."""
    shares = Shares()
    with ExitStack() as stack:
        taken = [_taken(stack, shares, f"10.0.{n // 256}.{n % 256}", 600) for n in range(greedy)]

        assert max(taken) <= MAX_PER_SANDBOX
        assert min(taken) >= 1
        assert sum(taken) < MAX_CONNECTIONS
        assert _taken(stack, shares, "newcomer", 1) == 1


def test_one_alone_has_its_whole_part() -> None:
    """Nobody pays for others who are not there; and all of it comes back."""
    shares = Shares()
    for _ in range(2):
        with ExitStack() as stack:
            assert _taken(stack, shares, "a", 200) == MAX_PER_SANDBOX


def test_the_last_connection_is_nobodys() -> None:
    """When all are taken no one gets another."""
    assert may_enter(0, MAX_CONNECTIONS - 1)
    assert not may_enter(0, MAX_CONNECTIONS)
    assert not may_enter(2, MAX_CONNECTIONS - 256)

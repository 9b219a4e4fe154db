"""How many of a thing an owner may have, and how much of each follows from that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.flow_control import SMALLEST_WINDOW_BYTES, eager_credit_of, most_for
from gateway.errors import TooManyStreams
from gateway.identity.slots import Slots
from gateway.link.collector import EAGER_CREDIT
from gateway.link.follower import WINDOW


def test_one_more_than_allowed_is_refused_to_its_owner_only() -> None:
    """Others are not concerned, and what is given back may be taken again."""
    slots = Slots(2, TooManyStreams)
    slots.take("alice")
    with slots.one("alice"):
        assert slots.taken("alice") == 2
        with pytest.raises(TooManyStreams):
            slots.take("alice")
        with slots.one("bob"):
            assert slots.taken("bob") == 1
    with slots.one("alice"):
        assert slots.taken("alice") == 2


def test_owners_that_have_none_are_forgotten() -> None:
    """Their names would pile up: without keys they are sandboxes."""
    slots = Slots(1, TooManyStreams)
    for number in range(100):
        with slots.one(str(number)):
            assert slots.taken(str(number)) == 1

    assert len(slots._taken) == 0


@given(streams=st.integers(1, 512))
def test_windows_of_many_streams_stay_small_together(streams: int) -> None:
    """512 of half a MiB each, twice, would be 512 MiB."""
    assert 2 * sum(map(most_for, range(1, streams + 1))) < 26 * 1024 * 1024
    assert most_for(streams) >= SMALLEST_WINDOW_BYTES


def test_few_streams_and_commands_get_all_there_is() -> None:
    """What is bounded are crowds."""
    assert most_for(1) == most_for(2) == WINDOW
    assert eager_credit_of(32) == EAGER_CREDIT
    assert eager_credit_of(33) < EAGER_CREDIT

"""A part of a stream, taken from what happens to a command."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from gateway.commands.output_slices import OutputSlice, slice_of
from gateway.errors import LinkLost
from gateway.link.exited import Exited
from gateway.link.follower import CommandEvent, Gap, Output, Started

STARTED = Started(42, {})
EXITED = Exited(0, None, False, False, (8, 0))


class Story:
    """Tells what it is given, and notes whether somebody still listens."""

    def __init__(self, *events: CommandEvent | float | Exception) -> None:
        self._events = events
        self.told = 0
        self.closed = False

    def __iter__(self) -> Iterator[CommandEvent]:
        try:
            for event in self._events:
                self.told += 1
                if isinstance(event, float):
                    gevent.sleep(event)
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
        finally:
            self.closed = True


def _slice(story: Story, offset: int = 0, **given: object) -> OutputSlice:
    arguments = {"size": 8, "finished": False, "limit": 100, "wait_s": 0.0} | given
    taken = slice_of(story, 1, offset, **arguments)
    assert story.closed or not story.told
    return taken


def test_pieces_are_put_together() -> None:
    """Up to what had been written; more is not waited for."""
    story = Story(STARTED, Output(1, 0, b"0123"), Output(2, 0, b"x"), Output(1, 4, b"4567"), 99.0)

    assert _slice(story) == OutputSlice(0, b"01234567", complete=False)


def test_the_limit_cuts_within_a_piece() -> None:
    """And whoever has less asks again from there."""
    taken = _slice(Story(STARTED, Output(1, 0, b"0123"), Output(1, 4, b"4567")), limit=6)

    assert (taken.data, taken.next, taken.complete) == (b"012345", 6, False)


def test_a_gap_at_the_start_moves_the_slice() -> None:
    """Which tells the client what is lost."""
    story = Story(STARTED, Gap(1, 0, 4), Output(1, 4, b"4567"))

    assert _slice(story) == OutputSlice(4, b"4567", complete=False)


def test_bytes_on_both_sides_of_a_gap_are_never_joined() -> None:
    """What was dropped while it was being read: the slice ends before it."""
    story = Story(STARTED, Output(1, 0, b"01"), Gap(1, 2, 6), Output(1, 6, b"67"), EXITED)

    assert _slice(story) == OutputSlice(0, b"01", complete=False)


def test_gaps_of_the_other_stream_do_not_count() -> None:
    """They are somebody else's matter."""
    story = Story(STARTED, Gap(2, 0, 4), Output(1, 0, b"01234567"))

    assert _slice(story) == OutputSlice(0, b"01234567", complete=False)


def test_nothing_but_a_gap() -> None:
    """Everything that had been written is lost: the next request goes on behind it."""
    assert _slice(Story(STARTED, Gap(1, 0, 9), 99.0)) == OutputSlice(9, b"", complete=False)


def test_what_is_there_is_not_a_matter_of_patience() -> None:
    """A link that is being made anew takes longer than `wait_s`."""
    story = Story(STARTED, 0.05, Output(1, 0, b"01234567"))

    assert _slice(story, wait_s=0.01).data == b"01234567"


@pytest.mark.parametrize("offset", [8, 4, 0])
def test_a_finished_command_is_complete_at_its_end(offset: int) -> None:
    """Known from its size, without waiting for its exit; at the end nothing is even asked."""
    story = Story(STARTED, Output(1, offset, b"01234567"[offset:]), 99.0)

    taken = _slice(story, offset, finished=True, wait_s=60)

    assert taken == OutputSlice(offset, b"01234567"[offset:], complete=True)
    assert story.told == (0 if offset == 8 else 2)


def test_a_finished_command_is_not_complete_before_its_end() -> None:
    """The limit came first."""
    story = Story(STARTED, Output(1, 0, b"01234567"))

    assert not _slice(story, finished=True, limit=7).complete


def test_new_output_is_given_as_soon_as_it_comes() -> None:
    """Not at the end of the wait, and not for the other stream's sake."""
    story = Story(STARTED, Output(2, 0, b"x"), 0.02, Output(1, 8, b"new"), 99.0)
    started = time.monotonic()

    assert _slice(story, 8, wait_s=60) == OutputSlice(8, b"new", complete=False)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        (EXITED, OutputSlice(8, b"", complete=True)),
        (Gap(1, 8, 12), OutputSlice(12, b"", complete=False)),
    ],
)
def test_an_exit_or_a_gap_ends_the_wait(event: CommandEvent, taken: OutputSlice) -> None:
    """Both are news."""
    assert _slice(Story(STARTED, event, 99.0), 8, wait_s=60) == taken


def test_patience_ends() -> None:
    """With nothing, and nobody listens any more."""
    assert _slice(Story(STARTED, 99.0), 8, wait_s=0.02) == OutputSlice(8, b"", complete=False)
    assert _slice(Story(STARTED), 8) == OutputSlice(8, b"", complete=False)


def test_errors_come_through() -> None:
    """And close the story as well."""
    story = Story(STARTED, LinkLost("x"))
    with pytest.raises(LinkLost):
        _slice(story, 8, wait_s=60)
    assert story.closed

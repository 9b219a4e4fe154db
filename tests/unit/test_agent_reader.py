"""A reader's part of the protocol: exit, ranges, credit, gaps, resuming."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.links.channel import Channel
from gateway.agent.operations.reader import Reader
from gateway.agent.processes.output import BLOCK, OutputLog
from gateway.protocol import frames, streams


class _Command:
    """As much of a command as a reader looks at."""

    def __init__(self, head: int = 1 << 20, tail: int = 1 << 20) -> None:
        self._logs = {streams.STDOUT: OutputLog(head, tail), streams.STDERR: OutputLog(head, tail)}
        self.logs = tuple(self._logs.items())
        self.finished = self.delivered = False
        self.pid = 42
        self.meta = {"noted": True}
        self.terminal = False

    def write(self, data: bytes, stream: int = streams.STDOUT) -> None:
        self._logs[stream].append(data)

    def exit_event(self) -> dict:
        sizes = [log.size for _, log in self.logs]
        return {"event": "exit", "returncode": 0, "stdout": sizes[0], "stderr": sizes[1]}


def _reader(
    command: _Command, *, follow: bool, cap: int = 100, offsets=(0, 0), credit: int = 1 << 30
) -> Reader:
    return _opened(command, follow=follow, cap=cap, offsets=offsets, credit=credit)[0]


def _opened(
    command: _Command, *, follow: bool, cap: int = 100, offsets=(0, 0), credit: int = 1 << 30
) -> tuple[Reader, Channel]:
    """A reader, and its channel on a link that keeps nothing."""
    link = SimpleNamespace(wake=lambda channel: None)
    channel = Channel(link, 5, (credit, 1 << 30))
    reader = Reader(channel, command, follow, cap, list(offsets), lambda command: None)
    return reader, channel


def _produced(reader: Reader) -> list[tuple[int, object]]:
    """Everything the reader has to send now, decoded."""
    found: list[tuple[int, object]] = []
    decoder = frames.Decoder()
    while (frame := reader.produce()) is not None:
        for kind, channel, payload in decoder.feed(frame):
            assert channel == 5
            decode = frames.decode_data if kind == frames.DATA else frames.decode_json
            found.append((kind, decode(payload)))
    return found


def test_a_collecting_reader_is_silent_until_the_end() -> None:
    """A plain command costs the link nothing while it prints."""
    command = _Command()
    reader = _reader(command, follow=False)
    command.write(b"early")

    assert _produced(reader) == []
    command.finished = True
    [(kind, event), (data_kind, data)] = _produced(reader)

    assert (kind, event["event"]) == (frames.EVENT, "exit")
    assert (data_kind, data) == (frames.DATA, (streams.STDOUT, 0, b"early"))
    assert reader.done


@pytest.mark.parametrize(
    ("size", "windows"),
    [
        (0, [[0, 0]]),
        (100, [[0, 100]]),
        (101, [[0, 50], [51, 101]]),
        (1000, [[0, 50], [950, 1000]]),
    ],
)
def test_ranges_are_everything_or_head_and_tail(size: int, windows: list[list[int]]) -> None:
    """Up to the cap all of it; beyond, halves of the cap from both ends."""
    command = _Command()
    command.write(b"x" * size)
    command.finished = True

    [(_, event), *_] = _produced(_reader(command, follow=False, cap=100))

    assert event["windows"] == [windows, [[0, 0]]]


def test_not_a_byte_is_sent_without_credit() -> None:
    """Credit is the gateway's only protection of its memory."""
    command = _Command()
    command.write(b"x" * 100)
    command.finished = True
    reader, channel = _opened(command, follow=False, cap=1000, credit=30)

    [_exit, (_, data)] = _produced(reader)
    assert data == (streams.STDOUT, 0, b"x" * 30)
    assert _produced(reader) == []
    assert not reader.done

    channel.granted(streams.STDOUT, 70, 0)
    [(_, data)] = _produced(reader)
    assert data == (streams.STDOUT, 30, b"x" * 70)
    assert reader.done


@given(
    sizes=st.tuples(st.integers(0, 3000), st.integers(0, 3000)),
    cap=st.integers(2, 2000),
    credits=st.lists(st.integers(1, 700), min_size=1, max_size=30),
)
def test_a_collecting_reader_sends_its_ranges_exactly(
    sizes: tuple[int, int], cap: int, credits: list[int]
) -> None:
    """However the credit is dealt out: each byte of the announced ranges once, in order."""
    command = _Command()
    written = {}
    for stream, size in zip((streams.STDOUT, streams.STDERR), sizes, strict=True):
        written[stream] = bytes((stream * 7 + at) % 251 for at in range(size))
        command.write(written[stream], stream)
    command.finished = True
    reader, channel = _opened(command, follow=False, cap=cap, credit=0)

    [(_, event), *rest] = _produced(reader)
    assert rest == []
    got = {streams.STDOUT: b"", streams.STDERR: b""}
    for credit in credits * 20:
        for stream in got:
            channel.granted(stream, credit, 0)
        for kind, data in _produced(reader):
            assert kind == frames.DATA
            stream, offset, piece = data
            assert piece == written[stream][offset : offset + len(piece)]
            got[stream] += piece
        if reader.done:
            break
    else:
        return  # not enough credit for all of it

    for stream, windows in zip(got, event["windows"], strict=True):
        assert got[stream] == b"".join(written[stream][a:b] for a, b in windows)
        assert len(got[stream]) <= cap


@given(size=st.integers(0, 3000), cap=st.integers(2, 1000), cut=st.integers(0, 3000))
def test_a_resumed_reader_goes_on_where_the_link_broke(size: int, cap: int, cut: int) -> None:
    """The new link gets the same ranges and only what is missing."""
    command = _Command()
    command.write(bytes(at % 251 for at in range(size)))
    command.finished = True
    [(_, first_exit), *first] = _produced(_reader(command, follow=False, cap=cap))
    whole = [(offset + at) for _, (_, offset, piece) in first for at in range(len(piece))]
    have = [at for at in whole if at < cut]
    resume_at = have[-1] + 1 if have else 0

    [(_, second_exit), *second] = _produced(
        _reader(command, follow=False, cap=cap, offsets=(resume_at, 0))
    )

    assert second_exit == first_exit
    rest = [(offset + at) for _, (_, offset, piece) in second for at in range(len(piece))]
    assert have + rest == whole


def test_what_fell_out_of_a_log_is_reported_as_a_gap() -> None:
    """Never skipped silently."""
    command = _Command(head=10, tail=BLOCK)
    reader = _reader(command, follow=True)
    command.write(b"x" * 10 + b"y" * 5 * BLOCK)

    _started, *sent = _produced(reader)

    assert sent[0] == (frames.DATA, (streams.STDOUT, 0, b"x" * 10))
    kind, gap = sent[1]
    assert (kind, gap["event"], gap["from"]) == (frames.EVENT, "gap", 10)
    assert sent[2][1][1] == gap["to"]
    last = sent[-1][1]
    assert last[1] + len(last[2]) == 10 + 5 * BLOCK


def test_a_following_reader_gets_start_output_and_exit_in_this_order() -> None:
    """Events as output is produced, then the result."""
    command = _Command()
    reader = _reader(command, follow=True)
    command.write(b"one")
    (_, started), *sent = _produced(reader)
    assert (started["event"], started["pid"]) == ("started", 42)
    assert sent == [(frames.DATA, (streams.STDOUT, 0, b"one"))]
    command.write(b"two")
    command.write(b"oops", streams.STDERR)
    command.finished = True

    sent = _produced(reader)

    assert sent[:-1] == [
        (frames.DATA, (streams.STDOUT, 3, b"two")),
        (frames.DATA, (streams.STDERR, 0, b"oops")),
    ]
    assert sent[-1][1]["event"] == "exit"
    assert reader.done


def test_no_frame_of_output_is_larger_than_a_chunk() -> None:
    """So that another command's frame waits for little."""
    command = _Command()
    command.write(b"x" * (3 * frames.MAX_CHUNK))
    command.finished = True

    sent = _produced(_reader(command, follow=False, cap=1 << 20))

    assert [len(data[2]) for kind, data in sent if kind == frames.DATA] == [frames.MAX_CHUNK] * 3
